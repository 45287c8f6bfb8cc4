"""The tensors of a run: `checkpoints/seed=K.pt`, and `resume.pt` while it is incomplete."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actbench.errors import UserError, in_a_line
from actbench.files.atomic import write_bytes
from actbench.records import Epoch
from actbench.store.owner import RESUME
from actbench.store.tables import records


def write_checkpoints(folder: Path, seeds: Sequence[int], state_dicts: Sequence[dict[str, Tensor]]) -> None:
    """`checkpoints/seed=K.pt` for each seed: a plain state_dict on the CPU."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    for seed, state in zip(seeds, state_dicts, strict=True):
        _save(state, _checkpoint(folder, seed))


def read_checkpoints(folder: Path, seeds: Sequence[int]) -> dict[int, dict[str, Tensor]]:
    """Seed -> the state_dict that `write_checkpoints` left.

    Raises:
        UserError: one cannot be read.
    """
    states = {}
    for seed in seeds:
        path = _checkpoint(folder, seed)
        if not path.parent.exists():
            what = "has no checkpoints: it was trained with checkpoints=false, or they were removed"
            raise UserError(what, where=str(folder), how="train the run again: study=NAME")
        try:
            states[seed] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise UserError(
                f"cannot be read ({in_a_line(error)})", where=str(path), how="train the run again: study=NAME"
            ) from error
    return states


def _checkpoint(folder: Path, seed: int) -> Path:
    return folder / "checkpoints" / f"seed={seed}.pt"


# ---------------------------------------------------------------- going on


def write_resume(
    folder: Path, state: dict[str, Any], epochs: Sequence[Epoch], device: torch.device, stacked: bool
) -> None:
    """`resume.pt`: the state after the last of `epochs`, whose rows are in the tables already."""
    names = [field.name for field in fields(Epoch) if field.name != "rows"]
    heads = [{name: getattr(epoch, name) for name in names} for epoch in epochs]
    content = {"state": state, "epochs": heads, "device": device.type, "stacked": stacked}
    checked = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)  # a third of the time, for what `torch.load` never looks at
    try:
        _save(content, folder / RESUME)
    finally:
        torch.serialization.set_crc32_options(checked)


def read_resume(
    folder: Path, tables: Mapping[str, type], device: torch.device, stacked: bool
) -> tuple[dict[str, Any], list[Epoch]] | None:
    """The state and the epochs of an unfinished run, with the rows of `tables`; None where there is none.

    Raises:
        UserError: a file cannot be read, or was written on another kind of device or in another way of running.
    """
    path = folder / RESUME
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state, heads, kind, was = content["state"], content["epochs"], content["device"], content["stacked"]
    except Exception as error:
        raise UserError(
            f"cannot be read ({str(error).splitlines()[0]})", where=str(path), how="delete it to begin again"
        ) from error
    if kind != device.type:
        raise UserError(
            f"was written on {kind}, whose random numbers {device.type} cannot go on with",
            where=str(path),
            how=f"train.device={kind}, or delete it to begin again",
        )
    if was != stacked:
        raise UserError(
            f"was written by seeds that were trained {'stacked' if was else 'seed by seed'}",
            where=str(path),
            how=f"train.execution={'stacked' if was else 'seed_by_seed'}, or delete it to begin again",
        )
    rows: dict[int, list[Any]] = {}
    for name, row in tables.items():
        record: Any
        for record in records(folder / f"{name}.csv", row):
            rows.setdefault(math.ceil(record.epoch), []).append(record)  # what lies between two belongs to the later
    return state, [
        Epoch(**{**head, "diverged": tuple(head["diverged"]), "rows": tuple(rows.get(head["number"], ()))})
        for head in heads
    ]


def _save(content: Any, path: Path) -> None:
    """By way of memory: on a full disk, torch.save alone fails with an error of its own that hides the cause."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())
