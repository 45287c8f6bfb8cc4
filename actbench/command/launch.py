"""`actbench KEY=VALUE ...`: plans the runs, checks all of them, trains, and compares the runs of a sweep."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from actbench.command import (
    auto,
    checking,
    composing,
    conditions,
    correcting,
    duplicate_runs,
    earlier,
    extending,
    next_commands,
    override,
    repeated_keys,
    search,
    search_check,
    showing,
    starting,
    task_function,
    typed,
)
from actbench.command.complaints import FAILED, complain, of_the_disk
from actbench.command.planning import BASIC, Job
from actbench.errors import UserError, from_disk
from actbench.store import reader


def launch(words: Sequence[str]) -> int:
    """Trains what is typed, or shows what Hydra's flags ask for (`--cfg job`); returns the exit code.

    Args:
        words: the command line, without the program's name.

    Raises:
        UserError: the command is wrong, with all its problems; nothing has been written then.
    """
    logging.raiseExceptions = False  # what Hydra logs goes to a pipe that perhaps nobody reads any more
    line = typed.read(words)
    composing.register()
    if line.multirun:
        search.register()
    understood = correcting.understand(line)
    for preset, rest in understood.narrowed:
        print(f"{preset}: replaced by {rest}", file=sys.stderr)
    if line.shows:
        checking.check([], understood.problems, understood.whole)
        showing.show(line.shows, understood.overrides)
        return 0
    jobs, problems = understood.jobs, list(understood.problems)
    if not problems:
        jobs = auto.resolve(jobs)
        problems += duplicate_runs.shared([(job.overrides, job.folder) for job in jobs])
    taken: list[str] = []
    if not problems:
        extended = extending.without_seeds_on_disk(jobs)
        jobs, taken = extended.jobs, extended.remarks
    problems += earlier.contradictions(jobs, words)
    if line.multirun and not (jobs and jobs[0].config.hydra.runtime.choices["hydra/sweeper"] == BASIC):
        problems += search_check.check(understood.overrides)
    checking.check(jobs, problems, understood.whole)
    swept = repeated_keys.of_presets([*map(override.read, line.overrides)])
    remarks = conditions.remarks(jobs, [*line.overrides, *swept])
    for remark in dict.fromkeys([*remarks, *earlier.remarks(jobs, words), *taken]):
        print(remark, file=sys.stderr)
    return _train(jobs, understood.overrides, words, multirun=line.multirun)


def _train(jobs: Sequence[Job], overrides: Sequence[str], words: Sequence[str], *, multirun: bool) -> int:
    task_function.exit_codes.clear()
    task_function.typed[:] = words
    compared = 0
    try:
        starting.start(jobs, overrides, multirun=multirun)
    except OSError as error:  # in a file that Hydra writes
        then = next_commands.how_to_go_on(words, jobs[0].settings.study)
        task_function.exit_codes.append(complain(of_the_disk(error, str(jobs[0].folder.parent), then=then)))
    finally:  # even if some of the runs failed
        if multirun or len(jobs) > 1:
            compared = _compare(dict.fromkeys(job.folder.parent for job in jobs))
            _name_jobs_not_started(jobs)
    if not task_function.exit_codes:
        task_function.exit_codes.extend(0 if how == "completed" else FAILED for how in search.ended)
    return (
        max(*task_function.exit_codes, compared)
        if task_function.exit_codes
        else max(_exit_code_by_files(jobs), compared)
    )


def _exit_code_by_files(jobs: Sequence[Job]) -> int:
    """The exit code of jobs that ran in other processes, from the status in their folders."""
    folders = [job.folder for job in jobs]
    if not any(folder.exists() for folder in folders):  # a search, whose jobs are not planned
        folders = [path.parent for job in jobs for path in job.folder.parent.glob("*/settings.yaml")]
    ended = {reader.status(folder) for folder in folders}
    return 0 if ended == {"completed"} else FAILED


def _compare(studies: Iterable[Path]) -> int:
    """The comparison that a sweep ends with; returns the exit code."""
    from actbench.report import command

    code = 0
    for study in studies:
        if not [
            *study.glob("*/.hydra"),
            *study.glob("*/settings.yaml"),
        ]:  # no job began, for a reason that has been printed
            code = FAILED
            continue
        try:
            command.after_sweep(task_function.relative(study.absolute()))
        except (UserError, OSError) as error:
            complain(error if isinstance(error, UserError) else from_disk(error, str(study)))
            code = FAILED
    return code


def _name_jobs_not_started(jobs: Sequence[Job]) -> None:
    """Prints the jobs that a launcher did not start, or that died before they wrote anything."""
    if len(task_function.exit_codes) == len(jobs):  # all ran in this process, which has reported what is missing
        return
    missing = [job.settings.folder for job in jobs if not job.folder.exists()]
    if missing and len(missing) < len(jobs):  # a search leaves none of the planned folders
        print(f"not started: {', '.join(missing)}", file=sys.stderr)
