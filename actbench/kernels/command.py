"""`actbench kernels`: measures, prints tables, writes them and a bar plot."""

from __future__ import annotations

import argparse
import inspect
import io
import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from actbench.errors import UserError, from_disk
from actbench.files.atomic import write_bytes, write_text
from actbench.files.output import PersistentConsole
from actbench.kernels import resnet
from actbench.kernels.measure import REFERENCE, Cost, measure, ratio
from actbench.settings import Choice
from actbench.train import machine, networks


def main(asked: argparse.Namespace, activations: Sequence[Choice]) -> int:
    """`actbench kernels`; returns the exit code.

    Args:
        asked: the arguments of `arguments.kernels`.
        activations: what is measured, the reference among them.

    Raises:
        UserError: there is no such size or device, or an activation cannot be built.
    """
    machine.prepare(asked.threads)
    device = _device(asked.device)
    shapes = [_shape(size) for size in asked.sizes.split(",")]
    console = PersistentConsole("measuring continues", highlight=False)
    console.print(f"{machine.describe(device)}, torch {torch.__version__}")
    factories = {choice.name: networks.activation_factory(choice, ()) for choice in activations}
    in_place = {choice.name: made for choice in activations if (made := _in_place(choice)) is not None}
    costs = []
    for shape in shapes:
        costs += measure(
            factories, shape, device=device, rounds=asked.rounds, in_place=in_place, compiled=asked.compiled
        )
        console.print(_table([cost for cost in costs if cost.shape == shape], shape))
    console.print(Text(_NOTE, style="dim"))
    steps = _resnet(asked, device, console) if asked.resnet else []
    folder = asked.output or Path("outputs") / "kernels" / re.sub(r"\W+", "-", str(device))
    _write(folder, costs, steps, device)
    console.print(Text(f"files        {folder}"), soft_wrap=True)
    return 0


_NOTE = (
    "medians over rounds; ÷ copy: beside copying the input; training: forward and backward; kept: bytes for each "
    "element that the backward pass keeps beside the output; in place, compiled: a call without gradients beside the "
    "plain one; the second figure of compiled: training beside the plain one"
)


def _device(name: str) -> torch.device:
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name) is None:
        raise UserError("there is no such device", where=f"--device {name}", how="auto, cpu, cuda, cuda:N or mps")
    try:
        return machine.choose_device(name)
    except UserError as error:
        raise UserError(error.problems[0].what, where=f"--device {name}", how="--device auto") from error


def _shape(text: str) -> tuple[int, ...]:
    parts = text.split("x")
    if len(parts) < 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UserError("is not a shape", where=f"--sizes {text}", how="--sizes 64x512,64x16x28x28")
    return tuple(map(int, parts))


def _in_place(choice: Choice) -> Callable[[int], nn.Module] | None:
    """The same module with `inplace=True`, where torch has that."""
    kind = type(networks.activation_factory(choice, ())(1))
    if "inplace" not in inspect.signature(kind).parameters:
        return None
    return lambda _units: kind(**choice.params, inplace=True)


# ---------------------------------------------------------------- words and files


def _table(costs: Sequence[Cost], shape: tuple[int, ...]) -> Table:
    table = Table(
        title=Text("×".join(map(str, shape)), style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
        show_edge=False,
    )
    rows = sorted(_rows(costs), key=lambda row: row["training / relu"])
    heads = ["activation", "forward\nµs", "÷ relu", "÷ copy", "training\nµs", "÷ relu", "kept\nB", "in\nplace"]
    compiled = any(not math.isnan(row["compiled"]) for row in rows)
    for head in (*heads, *(["compiled"] if compiled else [])):
        table.add_column(head, justify="left" if head == "activation" else "right", no_wrap=True)
    for row in rows:
        cells = [
            f"{1e6 * row['forward']:,.1f}", f"{row['forward / relu']:.2f}", f"{row['forward / copy']:.2f}",
            f"{1e6 * row['training']:,.1f}", f"{row['training / relu']:.2f}", f"{row['kept']:.3g}",
            "–" if math.isnan(row["in place"]) else f"{row['in place']:.2f}",
            f"{_short(row['compiled'])}, {_short(row['compiled training'])}",
        ]  # fmt: skip
        table.add_row(Text(row["activation"]), *cells[: len(table.columns) - 1])
    return table


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}"


