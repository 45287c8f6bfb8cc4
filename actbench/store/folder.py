"""The folder of a run: plain files that pandas and torch can read. Every file is whole or not there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from actbench.files.atomic import write_text
from actbench.measures import registry
from actbench.records import Epoch, RunSummary
from actbench.settings import Settings
from actbench.store import checkpoints, correctness, own_tables, preactivations
from actbench.store.owner import RESUME, TRACEBACK
from actbench.store.preactivations import Preactivations
from actbench.store.settings_file import write_settings
from actbench.store.summary import write_summary
from actbench.store.tables import Table, of_epochs


class RunFolder:
    """Writes what a run leaves, and reads what an earlier process left of it.

    Args:
        path: the folder; it is made when the first file is written.
        own: file without `.csv` -> its rows, of the user's own measurements.
    """

    def __init__(self, path: Path, own: Mapping[str, type] | None = None) -> None:
        self.path, self.own = path, own or {}
        self.kinds = {**of_epochs(), **self.own}
        self._tables = {kind: Table(path / f"{name}.csv", kind) for name, kind in self.kinds.items()}

    def write_settings(self, settings: Settings) -> None:
        write_settings(self.path, settings)

    def write_environment(self, environment: dict[str, Any]) -> None:
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def write_sites(self, table: str) -> None:
        """`sites.csv`: the activations that were found in a network of the user's own."""
        write_text(self.path / "sites.csv", table)

    def write_epochs(self, epochs: Sequence[Epoch]) -> None:
        """Appends the rows of `epochs` to the tables. One that has no rows is not there, but for those of every run."""
        for kind, table in self._tables.items():
            for epoch in epochs:
                table.add(epoch.of(kind))
            table.update()
        if self.own:
            own_tables.write(self.path, self.own)

    def write_rows(self, rows: Iterable[Any]) -> None:
        """The tables that are written once, at the end, with `rows`; those that have no table are left out."""
        by_type: dict[type, list[Any]] = {}
        for row in rows:
            by_type.setdefault(type(row), []).append(row)
        for name, kind in registry.tables().items():
            if kind in by_type and kind not in self._tables:
                table = Table(self.path / f"{name}.csv", kind)
                table.add(by_type[kind])
                table.write()

    def write_checkpoints(self, seeds: Sequence[int], state_dicts: Sequence[dict[str, Tensor]]) -> None:
        """`checkpoints/seed=K.pt` for each seed: a plain state_dict on the CPU."""
        checkpoints.write_checkpoints(self.path, seeds, state_dicts)

    def read_checkpoints(self, seeds: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """Seed -> the state_dict that `write_checkpoints` left; a UserError where one cannot be read."""
        return checkpoints.read_checkpoints(self.path, seeds)

    def write_correctness(self, seeds: Sequence[int], hits: Tensor) -> None:
        """`correct.npz`: whether each of `seeds` classified each image of the test set correctly, (S, N)."""
        correctness.write(self.path, seeds, hits.cpu().numpy())

    def write_preactivations(self, seen: Preactivations | None) -> None:
        """`preactivations.npz`, if there is something to write."""
        if seen is not None:
            preactivations.write(self.path, seen)

    def write_summary(self, summary: RunSummary) -> None:
        write_summary(self.path, summary)

    def write_resume(self, state: dict[str, Any], epochs: Sequence[Epoch], device: torch.device, stacked: bool) -> None:
        """`resume.pt`: the state after the last of `epochs`, whose rows are in the tables already."""
        checkpoints.write_resume(self.path, state, epochs, device, stacked)

    def read_resume(self, device: torch.device, stacked: bool) -> tuple[dict[str, Any], list[Epoch]] | None:
        """The state and the epochs of an unfinished run; None where there is none.

        Raises:
            UserError: a file cannot be read, or was written on another kind of device or in another way of running.
        """
        return checkpoints.read_resume(self.path, self.kinds, device, stacked)

    def remove_resume(self) -> None:
        for name in (RESUME, TRACEBACK):
            (self.path / name).unlink(missing_ok=True)
