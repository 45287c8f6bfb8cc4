"""Submits the jobs of a study to Slurm, through submitit: as many as Slurm takes, none twice.

Which job trains which run is noted beside its files, in `ID.json`. A job of which there is no note is that of a process
which was killed while it submitted; it would find nothing to do, and is cancelled.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from actbench.command import slurm
from actbench.command.planning import Job
from actbench.errors import UserError, in_a_line, printable
from actbench.files.atomic import write_text
from actbench.files.reading import MB, read_text

Due = tuple[int, Job, list[str]]  # the number of a run, the run, and the overrides for its worker

_LONG = 30.0  # seconds: where the queue is full, sbatch itself tries for two minutes
_SCRIPT = ".submission_file_*.sh"  # submitit's, by which Slurm knows what it was given


class Submissions:
    """What was submitted for a study.

    Args:
        launcher: submitit's.
    """

    def __init__(self, launcher: Any) -> None:
        self.launcher = launcher
        self.folder = Path(launcher.params["submitit_folder"])

    @property
    def at_once(self) -> int:
        """The most jobs that run at a time."""
        return max(1, int(self.launcher.params.get("array_parallelism") or 1))

    def noted(self) -> dict[str, str]:
        """The name of the run's folder, by the id of its Slurm job; what cannot be read is as good as not there."""
        found: dict[str, str] = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                content = json.loads(read_text(path, limit=100 * MB))
            except (OSError, ValueError, UserError):
                continue
            if path.stem.isdecimal() and isinstance(content, dict):
                found |= {str(task): str(name) for task, name in content.items() if array_of(str(task)) == path.stem}
        return found

    def forget(self, noted: Mapping[str, str], states: Mapping[str, str]) -> None:
        """Removes the notes about arrays of which no job is left, and submitit's files about these; the logs stay."""
        alive = {array_of(task) for task in noted if not slurm.has_ended(states.get(task))}
        for array in {array_of(task) for task in noted} - alive:
            for path in [*self.folder.glob(f"{array}_*.pkl"), self.folder / f"{array}.json"]:
                path.unlink(missing_ok=True)
        for path in self.folder.glob("*_result.pkl"):  # of jobs that were cancelled, and ended later
            if array_of(path.name) not in alive:
                path.unlink(missing_ok=True)

    def clear(self) -> bool:
        """Removes the jobs of processes that were killed while they submitted, and what these would have read.

        Nobody else may be submitting.

        Returns:
            Whether Slurm answers; where it does not, nothing is removed.
        """
        noted = {path.stem for path in self.folder.glob("*.json")}
        try:
            lost = slurm.jobs_of({path.name for path in self.folder.glob(_SCRIPT)}) - noted
            if lost:
                slurm.cancel(lost)
        except UserError:
            return False
        unused = [path for path in self.folder.glob("*.pkl") if "_" not in path.stem]
        for path in [*unused, *(path for array in lost for path in self.folder.glob(f"{array}_*.pkl"))]:
            path.unlink(missing_ok=True)
        return True

    def submit(self, due: Sequence[Due], live: Collection[str]) -> Iterator[dict[str, Job]]:
        """Submits as many as Slurm takes, and yields the jobs of each array by their ids.

        An array that would run too many at once, beside those that are there, waits for their end.

        Args:
            due: at least one.
            live: the jobs of this study that Slurm has already.

        Raises:
            UserError: it has none of this study's, and takes none.
        """
        longest, room = slurm.limits()
        left, there = [*due], [*live]
        size = math.ceil(len(due) / math.ceil(len(due) / longest))
        refused = UserError(
            "Slurm's queue is full", where="MaxJobCount", how="the same command goes on when jobs have ended"
        )
        while left and (size := min(size, len(left), room)) > 0:
            since = time.monotonic()
            after = {array_of(task) for task in there} if len(there) + size > self.at_once else set()
            try:
                tasks = self._array(left[:size], after)
            except UserError as error:
                refused = error
                if not self.clear() or size == 1 or time.monotonic() - since > _LONG:
                    break
                size //= 2  # there may be room for some
                continue
            del left[:size]
            there, room = [*there, *tasks], room - size
            yield tasks
        if not there:
            raise refused

    def _array(self, due: Sequence[Due], after: Collection[str]) -> dict[str, Job]:
        from hydra.core.singleton import Singleton

        state = Singleton.get_state()
        arguments = [(words, "hydra.sweep.dir", number, f"job_id_for_{number}", state) for number, _, words in due]
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what sbatch says is in the error, too
                executor = _executor(self.launcher.params, after)
                submitted = executor.map_array(self.launcher, *zip(*arguments, strict=True))
        except KeyboardInterrupt:
            self.clear()
            raise
        except Exception as error:  # of any kind, by submitit's version
            how = "sinfo and sacctmgr show what there is; hydra.launcher.KEY=VALUE says what to ask for; "
            how += "the same command submits what is missing"
            raise UserError(f"Slurm takes no job: {_said(error)}", where="hydra/launcher=slurm", how=how) from error
        tasks = {str(one.job_id): job for one, (_, job, _) in zip(submitted, due, strict=True)}
        content = {task: job.folder.name for task, job in tasks.items()}
        write_text(self.folder / f"{array_of(next(iter(tasks)))}.json", json.dumps(content))
        return tasks


def array_of(task: str) -> str:
    return task.partition("_")[0]


def _said(error: Exception) -> str:
    """What sbatch has said, in a line.

    >>> _said(RuntimeError("sbatch: error: Too many jobs\\nsbatch: error: Batch job submission failed"))
    'Too many jobs; Batch job submission failed'
    """
    lines = [line.removeprefix("sbatch: error: ").strip() for line in str(error).splitlines()]
    return printable("; ".join(filter(None, lines))) or in_a_line(error)


def _executor(params: Mapping[str, Any], after: Collection[str]) -> Any:
    """submitit's, as its launcher for Hydra would set it up; its jobs start when the arrays `after` have ended."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    common = {field.name for field in fields(BaseQueueConf)}
    executor = submitit.AutoExecutor(
        folder=params["submitit_folder"], cluster="slurm", slurm_max_num_timeout=params["max_num_timeout"]
    )
    given = {name: value for name, value in params.items() if name not in ("submitit_folder", "max_num_timeout")}
    if given.get("cpus_per_task"):  # since Slurm 22.05 `srun` does not take it from the job
        given["srun_args"] = [*(given.get("srun_args") or []), f"--cpus-per-task={given['cpus_per_task']}"]
    ours: dict[str, Any] = {"requeue": True}  # which some clusters allow only where it is asked for
    if after:
        ours["dependency"] = f"afterany:{':'.join(sorted(after, key=int))}"
    given["additional_parameters"] = {**ours, **(given.get("additional_parameters") or {})}
    executor.update_parameters(**{name if name in common else f"slurm_{name}": value for name, value in given.items()})
    return executor
