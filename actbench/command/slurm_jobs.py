"""The jobs of a study in Slurm: submitted once, and followed until they have ended, by whoever types the command.

submitit submits them and runs the workers. Which job trains which run is noted beside its files, in `ID.json`: who
types the command again follows jobs that Slurm still has. Whether a run is complete is said by its folder alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from actbench.command import next_commands, sharing, slurm, task_function
from actbench.command.planning import Job
from actbench.command.running import Command
from actbench.command.sharing import HELD
from actbench.errors import Failure, UserError, in_a_line, printable
from actbench.files.atomic import write_text
from actbench.files.reading import MB, read_text
from actbench.store import reader
from actbench.store.lock import alone

_FIRST, _LONGEST, _GROWTH = 1.0, 15.0, 1.2  # seconds between two looks at the queue
_APART = 3.0  # seconds for which a job has to have ended: files of another machine are seen a little later
_SUBMITTING = 120.0  # seconds to wait for another process that submits
_HELD = ".held"
_WHY = {
    "CANCELLED": ("was cancelled", ""),
    "TIMEOUT": ("ran out of time", "hydra.launcher.timeout_min=MORE"),
    "OUT_OF_MEMORY": ("ran out of memory", "hydra.launcher.mem_gb=MORE"),
    "NODE_FAIL": ("lost its node", ""),
    "PREEMPTED": ("was preempted, and not queued again", ""),
}


def run_free(composed: DictConfig, command: Command) -> float | str:
    """A job, in Slurm's worker; it leaves a note where another process is working on the run."""
    returned = task_function.job_if_free(composed, command)
    if returned == HELD:
        import submitit

        write_text(Path(os.environ["SUBMITIT_FOLDER"]) / f"{submitit.JobEnvironment().job_id}{_HELD}", "")
    return returned


