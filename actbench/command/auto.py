"""`dataset=auto`: MNIST where it is on disk or can be downloaded, else the digits of scikit-learn.

It is found out once for a command, before anything is trained: settings say `mnist` or `digits`, and what the reader
of a result must know about that goes with them as `Settings.dataset_note`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.errors import UserError
from actbench.settings import Choice, Settings
from actbench.store import reader

if TYPE_CHECKING:
    from actbench.command.planning import Job

NAME = "auto"
NOTE = "dataset.note"  # by which the note reaches a job in another process; nobody types it


@dataclass(frozen=True)
class Decision:
    """What `dataset=auto` is, and what is to be said of it."""

    name: str
    note: str = ""

    def choice(self, params: dict[str, Any]) -> Choice:
        return Choice(self.name, f"actbench.datasets.{self.name}", params)


ASSUMED = Decision("mnist")  # as long as a command line is only looked at


@lru_cache(maxsize=1)
def decide() -> Decision:
    """Looks for MNIST, and downloads it where it is missing.

    Raises:
        UserError: a file is damaged and cannot be fetched again, or the data folder cannot be used.
    """
    from actbench.datasets.mnist import why_not_mnist

    reason = why_not_mnist()
    return Decision("digits", reason) if reason else Decision("mnist")


def take_note(content: dict[Any, Any], names: Mapping[str, Any]) -> str:
    """Takes the note out of a configuration that has one."""
    dataset = content.get("dataset")
    if names.get("dataset") != "digits" or not isinstance(dataset, dict):
        return ""
    return str(dataset.pop("note", ""))


def resolve(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with what `dataset=auto` is for all of them.

    What a study was begun with it goes on with; where none of the folders is there, MNIST is looked for.

    Raises:
        UserError: a file of MNIST's is damaged and cannot be fetched again, or the data folder cannot be used.
    """
    ours = [job for job in jobs if job.automatic]
    decision = (_begun_with(ours) or decide()) if ours else ASSUMED
    return [_as(job, decision) if job.automatic else job for job in jobs]


def _begun_with(jobs: Sequence[Job]) -> Decision | None:
    for job in jobs:
        if (stored := _stored(job.folder)) is not None:
            return Decision(stored.dataset.name, stored.dataset_note)
    for job in jobs:
        if (stored := _stored(_as(job, Decision("digits")).folder)) is not None and stored.dataset_note:
            return Decision("digits", stored.dataset_note)
    return None


def _stored(folder: Path) -> Settings | None:
    try:
        return reader.settings_of(folder)
    except UserError:
        return None


def _as(job: Job, decision: Decision) -> Job:
    settings = job.settings
    dataset = decision.choice(settings.dataset.params)
    settings = replace(settings, dataset=dataset, dataset_note=decision.note)
    return replace(job, settings=settings, folder=job.folder.parent / settings.folder)
