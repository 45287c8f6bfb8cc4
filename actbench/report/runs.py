"""Finds and reads the folders of runs. What cannot be used is reported, and the rest is used."""

from __future__ import annotations

import contextlib
import gc
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from actbench.copies import made
from actbench.errors import Problem, UserError
from actbench.measures.scores import EpochRecord
from actbench.records import RunSummary
from actbench.report import run_folders
from actbench.settings import Settings
from actbench.store import read_before, reader
from actbench.store.packed import Stored, Timed
from actbench.store.read_before import ReadBefore


@dataclass(frozen=True)
class Run:
    """One run's folder. `summary` is None where the run has not ended: it is still running, or was killed.

    `epochs` has the times of its epochs, in their order, `surroundings` the content of `environment.json` (None where
    it has not been read).
    """

    folder: Path
    settings: Settings
    summary: RunSummary | None
    epochs: tuple[Timed, ...] = field(default=(), compare=False)  # NaN is not equal to itself
    surroundings: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def complete(self) -> bool:
        """It has results: every seed was trained to the end, or diverged."""
        return self.summary is not None and self.summary.status in ("completed", "diverged")

    @property
    def pruned(self) -> bool:
        """A search gave it up before its last epoch."""
        return self.summary is not None and self.summary.status == "pruned"

    @property
    def dataset(self) -> str:
        """The name of the dataset that was trained on."""
        name = self.summary.dataset if self.summary else self.settings.dataset.name
        return "mnist" if name == "auto" else name  # a run that stopped before it knew; its id is that of MNIST


Tell = Callable[[str], None]


def silent(_: str) -> None:
    """Tells nobody what is going on."""


@dataclass
class FoundRuns:
    """The runs below some paths, and the problems with what could not be used."""

    runs: list[Run] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def find(paths: Sequence[Path], *, of_command: bool = False, tell: Tell = silent) -> FoundRuns:
    """Every run at or below `paths`.

    Args:
        paths: folders.
        of_command: whether this process does nothing else, so that it may start others that read very many runs, and
            need not look for garbage among them later.
        tell: is told in words what is going on, where there are very many runs.

    Raises:
        UserError: a path does not exist, or holds no run.
    """
    found = FoundRuns()
    folders = run_folders.below(paths, found.problems)
    caches: dict[str, ReadBefore] = {}
    if len(folders) > _MANY:
        tell(f"reading {len(folders):,} runs")
    with _without_collecting():
        kept = [_kept(folder, caches) for folder in folders]
        others = [folder for folder, run in zip(folders, kept, strict=True) if run is None]
        read = _read_side_by_side(others, caches, tell) if of_command and len(others) > _MANY else {}
        for folder, run in zip(folders, kept, strict=True):
            stored = read.get(str(folder))
            try:
                found.runs.append(run or (_of_stored(folder, stored) if stored else _read(folder, caches)))
            except UserError as error:
                found.problems += error.problems
        for cache in caches.values():
            cache.save()
        if of_command and len(found.runs) > _MANY:
            gc.freeze()
            gc.set_threshold(100_000, 20, 20)  # what the report makes of so many stays, too
    if len(folders) > _MANY:
        tell(f"comparing {len(found.runs):,} runs")
    return found


