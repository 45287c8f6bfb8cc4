"""Runs what was planned to the end of the command: the comparison and the exit code."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from actbench import naming
from actbench.command import afterwards, launchers, next_commands, starting, task_function
from actbench.command.complaints import FAILED, complain, of_the_disk
from actbench.command.planning import Job
from actbench.command.race_terms import Terms
from actbench.command.running import Command
from actbench.errors import UserError, from_disk
from actbench.sinks import logdir
from actbench.sinks.lines import seed_range
from actbench.store import joint, reader
from actbench.store.owner import ATTEMPTS


def train(
    jobs: Sequence[Job],
    overrides: Sequence[str],
    words: Sequence[str],
    *,
    multirun: bool,
    terms: Terms | None = None,
    begin: bool = True,
) -> int:
    """Runs planned jobs, and ends with the comparison of their study; returns the exit code.

    A race that was stopped shows no comparison: it would be one more look at the results, which is paid for.

    Args:
        words: the command line, for the command that goes on; the others are those of `starting.start`.
    """
    command = Command(words, detach="--detach" in words)
    if words[:1] == ["more"]:  # whose runs are planned from the study, one by one
        command.names = naming.by_id([job.settings for job in jobs])
    then = next_commands.how_to_go_on(words, jobs[0].settings.study)
    compared, started, ended = 0, jobs, False
    try:
        with joint.command_in(jobs[0].folder.parent) as command.id:
            started = starting.start(jobs, overrides, command, multirun=multirun, terms=terms, begin=begin)
        ended = not command.disk_errors
    except OSError as error:  # in a file that Hydra writes
        command.exit_codes.append(complain(of_the_disk(error, str(jobs[0].folder.parent), then=then)))
    except (KeyboardInterrupt, launchers.Terminated):  # while other processes train; a run here tells it itself
        command.to_go_on = then
        raise
    finally:  # even if some of the runs failed
        if command.left:  # jobs that are in a queue: a comparison would be one of what happens to be there
            command.to_go_on = command.left
        elif (multirun or len(jobs) > 1) and (ended or terms is None):
            _name_jobs_not_started(started, command)
            told = bool(command.to_go_on)
            compared = _compare(dict.fromkeys(job.folder.parent for job in jobs), told=told)
        if command.to_go_on:
            print(command.to_go_on, file=sys.stderr)
    if command.left:
        return max(command.exit_codes, default=0)
    if not multirun and len(jobs) == 1 and ended:
        afterwards.after_single(jobs[0], words)
    if ended and any(reader.status(job.folder) == "failed" or _stopped(job.folder) for job in started):
        print(then, file=sys.stderr)
    if command.exit_codes:
        return max(*command.exit_codes, compared)
    return max(_exit_code_by_files(started), compared) if started else compared


def _stopped(folder: Path) -> bool:
    """Whether an error stopped a run, of which it left the traceback."""
    return (folder / reader.TRACEBACK).exists() and reader.status(folder) not in ("completed", "diverged")


def _exit_code_by_files(jobs: Sequence[Job]) -> int:
    """The exit code of jobs that ran in other processes, from the status in their folders."""
    folders = [job.folder for job in jobs]
    if not any(folder.exists() for folder in folders):  # a search, whose jobs are not planned
        folders = [path.parent for job in jobs for path in job.folder.parent.glob("*/settings.yaml")]
    ended = {reader.status(folder) for folder in folders}
    return 0 if ended == {"completed"} else FAILED


def _compare(studies: Iterable[Path], *, told: bool) -> int:
    """The comparison that a sweep ends with; returns the exit code.

    Args:
        told: whether the command that goes on with what is not finished is said beside it.
    """
    from actbench.report import command

    code = 0
    for study in studies:
        if not [*study.glob(f"*/{ATTEMPTS}"), *study.glob("*/settings.yaml")]:
            # no job began, for a reason that has been printed
            code = FAILED
            continue
        try:
            if events := logdir.of_study(task_function.relative(study.absolute())):
                print(look_inside(events))
            command.after_sweep(task_function.relative(study.absolute()), told=told)
        except (UserError, OSError) as error:
            complain(error if isinstance(error, UserError) else from_disk(error, str(study)))
            code = FAILED
    return code


_TICKED = 40  # runs; where TensorBoard finds more, it shows none of them at first


def look_inside(events: Path) -> str:
    """How to look at all runs of a study, whose events lie in `events`."""
    command = f"look inside  tensorboard --logdir {shlex.quote(str(events))}"
    if (number := logdir.number(events)) <= _TICKED:
        return command
    return f"{command}\n             it ticks none of {number} runs at first; filter runs by ^[^/]*$ for the means"


def _name_jobs_not_started(jobs: Sequence[Job], command: Command) -> None:
    """Prints the jobs that a launcher did not start, or that died before they wrote anything."""
    if len(command.exit_codes) == len(jobs):  # all ran in this process, which has reported what is missing
        return
    missing = [job.settings for job in jobs if not job.folder.exists()]
    if missing and len(missing) < len(jobs):  # a search leaves none of the planned folders
        names = naming.by_id([job.settings for job in jobs])
        several = Counter(job.settings.id for job in jobs)
        words = [names[of.id] + (f" {seed_range(tuple(of.seeds))}" if several[of.id] > 1 else "") for of in missing]
        print(f"not started: {', '.join(words)}", file=sys.stderr)
