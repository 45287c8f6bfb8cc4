"""Reports, before training, runs in a named study that look as if they would be resumed, but are not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from actbench.command.next_commands import whole
from actbench.command.planning import Job
from actbench.errors import Problem, UserError
from actbench.naming import shown
from actbench.settings import Settings
from actbench.store import reader

_ROUNDING = ("threads", "memory_format", "engine")  # a run can be resumed with another one: equal but for rounding


def remarks(jobs: Sequence[Job], typed: Sequence[str]) -> list[str]:
    """A sentence for each job that starts from scratch beside a similar earlier run, or is resumed in another way.

    Args:
        typed: the words of the command line.
    """
    folders = {job.folder for job in jobs}
    beside: dict[tuple[Path, str], _Beside] = {}
    sentences = []
    for job in jobs:
        if (job.folder / "settings.yaml").exists():
            sentences += _resumed_otherwise(job)
            continue
        place = job.folder.parent, job.settings.label
        if place not in beside:
            beside[place] = _Beside(*place, folders)
        if sentence := beside[place].remark(job.settings, typed):
            sentences.append(sentence)
    return list(dict.fromkeys(sentences))


class _Beside:
    """The runs of one label in a study that are not asked for. Each is read once, however many jobs are new.

    Of the finished ones only those are compared with a job that may differ from it in the number of epochs alone.
    """

    def __init__(self, study: Path, label: str, asked: Collection[Path]) -> None:
        self._finished: dict[str, list[tuple[Path, Settings]]] = {}
        self._others: list[tuple[Path, Settings]] = []
        for folder in sorted(study.glob(f"{label}-*-seed*")):
            if folder in asked or (theirs := _settings_in(folder)) is None:
                continue
            run = folder, theirs
            if reader.status(folder) in _FINISHED:
                self._finished.setdefault(_but_for_epochs(theirs), []).append(run)
            else:
                self._others.append(run)

    def remark(self, settings: Settings, typed: Sequence[str]) -> str:
        """The remark on the first run that differs from a new one in a single key; empty if there is none."""
        if not self._finished and not self._others:
            return ""
        runs = sorted([*self._finished.get(_but_for_epochs(settings), ()), *self._others], key=itemgetter(0))
        said = (_beside(settings, folder, theirs, typed) for folder, theirs in runs)
        return next(filter(None, said), "")


_FINISHED = ("completed", "diverged")


def _but_for_epochs(settings: Settings) -> str:
    flat = _flat(settings)
    del flat["train.epochs"]
    return repr(flat)


def _beside(settings: Settings, folder: Path, theirs: Settings, typed: Sequence[str]) -> str:
    """The remark on an earlier run that differs from the new one in a single key; empty for any other run."""
    differing = _differing(settings, theirs)
    finished = reader.status(folder) in _FINISHED
    if len(differing) != 1:
        return ""
    again = _command(typed, {key: theirs_value for key, (_, theirs_value) in differing.items()})
    if set(differing) == {"train.epochs"}:
        mine, other = differing["train.epochs"]
        how = (
            "and stays as it is: no run is made longer, since its schedule and its seeds' order are those of its epochs"
        )
        if not finished:
            how = f"which was not finished; to go on with that:  {again}"
        what = f"train.epochs={mine} is another run, which starts from scratch"
        return f"{what}: {folder} has train.epochs={other}, {how}"
    if not finished and reader.status(folder) != "failed":
        ((key, (mine, other)),) = differing.items()
        return (
            f"{key}={shown(mine)} is another run, which starts from scratch: {folder} has {key}={shown(other)} and "
            f"was not finished; to go on with that:  {again}"
        )
    return ""


def _flat(settings: Settings) -> dict[str, Any]:
    return {**settings.flat(), "seed": settings.seed, "num_seeds": settings.num_seeds}


def _differing(first: Settings, second: Settings) -> dict[str, tuple[Any, Any]]:
    """Key -> both values, for every key that gives the two runs different folders."""
    flats = [_flat(first), _flat(second)]
    keys = dict.fromkeys([*flats[0], *flats[1]])
    return {key: (flats[0].get(key), flats[1].get(key)) for key in keys if flats[0].get(key) != flats[1].get(key)}


def _resumed_otherwise(job: Job) -> list[str]:
    """Remarks on an interrupted run that is resumed with, for example, another number of threads."""
    theirs = _settings_in(job.folder) if (job.folder / reader.RESUME).exists() else None
    if theirs is None:
        return []
    return [
        f"{job.folder} was begun with train.{key}={shown(getattr(theirs.train, key))} and continues with "
        f"train.{key}={shown(getattr(job.settings.train, key))}: equal but for rounding"
        for key in _ROUNDING
        if getattr(theirs.train, key) != getattr(job.settings.train, key)
    ]


def lacking(settings: Settings, folder: Path) -> list[str]:
    """A sentence for each thing that is asked for and was not measured when a complete run was trained."""
    if reader.completed(folder) is None:
        return []
    return [
        f"{folder} was trained without {what}: another study=NAME trains it again"
        for what in _not_measured(settings, reader.settings_of(folder))
    ]


def _not_measured(settings: Settings, theirs: Settings) -> list[str]:
    lacking = []
    if settings.probe and not theirs.probe:
        lacking.append("probes")
    if settings.probe_every not in (None, theirs.probe_every):
        lacking.append(f"probe_every={settings.probe_every}")
    if settings.probe:
        measured = {choice.name for choice in theirs.measures}
        lacking += [f"conf/measure/{own.name}.yaml" for own in settings.measures if own.name not in measured]
    return lacking


def contradictions(jobs: Sequence[Job], typed: Sequence[str]) -> list[Problem]:
    """Interrupted runs that cannot be resumed in the way that is asked for, each with the command that resumes it."""
    return [problem for job in jobs for problem in _contradictions(job, typed)]


def _contradictions(job: Job, typed: Sequence[str]) -> list[Problem]:
    theirs = _settings_in(job.folder) if (job.folder / reader.RESUME).exists() else None
    if theirs is None:
        return []
    try:
        summary = reader.summary(job.folder)
    except UserError:
        return []  # which is reported where the folder is used
    was = {"execution": theirs.train.execution, "device": theirs.train.device.partition(":")[0]}
    if summary is not None and summary.execution:
        was["execution"] = summary.execution.partition(",")[0].partition(":")[0].replace(" ", "_")
    if summary is not None and summary.device:
        was["device"] = summary.device.partition(" ")[0].partition(":")[0]
    asked = {"execution": job.settings.train.execution, "device": job.settings.train.device.partition(":")[0]}
    return [
        Problem(
            f"the run in {job.folder} was begun with train.{key}={was[key]} and cannot continue in another way",
            f"train.{key}={asked[key]}",
            f"to go on with it:  {_command(typed, {f'train.{key}': was[key]})}\n"
            "    or another study=NAME starts from scratch",
        )
        for key in asked
        if "auto" not in (was[key], asked[key]) and was[key] != asked[key]
    ]


def _command(typed: Sequence[str], changed: dict[str, Any]) -> str:
    """The typed command, with other values for some keys."""
    return whole(typed, [f"{key}={shown(value)}" for key, value in changed.items()])


def _settings_in(folder: Path) -> Settings | None:
    try:
        return reader.settings_of(folder)
    except UserError:
        return None