class SlurmJobs:
    """The jobs of a study.

    Args:
        launcher: submitit's, set up with `run_free`.
        study: the folder.
        command: that the jobs belong to; its `left` says how to come back to jobs that go on without it.
    """

    def __init__(self, launcher: Any, study: Path, command: Command) -> None:
        self.launcher, self.study, self.command = launcher, study, command
        self.folder = Path(launcher.params["submitit_folder"])

    # ------------------------------------------------------------ submitting

    def held_by_others(self, jobs: Sequence[Job]) -> set[Path]:
        """The folders of runs on which processes work that are none of Slurm's jobs of this study."""
        in_slurm = {*self._noted().values()}
        there = [job.folder for job in jobs if job.folder.name not in in_slurm and job.folder.exists()]
        return {*there} - {*sharing.free(there)[0]}

    def find_or_submit(self, due: Sequence[tuple[int, Job, list[str]]]) -> dict[str, Job]:
        """The Slurm job of each run, by its id: the one that Slurm has already, or a new one.

        Args:
            due: the number of a run, the run, and the overrides for its worker.

        Raises:
            UserError: Slurm refuses them; those that it has taken go on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.study / ".submitting", _SUBMITTING, f"another process that submits runs of {self.study}"):
            noted = self._noted()
            states = slurm.states({_array(task) for task in noted}) if noted else {}
            if states is None:
                raise UserError("Slurm does not answer", where="squeue", how="try again when it does")
            self._forget(noted, states)
            live = {name: task for task, name in noted.items() if not slurm.has_ended(states.get(task))}
            tasks = {live[job.folder.name]: job for _, job, _ in due if job.folder.name in live}
            new = [one for one in due if one[1].folder.name not in live]
            self.leave(tasks)
            most = slurm.longest_array() if new else 1
            for place in range(0, len(new), most):
                tasks |= self._submit(new[place : place + most])
                self.leave(tasks)
        return tasks

    def leave(self, tasks: Collection[str]) -> None:
        """Notes how to come back to the jobs, should this process leave; there is nothing to say of none."""
        ids = sorted({_array(task) for task in tasks}, key=int)
        words = [word for word in self.command.typed if word != "--detach"]
        go_on = next_commands.how_to_go_on(words, self.study.name).removeprefix("to go on:").strip()
        said = f"the jobs go on in Slurm\nto follow:  {go_on}\nto cancel:  scancel {' '.join(ids)}"
        self.command.left = said if ids else ""

    def _submit(self, due: Sequence[tuple[int, Job, list[str]]]) -> dict[str, Job]:
        from hydra.core.singleton import Singleton

        state = Singleton.get_state()
        arguments = [(words, "hydra.sweep.dir", number, f"job_id_for_{number}", state) for number, _, words in due]
        there = {*self.folder.iterdir()}
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # what sbatch says is in the error, too
                submitted = _executor(self.launcher.params).map_array(self.launcher, *zip(*arguments, strict=True))
        except Exception as error:  # of any kind, by submitit's version
            for path in {*self.folder.iterdir()} - there:
                path.unlink(missing_ok=True)
            how = "sinfo and sacctmgr show what there is; hydra.launcher.KEY=VALUE says what to ask for"
            raise UserError(f"Slurm takes no job: {_said(error)}", where="hydra/launcher=slurm", how=how) from error
        tasks = {str(one.job_id): job for one, (_, job, _) in zip(submitted, due, strict=True)}
        content = {task: job.folder.name for task, job in tasks.items()}
        write_text(self.folder / f"{_array(next(iter(tasks)))}.json", json.dumps(content))
        return tasks

    def _noted(self) -> dict[str, str]:
        """The name of the run's folder, by the id of its Slurm job; what cannot be read is as good as not there."""
        found: dict[str, str] = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                content = json.loads(read_text(path, limit=100 * MB))
            except (OSError, ValueError, UserError):
                continue
            if path.stem.isdecimal() and isinstance(content, dict):
                found |= {str(task): str(name) for task, name in content.items() if _array(str(task)) == path.stem}
        return found

    def _forget(self, noted: Mapping[str, str], states: Mapping[str, str]) -> None:
        """Removes the notes about arrays of which no job is left, and what was submitted; the logs stay."""
        alive = {_array(task) for task in noted if not slurm.has_ended(states.get(task))}
        for array in {_array(task) for task in noted} - alive:
            for path in [*self.folder.glob(f"{array}_*.pkl"), self.folder / f"{array}.json"]:
                path.unlink(missing_ok=True)

    # ------------------------------------------------------------ following

    def follow(self, tasks: Mapping[str, Job], shown: Any) -> list[Job]:
        """Waits until all jobs have ended, and says how; returns those that other processes are working on.

        Args:
            tasks: the runs by the id of their Slurm job.
            shown: a `sinks.following.Following`.
        """
        left, held, pause, silent = dict(tasks), [], _FIRST, False
        ended_since: dict[str, float] = {}
        said: set[str] = set()  # reasons
        while left:
            for task, job in [*left.items()]:
                if self._is_complete(job):
                    shown.ended(job.settings, reader.completed(job.folder))
                    del left[task]
            states = slurm.states({_array(task) for task in left}) if left else {}
            if states is None:
                if not silent:
                    shown.say("Slurm does not answer; waiting until it does")
                silent, ended_since = True, {}
            else:
                silent = False
                for task in [*left]:
                    if not slurm.has_ended(states.get(task)):
                        ended_since.pop(task, None)
                    elif time.monotonic() - ended_since.setdefault(task, time.monotonic()) > _APART:
                        job = left.pop(task)
                        held += self._judge(task, job, states.get(task), shown)
                waiting = sum(slurm.is_waiting(states.get(task)) for task in left)
                shown.show(running=len(left) - waiting, waiting=waiting)
                if waiting == len(left) > 0 and (why := slurm.unusual_reasons({_array(task) for task in left})) - said:
                    said |= why
                    shown.say(f"none of them runs: Slurm says {', '.join(sorted(why))} (squeue explains it)")
            self.leave(left)
            if left:
                time.sleep(min(pause, _APART) if ended_since else pause)
                pause = min(_GROWTH * pause, _LONGEST)
        noted = self._noted()
        if noted and (states := slurm.states({_array(task) for task in noted})) is not None:
            self._forget(noted, states)
        return held

    def _is_complete(self, job: Job) -> bool:
        try:
            os.listdir(job.folder)  # which makes a network file system look
            finished = reader.completed(job.folder)
            return finished is not None and not reader.lacks_int8(job.settings, finished)
        except (OSError, UserError):
            return False

    def _judge(self, task: str, job: Job, state: str | None, shown: Any) -> list[Job]:
        """A job has ended, and its run is not complete: says why, or returns it since another process has the run."""
        if self._is_complete(job):
            shown.ended(job.settings, reader.completed(job.folder))
            return []
        if (self.folder / f"{task}{_HELD}").exists():
            return [job]
        log = self._log(task)
        what, how = _WHY.get(state or "", ("has ended without results", ""))
        what = f"Slurm's job {task} {what}"
        try:
            stored = reader.summary(job.folder)
            if stored is not None and stored.status == "failed":
                what = f"the run failed: {stored.reason}"
            elif stored is not None and stored.status == "interrupted" and state not in _WHY:  # too often, as a rule
                what, how = f"Slurm's job {task} has ended {stored.reason}", "hydra.launcher.max_num_timeout=MORE"
        except (OSError, UserError):
            pass  # the report tells it
        how = f"{how}; {log} has its log" if how else f"{log} has its log"
        if not self.folder.is_dir():
            what, how = f"{what}: {self.study} has been removed", "the same command trains it again"
        task_function.report_failure(Failure(what, where=str(job.folder), how=how), self.command, job.settings)
        shown.failed()
        return []

    def _log(self, task: str) -> Path:
        paths = [self.folder / f"{task}_0_log.{ending}" for ending in ("err", "out")]
        return task_function.relative(next((path for path in paths if path.exists()), paths[-1]).absolute())


def _said(error: Exception) -> str:
    """What sbatch has said, in a line.

    >>> _said(RuntimeError("sbatch: error: Too many jobs\\nsbatch: error: Batch job submission failed"))
    'Too many jobs; Batch job submission failed'
    """
    lines = [line.removeprefix("sbatch: error: ").strip() for line in str(error).splitlines()]
    return printable("; ".join(filter(None, lines))) or in_a_line(error)


def _array(task: str) -> str:
    return task.partition("_")[0]


def _executor(params: Mapping[str, Any]) -> Any:
    """submitit's, as its launcher for Hydra would set it up."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    common = {field.name for field in fields(BaseQueueConf)}
    executor = submitit.AutoExecutor(
        folder=params["submitit_folder"], cluster="slurm", slurm_max_num_timeout=params["max_num_timeout"]
    )
    given = {name: value for name, value in params.items() if name not in ("submitit_folder", "max_num_timeout")}
    if given.get("cpus_per_task"):  # since Slurm 22.05 `srun` does not take it from the job
        given["srun_args"] = [*(given.get("srun_args") or []), f"--cpus-per-task={given['cpus_per_task']}"]
    more = given.get("additional_parameters") or {}
    given["additional_parameters"] = {"requeue": True, **more}  # which some clusters allow only where it is asked for
    executor.update_parameters(**{name if name in common else f"slurm_{name}": value for name, value in given.items()})
    return executor
