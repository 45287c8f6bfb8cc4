"""Seeds that a study holds already are not trained again: a job is planned for those that are missing.

A run is one folder with consecutive seeds. Further seeds of its configuration become runs beside it, and the
comparison takes all of them together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from actbench.command.begun import Study
from actbench.command.override import key_of
from actbench.command.planning import Job
from actbench.store import reader


@dataclass(frozen=True)
class Parts:
    """The jobs that one job becomes: runs that are complete, runs that were begun, and those for the other seeds."""

    complete: tuple[Job, ...] = ()
    begun: tuple[Job, ...] = ()
    new: tuple[Job, ...] = ()

    @property
    def due(self) -> tuple[Job, ...]:
        return (*self.begun, *self.new)

    @property
    def all(self) -> tuple[Job, ...]:
        return (*self.complete, *self.due)


def parts_of(job: Job, study: Study) -> Parts:
    """What there is of a job's seeds in its study, and what is missing.

    A run that was begun is resumed in its own folder if all its seeds are asked for and no other run has them. A job
    of which some setting depends on its seed stays as it is.

    Raises:
        UserError: the files of a run cannot be read.
    """
    if reader.completed(job.folder) is not None:
        return Parts(complete=(job,))
    if (job.folder / "settings.yaml").exists():
        return Parts(begun=(job,))
    if depends_on_seed(job):
        return Parts(new=(job,))
    missing = {*job.settings.seeds}
    complete, begun = [], []
    stored = [(settings, job.folder.parent / settings.folder) for settings in study.runs_of(job.settings)]
    finished = {folder for _, folder in stored if reader.completed(folder) is not None}
    for settings, folder in stored:
        if folder in finished and missing & {*settings.seeds}:
            complete.append(with_seeds(job, settings.seed, settings.num_seeds))
            missing -= {*settings.seeds}
    for settings, folder in stored:
        if folder not in finished and {*settings.seeds} <= missing:
            begun.append(with_seeds(job, settings.seed, settings.num_seeds))
            missing -= {*settings.seeds}
    if not complete and not begun:
        return Parts(new=(job,))
    return Parts(tuple(complete), tuple(begun), tuple(with_seeds(job, *run) for run in consecutive(missing)))


def trained(job: Job, study: Study) -> set[int]:
    """The seeds of a job's configuration, whichever it asks for, that were trained to the end, or diverged."""
    complete = [s for s in study.runs_of(job.settings) if reader.completed(job.folder.parent / s.folder) is not None]
    return {seed for settings in complete for seed in settings.seeds}


def depends_on_seed(job: Job) -> bool:
    """Whether a setting takes its value from the seeds, so that other seeds would be another configuration."""
    looked_up = ("${seed", "${num_seeds")
    return any(text.encode() in job.composed or text in str(job.values) for text in looked_up)


def consecutive(seeds: Collection[int]) -> list[tuple[int, int]]:
    """First seed and number of each unbroken range.

    >>> consecutive({5, 6, 7, 10})
    [(5, 3), (10, 1)]
    """
    ranges = []
    for _, members in groupby(enumerate(sorted(seeds)), key=lambda pair: pair[1] - pair[0]):
        own = [seed for _, seed in members]
        ranges.append((own[0], len(own)))
    return ranges


def with_seeds(job: Job, first: int, number: int) -> Job:
    """The same job for other seeds, as if they had been typed. Nothing is composed again."""
    asked = {"seed": first, "num_seeds": number}
    overrides = [o if key_of(o) not in asked else f"{key_of(o)}={asked[key_of(o)]}" for o in job.overrides]
    overrides += [f"{key}={value}" for key, value in asked.items() if key not in map(key_of, overrides)]
    settings = replace(job.settings, seed=first, num_seeds=number)
    values = tuple(({**dict(job.values), **asked}).items())
    folder = job.folder.parent / settings.folder
    return replace(job, overrides=tuple(overrides), settings=settings, folder=folder, values=values)


@dataclass
class Extended:
    """The jobs of a command, of which seeds that are on disk were taken out, and what is to be said of it."""

    jobs: list[Job] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def without_seeds_on_disk(jobs: Iterable[Job]) -> Extended:
    """The jobs that train what is missing, each behind those that show what is there.

    Raises:
        UserError: the files of a run cannot be read.
    """
    extended = Extended()
    studies: dict[Path, Study] = {}
    there: set[Path] = set()
    for job in jobs:
        parts = parts_of(job, studies.setdefault(job.folder.parent, Study(job.folder.parent)))
        extended.jobs += [part for part in parts.all if part.folder not in there]
        there.update(part.folder for part in parts.all)
        if parts.all != (job,):
            extended.remarks.append(_remark(job, parts))
    return extended


def _remark(job: Job, parts: Parts) -> str:
    """`relu-mlp in outputs/s: seeds 0-4 are there already, seeds 5-14 are trained`."""
    said = [
        f"{_seeds(jobs)} {'is' if _is_one(jobs) else 'are'} {how}"
        for jobs, how in ((parts.complete, "there already"), (parts.new, "trained"))
        if jobs
    ]
    if parts.begun:
        said.insert(
            -1 if parts.new else len(said), f"{_seeds(parts.begun)} {'goes' if _is_one(parts.begun) else 'go'} on"
        )
    return f"{job.settings.label} in {job.folder.parent}: {', '.join(said)}"


def _is_one(jobs: Sequence[Job]) -> bool:
    return sum(job.settings.num_seeds for job in jobs) == 1


def _seeds(jobs: Sequence[Job]) -> str:
    """`seed 3`, `seeds 0-4, 7`."""
    ranges = consecutive({seed for job in jobs for seed in job.settings.seeds})
    listed = ", ".join(f"{first}-{first + number - 1}" if number > 1 else str(first) for first, number in ranges)
    return f"seed{'' if _is_one(jobs) else 's'} {listed}"
