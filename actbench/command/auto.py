"""`dataset=auto`: MNIST where it is on disk or can be downloaded, else the digits of scikit-learn.

It is decided once per command, before anything is trained: the settings then say `mnist` or `digits`, and
`Settings.dataset_note` has what the reader of a result must know about that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.command.begun import Study
from actbench.errors import UserError
from actbench.settings import Choice, Settings
from actbench.store import reader

if TYPE_CHECKING:
    from actbench.command.planning import Job

NAME = "auto"
NOTE = "dataset.note"  # internal key that carries the note to a job in another process


@dataclass(frozen=True)
class Decision:
    """The dataset that `dataset=auto` stands for, and a note for the reader of the results."""

    name: str
    note: str = ""

    def choice(self, params: dict[str, Any]) -> Choice:
        return Choice(self.name, f"actbench.datasets.{self.name}", params)


ASSUMED = Decision("mnist")  # while a command line is only being planned


@lru_cache(maxsize=1)
def decide() -> Decision:
    """Looks for MNIST, and downloads it where it is missing.

    Raises:
        UserError: a file is damaged and cannot be fetched again, or the data folder cannot be used.
    """
    from actbench.datasets.mnist import why_not_mnist

    reason = why_not_mnist()
    return Decision("digits", reason) if reason else Decision("mnist")


def without_note(content: Mapping[Any, Any], names: Mapping[str, Any]) -> tuple[Mapping[Any, Any], str]:
    """A configuration without the note, and the note; an empty string if there is none."""
    dataset = content.get("dataset")
    if names.get("dataset") != "digits" or not isinstance(dataset, dict) or "note" not in dataset:
        return content, ""
    return {**content, "dataset": {key: value for key, value in dataset.items() if key != "note"}}, str(dataset["note"])


def resolve(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with `dataset=auto` replaced by the same dataset in all of them.

    A study keeps the dataset that it was begun with; if none of the jobs' folders exists, `decide` looks for MNIST.

    Raises:
        UserError: a file of MNIST's is damaged and cannot be fetched again, or the data folder cannot be used.
    """
    ours = [job for job in jobs if job.automatic]
    decision = (_begun_with(ours) or decide()) if ours else ASSUMED
    return [decided(job, decision) if job.automatic else job for job in jobs]


def _begun_with(jobs: Sequence[Job]) -> Decision | None:
    studies = {study: Study(study) for study in {job.folder.parent for job in jobs}}
    for job in jobs:
        if (stored := _stored(job, studies)) is not None:
            return Decision(stored.dataset.name, stored.dataset_note)
    for job in jobs:
        if (stored := _stored(decided(job, Decision("digits")), studies)) is not None and stored.dataset_note:
            return Decision("digits", stored.dataset_note)
    return None


def _stored(job: Job, studies: Mapping[Path, Study]) -> Settings | None:
    """The settings of a run of the same configuration, perhaps with other seeds."""
    for folder in (job.folder, *studies[job.folder.parent].folders_of(job.settings)):
        if folder.exists():
            with contextlib.suppress(UserError):
                return reader.settings_of(folder)
    return None


def decided(job: Job, decision: Decision) -> Job:
    """A job with `dataset=auto` as the job of what was decided on."""
    settings = job.settings
    dataset = decision.choice(settings.dataset.params)
    settings = replace(settings, dataset=dataset, dataset_note=decision.note)
    return replace(job, settings=settings, folder=job.folder.parent / settings.folder)
