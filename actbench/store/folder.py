"""The folder of a run: plain files that pandas and torch can read. Every file is whole or not there."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from actbench.errors import UserError, in_a_line
from actbench.files.atomic import write_bytes, write_text
from actbench.records import (
    DefinitionRecord,
    Epoch,
    EpochRecord,
    LayerRecord,
    LookRecord,
    QuantisedRecord,
    RunSummary,
    ShapeRecord,
    UnitEvent,
)
from actbench.settings import Settings
from actbench.store import reader

_OF_EPOCHS: dict[str, type] = {  # the fields of an Epoch that have tables, and what is in them
    "records": EpochRecord,
    "layers": LayerRecord,
    "looks": LookRecord,
    "events": UnitEvent,
    "definitions": DefinitionRecord,
    "shapes": ShapeRecord,
}
_ALWAYS = ("records", "layers")  # have a file even where there is nothing to tell


class RunFolder:
    """Writes what a run leaves, and reads what an earlier process left of it.

    Args:
        path: the folder; it is made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tables = {name: _Table(path / reader.TABLES[kind], kind) for name, kind in _OF_EPOCHS.items()}

    def write_settings(self, settings: Settings) -> None:
        text = yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True)
        write_text(self.path / "settings.yaml", text)

    def write_environment(self, environment: dict[str, Any]) -> None:
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def write_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Appends the rows of `epochs` to `history.csv`, `layers.csv` and, where there are such, the other tables."""
        for name, table in self._tables.items():
            for epoch in epochs:
                table.add(getattr(epoch, name))
            if table.changed or name in _ALWAYS:
                table.write()
            elif table.empty:  # what is there is of an earlier attempt
                table.path.unlink(missing_ok=True)

    def write_quantised(self, records: Sequence[QuantisedRecord]) -> None:
        """`quantised.csv`."""
        table = _Table(self.path / reader.TABLES[QuantisedRecord], QuantisedRecord)
        table.add(records)
        table.write()

    def write_checkpoints(self, seeds: Sequence[int], state_dicts: Sequence[dict[str, Tensor]]) -> None:
        """`checkpoints/seed=K.pt` for each seed: a plain state_dict on the CPU."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        for seed, state in zip(seeds, state_dicts, strict=True):
            _save(state, folder / f"seed={seed}.pt")

    def read_checkpoints(self, seeds: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """Seed -> the state_dict that `write_checkpoints` left.

        Raises:
            UserError: one cannot be read.
        """
        found = {}
        for seed in seeds:
            path = self.path / "checkpoints" / f"seed={seed}.pt"
            try:
                found[seed] = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise UserError(
                    f"cannot be read ({in_a_line(error)})", where=str(path), how="train the run again: study=NAME"
                ) from error
        return found

    def write_summary(self, summary: RunSummary) -> None:
        text = json.dumps(_finite(summary.to_dict()), indent=2, ensure_ascii=False)
        write_text(self.path / "summary.json", text + "\n")

    def write_resume(self, state: dict[str, Any], epochs: Sequence[Epoch], device: torch.device, stacked: bool) -> None:
        """`resume.pt`: the state after the last of `epochs`, whose records are in the CSV files already."""
        own = [field.name for field in fields(Epoch) if field.name not in _OF_EPOCHS]
        heads = [{name: getattr(epoch, name) for name in own} for epoch in epochs]
        content = {"state": state, "epochs": heads, "device": device.type, "stacked": stacked}
        checked = torch.serialization.get_crc32_options()
        torch.serialization.set_crc32_options(False)  # a third of the time, for what `torch.load` never looks at
        try:
            _save(content, self.path / "resume.pt")
        finally:
            torch.serialization.set_crc32_options(checked)

    def read_resume(self, device: torch.device, stacked: bool) -> tuple[dict[str, Any], list[Epoch]] | None:
        """The state and the epochs of an unfinished run; None where there is none.

        Raises:
            UserError: the file cannot be read, or was written on another kind of device or in another way of running.
        """
        path = self.path / "resume.pt"
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
        tables = {name: reader.table(self.path, kind) for name, kind in _OF_EPOCHS.items()}
        return state, [
            Epoch(**{**head, "diverged": tuple(head["diverged"]), **_of_epoch(tables, head["number"])})
            for head in heads
        ]

    def remove_resume(self) -> None:
        for name in ("resume.pt", reader.TRACEBACK):
            (self.path / name).unlink(missing_ok=True)


def _of_epoch(tables: dict[str, list[Any]], number: int) -> dict[str, tuple[Any, ...]]:
    """The rows of one epoch; what lies between two epochs belongs to the later one."""
    return {name: tuple(row for row in rows if math.ceil(row.epoch) == number) for name, rows in tables.items()}


def _save(content: Any, path: Path) -> None:
    """By way of memory: on a full disk, torch.save alone fails with an error of its own that hides the cause."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


class _Table:
    """A CSV file that grows in memory and is replaced as a whole; numbers read back exactly."""

    def __init__(self, path: Path, kind: type) -> None:
        self.path = path
        self.text = io.StringIO()
        self.writer = csv.writer(self.text, lineterminator="\n")
        self.columns = [field.name for field in fields(kind)]
        self.writer.writerow(self.columns)
        self.empty, self.changed = True, False  # has no rows; has rows that are not written yet

    def add(self, records: Iterable[Any]) -> None:
        for record in records:
            self.writer.writerow([getattr(record, column) for column in self.columns])
            self.empty, self.changed = False, True

    def write(self) -> None:
        write_text(self.path, self.text.getvalue())
        self.changed = False


def _finite(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value
