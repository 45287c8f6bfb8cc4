"""What Slurm is asked by its own commands: whether it is there, its partitions, and the states of jobs."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import PurePath
from typing import Any

from actbench.command.suggestions import brief, enumerated
from actbench.errors import Problem, UserError, printable

TARGET = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
_COMMANDS = ("sbatch", "srun", "squeue", "sinfo")
_PATIENCE = 60  # seconds for an answer
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_USUAL = ("None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Dependency", "Prolog", "Cleaning")
_LONGEST_ARRAY = 1000  # jobs, where Slurm does not say it


def is_chosen(config: Any) -> bool:
    """Whether a configuration has its jobs run by Slurm: `hydra/launcher=slurm`, or submitit's own choice."""
    return bool(config.hydra.launcher.get("_target_") == TARGET)


def problems(launcher: Any) -> list[Problem]:
    """What would keep Slurm from taking any job, as far as it is known before one is submitted.

    Args:
        launcher: the configuration of the launcher.
    """
    where = "hydra/launcher=slurm"
    missing = [command for command in _COMMANDS if shutil.which(command) is None]
    if missing:
        what = f"there is no Slurm on this machine: no {enumerated(missing, 'or')}"
        return [Problem(what, where, "type it on a login node of the cluster; here, leave it out")]
    try:
        partitions = [*dict.fromkeys(_ask(["sinfo", "--noheader", "--format=%R"]).split())]
    except UserError as error:
        return [*error.problems]
    asked = str(launcher.get("partition") or "")
    unknown = [name for name in asked.split(",") if name and name not in partitions]
    found = []
    for name in unknown:
        near = difflib.get_close_matches(name, partitions, n=1)
        how = f"did you mean {near[0]}? " if near else ""
        how += f"there are {enumerated(partitions)}" if partitions else "sinfo shows what there is"
        found.append(Problem(f"there is no partition called {brief(name)}", f"hydra.launcher.partition={asked}", how))
    return found


def states(ids: Collection[str]) -> dict[str, str] | None:
    """The states of the tasks of jobs that Slurm still knows, by `12_3`, or by `12` where it is no array.

    It forgets a job some minutes after its end. Accounting, which not every cluster has, is not asked.

    Args:
        ids: of jobs, without the numbers of their tasks.

    Returns:
        None where Slurm does not answer.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(sorted(ids))}", "--format=%i|%T"]
    try:
        lines = _ask(command).splitlines()
    except UserError as error:
        return {} if "Invalid job id" in error.problems[0].what else None
    pairs = [line.strip().split("|") for line in lines]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def unusual_reasons(ids: Collection[str]) -> set[str]:
    """Why jobs wait, in Slurm's words, as far as it is not that others come first: some of them would wait for ever."""
    command = ["squeue", "--noheader", "--array", "--states=PENDING", f"--jobs={','.join(sorted(ids))}", "--format=%r"]
    try:
        return {*_ask(command).split("\n")} - {*_USUAL, ""}
    except UserError:
        return set()


def has_ended(state: str | None) -> bool:
    """Whether a job in this state is not going to run again; None is one that Slurm has forgotten."""
    return state is None or state in _ENDED


def is_waiting(state: str | None) -> bool:
    return state in _WAITING


def limits() -> tuple[int, int]:
    """The most jobs of one array, and how many more jobs Slurm has room for, whosever they are, as far as it tells."""
    try:
        lines = _ask(["scontrol", "show", "config"]).splitlines()
        there = len(_ask(["squeue", "--noheader", "--array", "--states=all", "--format=%i"]).splitlines())
    except UserError:
        return _LONGEST_ARRAY, sys.maxsize
    pairs = [[part.strip() for part in line.partition("=")] for line in lines]
    values = {name: int(value) for name, _, value in pairs if value.isdecimal()}
    longest, most = values.get("MaxArraySize", _LONGEST_ARRAY + 1) - 1, values.get("MaxJobCount", sys.maxsize)
    return max(longest, 1), max(most - 1 - there, 0)


def jobs_of(scripts: Collection[str]) -> set[str]:
    """The ids of this user's jobs, without the numbers of their tasks, that have not ended and run one of these files.

    Raises:
        UserError: Slurm does not answer.
    """
    lines = _ask(["squeue", "--noheader", "--me", "--all", "--format=%F|%o"]).splitlines()
    pairs = [line.strip().partition("|") for line in lines]
    return {job for job, _, script in pairs if PurePath(script).name in scripts}


def cancel(ids: Collection[str]) -> None:
    """
    Raises:
        UserError: Slurm does not answer.
    """
    _ask(["scancel", *sorted(ids)])


def _ask(command: Sequence[str]) -> str:
    """What a command of Slurm's prints.

    Raises:
        UserError: it fails, or does not answer.
    """
    how = "try again when it answers"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"Slurm does not answer: {error}", where=command[0], how=how) from error
    if done.returncode:
        said = printable(" ".join(done.stderr.split())) or f"exit code {done.returncode}"
        raise UserError(f"Slurm does not answer: {said}", where=command[0], how=how)
    return done.stdout