_MANY = 1000


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """There is no garbage, and looking for it among millions of values takes a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _kept(folder: Path, caches: dict[str, ReadBefore]) -> Run | None:
    """A run as it was read before, if its files are still the same."""
    path = str(folder)
    study, name = os.path.split(path)
    if study not in caches:
        caches[study] = ReadBefore.of(Path(study))
    stored = caches[study].get(path, name) if caches[study].rows else None
    return None if stored is None else _of_stored(folder, stored)


def _read_side_by_side(folders: Sequence[Path], caches: dict[str, ReadBefore], tell: Tell) -> dict[str, Stored]:
    from actbench.report import side_by_side

    read: dict[str, Stored] = {}
    for found, texts in side_by_side.read(folders):
        for study in {os.path.dirname(folder) for folder, _ in found}:
            caches[study].parts.texts |= texts
        for folder, packed in found:
            read[folder] = caches[os.path.dirname(folder)].keep(folder, packed)
        tell(f"reading {len(folders):,} runs: {len(read):,} are read")
    return read


def _read(folder: Path, caches: dict[str, ReadBefore]) -> Run:
    key = read_before.key_of(str(folder))
    run = from_files(folder)
    stored = stored_of(run)
    if stored is not None:
        caches[os.path.dirname(folder)].add(folder, key, stored)
    return run


def stored_of(run: Run) -> Stored | None:
    """What is kept of a run; None of one without all files."""
    if run.summary is None or run.surroundings is None:
        return None
    return Stored(run.settings, run.summary, run.epochs, run.surroundings)


def _of_stored(folder: Path, stored: Stored) -> Run:
    settings, summary, epochs, environment = stored
    values = {"settings": settings, "summary": summary, "epochs": epochs, "surroundings": environment}
    return made(Run, {"folder": folder, **values})


def from_files(folder: Path) -> Run:
    """A run as its files say; a UserError where they cannot be read or contradict each other."""
    if not os.path.lexists(f"{folder}/settings.yaml"):
        what = "has no settings.yaml: the run stopped before it wrote one, or the file was removed"
        raise UserError(what, where=str(folder), how="the same command trains it again")
    settings, summary = reader.settings_of(folder), reader.summary(folder)
    run = Run(folder, settings, summary, surroundings=reader.environment(folder))
    if summary is None:
        return run
    history = reader.records(f"{folder}/history.csv", EpochRecord)
    _check_same(run, summary, history)
    times = {record.epoch: Timed(record.seconds, record.waiting) for record in history if 0 < record.seconds < math.inf}
    return replace(run, epochs=tuple(times[epoch] for epoch in sorted(times)))


def _check_same(run: Run, summary: RunSummary, history: Sequence[EpochRecord]) -> None:
    """Raises where settings, summary and history of a folder belong to different configurations."""
    where, settings = str(run.folder / "summary.json"), run.settings
    how = "move the folder away: it mixes the files of two runs, or one of them was changed by hand"
    if summary.id != settings.id:
        raise UserError(
            f"belongs to configuration {summary.id}, but settings.yaml beside it to {settings.id}", where=where, how=how
        )
    if list(summary.seeds) != settings.seeds or summary.activation != settings.activation.name:
        raise UserError("names other seeds or another activation than settings.yaml beside it", where=where, how=how)
    last = {record.seed: record for record in history if record.epoch == summary.epochs_done}
    if not {record.seed for record in history} <= {*settings.seeds}:
        raise UserError("has other seeds than settings.yaml beside it", where=str(run.folder / "history.csv"), how=how)
    metric = summary.metrics.get("val_accuracy")
    for seed, value in zip(summary.seeds, metric.values, strict=True) if metric else ():
        if value is None or (seed not in last and not run.complete):
            continue
        recorded = last[seed].val_accuracy if seed in last else math.nan
        if not math.isclose(recorded, value, abs_tol=1e-6):
            what = f"the validation accuracy of seed {seed} ({value}) is not that in history.csv ({recorded})"
            raise UserError(what, where=where, how=how)


def environment(run: Run) -> dict[str, Any]:
    """The content of `environment.json`, which must not be changed; empty where it cannot be read."""
    return reader.environment(run.folder) if run.surroundings is None else run.surroundings


def trained_at(run: Run) -> str:
    """When a run was started or last resumed (ISO 8601, UTC); empty, which sorts first, where it is not recorded."""
    recorded = str(environment(run).get("time", ""))
    try:
        when = datetime.fromisoformat(recorded)
        return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).astimezone(timezone.utc).isoformat()
    except (ValueError, OverflowError):
        return ""


def state(run: Run) -> str:
    """The state of a run, in one line."""
    if run.summary is None or run.summary.status == "interrupted":
        try:
            done = max((record.epoch for record in reader.records(run.folder / "history.csv", EpochRecord)), default=0)
        except UserError:
            return "unfinished; its history.csv cannot be read"
    if run.summary is None or (run.summary.status == "interrupted" and done > run.summary.epochs_done):
        # in the second case it has gone on since it was interrupted
        return f"unfinished: {done} of {run.settings.train.epochs} epochs; still running, or killed"
    if run.summary.status == "diverged":
        return "diverged: " + ", ".join(f"seed {seed} in epoch {at}" for seed, at in run.summary.diverged.items())
    reason = f": {run.summary.reason}" if run.summary.reason else ""
    return f"{run.summary.status}{reason}"
