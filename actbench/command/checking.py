"""Checks every job before the first one starts: its folder, and whether it can be built."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actbench.command import launchers
from actbench.command.planning import Job
from actbench.custom import measure_files
from actbench.errors import Problem, UserError
from actbench.settings import Settings
from actbench.store import reader
from actbench.store.attempts import Attempts, check_version


def check(jobs: Sequence[Job], problems: Sequence[Problem], whole: str = "") -> None:
    """Checks every job that is not complete yet.

    Args:
        jobs: of the command.
        problems: those found before.
        whole: the corrected command, if it is known: it is printed if no other problem is found here.

    Raises:
        UserError: with `problems` and all problems that are found here.
    """
    every, waiting = [*problems], []
    for job in jobs:
        try:
            reader.check_owner(job.folder, job.settings)
            _check_writable(job.folder)
            if is_due(job.settings, job.folder):
                check_version(job.folder, Attempts(job.folder).last())
                waiting.append(job)
        except UserError as error:
            every += error.problems
    if waiting:
        from actbench.command import digests
        from actbench.train import checks, machine
        from actbench.train.checked import Checked

        elsewhere = launchers.elsewhere(waiting[0].config)
        for sentence in measure_files.unused(waiting[0].settings.trust):
            print(sentence, file=sys.stderr)
        changes = {study: digests.Changes(study) for study in {job.folder.parent for job in waiting}}
        for job in waiting:
            for sentence in changes[job.folder.parent].since(job.settings):
                print(sentence, file=sys.stderr)
        machine.prepare(waiting[0].settings.train.threads)
        checked = Checked()
        for settings in {job.folder.name: job.settings for job in waiting}.values():
            if checked.covers(settings):
                continue
            try:
                checks.check(settings, quick=bool(every), elsewhere=elsewhere)
                if not every:
                    checked.add(settings)
            except UserError as error:
                every += error.problems
    if whole and len(every) == len(problems):
        last = every[-1]
        every[-1] = replace(last, how=f"{last.how}\n    {whole}" if last.how and whole not in last.how else whole)
    if every:
        raise UserError.of(every)


def is_due(settings: Settings, folder: Path) -> bool:
    """Whether a run still has to be trained, or to be scored in INT8."""
    finished = reader.completed(folder)
    return finished is None or reader.lacks_int8(settings, finished)


def _check_writable(folder: Path) -> None:
    """Tries the nearest folder that exists."""
    near = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=near):
            pass
    except OSError as error:
        how = "output_dir=FOLDER that you may write to"
        raise UserError(error.strerror or str(error), where=str(near), how=how) from error
