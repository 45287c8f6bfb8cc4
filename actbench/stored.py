"""What earlier processes left in a run's folder, read without torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from actbench.errors import UserError
from actbench.records import EpochRecord, LayerRecord, RunSummary
from actbench.settings import Settings


def completed(folder: Path) -> RunSummary | None:
    """The summary of a run that is complete (or in which every seed diverged); None where there is still work to do."""
    path = folder / "summary.json"
    if not path.exists():
        return None
    try:
        summary = RunSummary.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"is not a summary that this version of actbench wrote ({error})",
            where=str(path),
            how="another study=NAME, or move the folder away",
        ) from error
    return summary if summary.status in ("completed", "diverged") else None


def check_owner(folder: Path, settings: Settings) -> None:
    """Nothing is written into a folder that holds something else.

    Raises:
        UserError: the folder belongs to another configuration or other seeds, or is a file.
    """
    path = folder / "settings.yaml"
    if folder.exists() and not folder.is_dir():
        raise UserError("is a file", where=str(folder), how="another study=NAME or output_dir")
    if not path.exists():
        foreign = sorted(p.name for p in folder.glob("*") if not p.name.startswith(".")) if folder.exists() else []
        if foreign:
            raise UserError(
                f"holds {foreign[0]} and no settings.yaml: it is not a run's folder",
                where=str(folder),
                how="another study=NAME or output_dir",
            )
        return
    try:
        owner: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        theirs = (owner["id"], owner["dataset"]["name"], owner["seed"], owner["num_seeds"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError("cannot be read", where=str(path), how="another study=NAME, or move the folder away") from error
    asked = settings
    if settings.dataset.name == "auto" and theirs[1] in ("mnist", "digits"):  # what `auto` turned out to be
        asked = settings.with_dataset(theirs[1])
    ours = (asked.id, asked.dataset.name, asked.seed, asked.num_seeds)
    if theirs != ours:
        raise UserError(
            f"holds another run: {_described(owner['activation']['name'], *theirs)}; "
            f"this one is {_described(asked.activation.name, *ours)}",
            where=str(folder),
            how="another study=NAME or output_dir",
        )


def _described(activation: str, run_id: str, dataset: str, seed: int, num_seeds: int) -> str:
    return f"{activation} on {dataset}, id {run_id}, {num_seeds} seeds from {seed}"


def status(folder: Path) -> str:
    """The status in a folder's `summary.json`, or an empty string."""
    try:
        return str(json.loads((folder / "summary.json").read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def tidy(folder: Path) -> None:
    """Removes what a killed process left half-written, and what a complete run has no use for."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)
    if status(folder) in ("completed", "diverged"):
        (folder / "resume.pt").unlink(missing_ok=True)


Record = TypeVar("Record", EpochRecord, LayerRecord)


def records(path: Path, kind: type[Record]) -> list[Record]:
    """The rows of `history.csv` (EpochRecord) or `layers.csv` (LayerRecord), exactly as they were."""
    if not path.exists():
        return []
    read: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}
    columns = {field.name: read[str(field.type)] for field in fields(kind)}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return [kind(**{name: columns[name](value) for name, value in row.items()}) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("cannot be read", where=str(path), how="another study=NAME, or move the folder away") from error


def last_layers(folder: Path) -> list[LayerRecord]:
    """The layers of the last epoch in `layers.csv`."""
    layers = records(folder / "layers.csv", LayerRecord)
    last = max((layer.epoch for layer in layers), default=0)
    return [layer for layer in layers if layer.epoch == last]
