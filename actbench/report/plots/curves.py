"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from actbench.errors import Problem
from actbench.measures.scores import EpochRecord
from actbench.records import Estimate
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import (
    BLUE,
    COLOURS,
    DASHES,
    OVERLAID,
    Drawing,
    cut,
    legend_columns,
    panel_grid,
    shown_configurations,
)
from actbench.report.seed_records import read_each
from actbench.store import reader

SECTION = "curves"
ORDER = 10

Curves = Mapping[str, np.ndarray]  # "epoch" (E), and for each column mean, low and high (3, E)


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """Validation accuracy and training loss; many configurations have a panel each."""
    shown, selection = shown_configurations(comparison)
    histories = read_each(shown, history, problems)
    if not histories:
        return None
    figure = panels(histories) if len(histories) > OVERLAID else overlay(histories)
    return Drawing(figure, f"Learning curves. Bands: 95 % interval of the mean over seeds.{selection}")


def history(configuration: Configuration) -> Curves:
    """Mean and interval over seeds of each epoch.

    Raises:
        UserError: a file cannot be read.
    """
    by_epoch: dict[int, dict[int, EpochRecord]] = {}
    for run in configuration.runs:  # where two runs have a seed, the newer one counts
        for record in reader.table(run.folder, EpochRecord):
            by_epoch.setdefault(record.epoch, {})[record.seed] = record
    epochs = sorted(by_epoch)
    curves = {"epoch": np.array(epochs)}
    for column in ("val_accuracy", "train_loss"):
        curves[column] = _bands([[getattr(r, column) for r in by_epoch[epoch].values()] for epoch in epochs])
    return curves


def _bands(by_epoch: Sequence[Sequence[float]]) -> np.ndarray:
    """(3, E): the mean, and the ends of its interval."""
    estimates = [Estimate.of(values) for values in by_epoch]
    rows = [(e.mean, *(e.ci95 or (e.mean, e.mean))) for e in estimates]
    return np.array(rows, dtype=float).reshape(-1, 3).T


def _curve(axes: Axes, epochs: np.ndarray, band: np.ndarray, colour: str, dash: Any = "-", label: str = "") -> None:
    mean, low, high = band
    marker = "o" if len(epochs) == 1 else ""
    axes.plot(epochs, mean, color=colour, linestyle=dash, linewidth=1.8, label=label, marker=marker, markersize=4)
    axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


def overlay(histories: Mapping[str, Curves]) -> Figure:
    """All configurations in one pair of axes."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, curves), colour, dash in zip(histories.items(), COLOURS, DASHES, strict=False):
        _curve(left, curves["epoch"], curves["val_accuracy"], colour, dash, cut(name, 90))
        _curve(right, curves["epoch"], np.maximum(curves["train_loss"], 1e-12), colour, dash)
    left.set_ylabel("validation accuracy (%)")
    left.set_ylim(max(-1, left.get_ylim()[0]), min(100.5, left.get_ylim()[1]))
    right.set_ylabel("training loss (nats)")
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.yaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=legend_columns(list(histories), 10), handlelength=3.2)
    return figure


def panels(histories: Mapping[str, Curves]) -> Figure:
    """A panel for each configuration, the others in grey behind it."""
    figure, all_axes = panel_grid(list(histories), "epoch", "validation accuracy (%)")
    ends = [curves["val_accuracy"][0][-1] for curves in histories.values() if curves["val_accuracy"].size]
    starts = [curves["val_accuracy"][0][0] for curves in histories.values() if curves["val_accuracy"].size]
    room = 0.3 * (np.nanmax(ends) - np.nanmin(ends)) + 1  # every curve ends within; the worst starts may be cut
    low = max(np.nanmin(starts) - 1, np.nanmin(ends) - room)
    for (name, curves), axes in zip(histories.items(), all_axes, strict=True):
        for other, theirs in histories.items():
            if other != name:
                axes.plot(theirs["epoch"], theirs["val_accuracy"][0], color="0.82", linewidth=0.7)
        _curve(axes, curves["epoch"], curves["val_accuracy"], BLUE)
    all_axes[0].set_ylim(low, min(100.5, all_axes[0].get_ylim()[1]))
    return figure