def _rows(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """One row for each activation of one size."""
    by_key = {(cost.activation, cost.way): cost for cost in costs}
    reference = by_key[REFERENCE, "eager"]
    rows: list[dict[str, Any]] = []
    for (name, way), cost in by_key.items():
        if way != "eager":
            continue
        others = {other: by_key.get((name, other)) for other in ("in place", "compiled")}
        compiled = others["compiled"]
        rows.append(
            {
                "shape": "x".join(map(str, cost.shape)),
                "activation": name,
                "forward": statistics.median(cost.forward),
                "forward / relu": ratio(cost.forward, reference.forward),
                "forward / copy": ratio(cost.forward, cost.copy),
                "training": statistics.median(cost.training),
                "training / relu": ratio(cost.training, reference.training),
                "kept": cost.kept,
                **{way: ratio(other.forward, cost.forward) if other else math.nan for way, other in others.items()},
                "compiled training": ratio(compiled.training, cost.training) if compiled else math.nan,
                "GB/s of a copy": 2 * 4 * math.prod(cost.shape) / statistics.median(cost.copy) / 1e9,
            }
        )
    return rows


def _resnet(asked: argparse.Namespace, device: torch.device, console: Console) -> list[resnet.Step]:
    steps = resnet.steps(asked.resnet, batch=asked.batch, size=224, device=device, rounds=asked.rounds)
    by_name = {step.variant: step.seconds for step in steps}
    table = Table(
        title=Text(f"A training step of ResNet-{asked.resnet}, {asked.batch} images of 224×224", style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for head in ("activation", "seconds", "÷ ReLU in place", "share of the step"):
        table.add_column(head, justify="left" if head == "activation" else "right")
    for name, seconds in by_name.items():
        beside = f"{ratio(seconds, by_name['ReLU in place']):.3f}"
        share = "–" if name == "no activation" else f"{100 * resnet.share(steps, name):.1f} %"
        table.add_row(name, f"{statistics.median(seconds):.3f}", beside, share)
    console.print(table)
    most = resnet.share(steps, "ReLU in place")
    if most > 0:
        bound = f"A kernel that cost nothing would raise the throughput by {100 * most / (1 - most):.1f} %."
    else:
        bound = "The activations are lost in the noise of a step."
    console.print(Text(bound))
    return steps


def _write(folder: Path, costs: Sequence[Cost], steps: Sequence[resnet.Step], device: torch.device) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shapes = list(dict.fromkeys(cost.shape for cost in costs))
        rows = [row for shape in shapes for row in _rows([cost for cost in costs if cost.shape == shape])]
        write_text(folder / "kernels.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
        if steps:
            table = {step.variant: step.seconds for step in steps}
            write_text(folder / "resnet.csv", pd.DataFrame(table).to_csv(index_label="round", lineterminator="\n"))
        write_text(folder / "environment.json", json.dumps(machine.environment(device), indent=2) + "\n")
        largest = max(shapes, key=math.prod)
        figure = _bars([row for row in rows if row["shape"] == "x".join(map(str, largest))], largest)
        for kind in ("png", "svg"):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind)
            write_bytes(folder / f"kernels.{kind}", drawn.getvalue())
    except OSError as error:
        raise from_disk(error, str(folder), elsewhere="--output FOLDER") from error


def _bars(rows: Sequence[Mapping[str, Any]], shape: tuple[int, ...]) -> Figure:
    """Forward and training time of each activation beside ReLU's, at one size."""
    ordered = sorted(rows, key=lambda row: -row["training / relu"])
    figure = Figure(figsize=(8, 1.4 + 0.36 * len(ordered)), dpi=120, layout="constrained")
    axes = figure.subplots()
    longest = max(row[key] for row in ordered for key in ("forward / relu", "training / relu"))
    for offset, key, colour, label in (
        (0.2, "forward / relu", "#56B4E9", "a call without gradients"),
        (-0.2, "training / relu", "#0072B2", "forward and backward"),
    ):
        lengths = [row[key] for row in ordered]
        places = [place + offset for place in range(len(ordered))]
        axes.barh(places, lengths, height=0.38, color=colour, label=label)
        for place, length in zip(places, lengths, strict=True):
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            axes.text(length + 0.02 * longest, place, f"{length:.2f}", va="center", fontsize=8, bbox=box)
    axes.axvline(1, color="0.3", linewidth=1, zorder=0.5)
    axes.set_yticks(range(len(ordered)), [str(row["activation"]) for row in ordered])
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlabel(f"time ÷ ReLU's, input of {'×'.join(map(str, shape))}")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure
