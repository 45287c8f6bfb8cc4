"""Finds and reads the folders of runs. What cannot be used is reported, and the rest is used."""

from __future__ import annotations

import difflib
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from actbench.errors import Problem, UserError
from actbench.files.reading import leaves, read_text
from actbench.measures.scores import EpochRecord
from actbench.records import RunSummary
from actbench.settings import Settings
from actbench.store import reader


class Timed(NamedTuple):
    """The wall time of one epoch for all seeds, and the share of it in which threads waited for a core (or NaN)."""

    seconds: float
    waiting: float


@dataclass(frozen=True)
class Run:
    """One run's folder. `summary` is None where the run has not ended: it is still running, or was killed.

    `epochs` has the times of its epochs, in their order.
    """

    folder: Path
    settings: Settings
    summary: RunSummary | None
    epochs: tuple[Timed, ...] = field(default=(), compare=False)  # NaN is not equal to itself

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


@dataclass
class FoundRuns:
    """The runs below some paths, and the problems with what could not be used."""

    runs: list[Run] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


_FOLDERS = "the folder of a run, a sweep or a study, or `outputs`"


def _near(path: Path) -> str:
    """What was probably meant by a folder that does not exist: the study of this name, or one of a similar name."""
    outputs = Path("outputs")
    if path.name and (outputs / path).is_dir():
        return f"did you mean {outputs / path}?"
    above = path.parent if path.parent.is_dir() and path.parent != Path() else outputs
    try:
        names = [folder.name for folder in above.iterdir() if folder.is_dir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {above / near[0]}?" if near else ""


def find(paths: Sequence[Path]) -> FoundRuns:
    """Every run at or below `paths`.

    Raises:
        UserError: a path does not exist, or holds no run.
    """
    found = FoundRuns()
    bad_paths = []
    folders: dict[Path, Path] = {}  # resolved -> as given, so that a run is read once
    for path in paths:
        if not path.is_dir():
            what = "is a file" if path.exists() else "there is no such folder"
            bad_paths.append(Problem(what, str(path), _near(path) or _FOLDERS))
            continue
        below = list(_folders(path, found.problems))
        if not below:
            bad_paths.append(
                Problem("there is no run in it", str(path), "a sweep makes some: actbench -m activation=relu,gelu")
            )
        for folder in below:
            folders.setdefault(folder.resolve(), folder)
    if bad_paths:
        raise UserError.of(bad_paths)
    for folder in folders.values():
        try:
            found.runs.append(_read(folder))
        except UserError as error:
            found.problems += error.problems
    return found


_RUN_FILES = {"settings.yaml", "summary.json", "history.csv"}  # a run's folder has at least one of them


def _folders(path: Path, problems: list[Problem]) -> Iterator[Path]:
    """Every run's folder at or below `path`; links within `path` are followed, each folder is visited once."""
    visited: set[str] = set()
    home = os.path.realpath(path)

    def unreadable(error: OSError) -> None:
        problems.append(
            Problem(error.strerror or str(error), str(error.filename), "its runs are not in the comparison")
        )

    for folder, below, files in os.walk(path, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        if _RUN_FILES & {*files} or (".hydra" in below and _begun(Path(folder))):
            yield Path(folder)
            below.clear()  # a run's folder holds no other
        else:
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in [name for name in below if os.path.islink(os.path.join(folder, name))]:
                link = os.path.join(folder, name)
                if leaves(Path(link), Path(home)):  # the folder may be a stranger's
                    below.remove(name)
                    if Path(home).is_relative_to(os.path.realpath(link)):
                        continue  # a circle: it leads to a folder above
                    how = f"actbench report {shlex.quote(str(path))} {shlex.quote(link)} compares with what is there"
                    problems.append(Problem("is a link that leads out of what was asked for", link, how))


def _begun(folder: Path) -> bool:
    """Whether there is a record of Hydra's for a job of ours, which has written nothing else."""
    try:
        text = read_text(folder / ".hydra" / "config.yaml")
    except (OSError, ValueError):
        return False
    return "\nnum_seeds:" in text and "activation:" in text


def _read(folder: Path) -> Run:
    if not os.path.lexists(folder / "settings.yaml"):
        what = "has no settings.yaml: the run stopped before it wrote one, or the file was removed"
        raise UserError(what, where=str(folder), how="the same command trains it again")
    settings, summary = reader.settings_of(folder), reader.summary(folder)
    run = Run(folder, settings, summary)
    if summary is None:
        return run
    history = reader.records(folder / "history.csv", EpochRecord)
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
    """The content of `environment.json`; empty where it cannot be read."""
    return reader.environment(run.folder)


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
