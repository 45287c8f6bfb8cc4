"""The jobs of a study in Slurm: submitted once, and followed until they have ended, by whoever types the command.

Who types the command again follows jobs that Slurm still has, by the notes about them (`slurm_submitting.py`).
Whether a run is complete is said by its folder alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from actbench.command import next_commands, sharing, slurm, task_function
from actbench.command.planning import Job
from actbench.command.running import Command
from actbench.command.sharing import HELD
from actbench.command.slurm_submitting import Due, Submissions, array_of
from actbench.errors import Failure, UserError
from actbench.files.atomic import write_text
from actbench.store import reader
from actbench.store.lock import alone

_FIRST, _LONGEST, _GROWTH = 1.0, 15.0, 1.2  # seconds between two looks at the queue
_APART = 3.0  # seconds for which a job has to have ended: files of another machine are seen a little later
_AGAIN = 60.0  # seconds after which Slurm is asked to take more, though no job has ended
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
        self.study, self.command = study, command
        self.submissions = Submissions(launcher)
        self.folder = self.submissions.folder
        self.unsubmitted: list[Due] = []  # there was no room for
        self._busy: list[Due] = []  # other processes are working on, perhaps those of jobs that were cancelled just now
        self._ended_since: dict[str, float] = {}
        self._said: set[str] = set()
        self._silent = False

    # ------------------------------------------------------------ submitting

    def find_or_submit(self, due: Sequence[Due], followed: Collection[str] = ()) -> dict[str, Job]:
        """The Slurm job of each run, by its id: the one that Slurm has already, or a new one.

        Runs for which Slurm has no room are left in `unsubmitted`. Those on which processes work that are not of these
        jobs are submitted while others are followed, once they are free.

        Args:
            due: the runs.
            followed: jobs of others, for what is said should this process leave.

        Raises:
            UserError: Slurm does not answer, or has no job of this study and takes none.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        since = time.monotonic()
        with alone(self.study / ".submitting", _SUBMITTING, f"another process that submits runs of {self.study}"):
            if time.monotonic() - since < _SUBMITTING:  # else another process may still be at it
                self.submissions.clear()
            noted = self.submissions.noted()
            states = slurm.states({array_of(task) for task in noted}) if noted else {}
            if states is None:
                raise UserError("Slurm does not answer", where="squeue", how="try again when it does")
            self.submissions.forget(noted, states)
            live = {name: task for task, name in noted.items() if not slurm.has_ended(states.get(task))}
            tasks = {live[job.folder.name]: job for _, job, _ in due if job.folder.name in live}
            new = [one for one in due if one[1].folder.name not in live]
            busy = _busy(new)
            self._busy += [one for one in new if one[1].folder in busy]
            self.unsubmitted = new = [one for one in new if one[1].folder not in busy]
            self.leave([*followed, *tasks])
            for taken in self.submissions.submit(new, live.values()) if new else ():
                tasks |= taken
                self.unsubmitted = self.unsubmitted[len(taken) :]
                self.leave([*followed, *tasks])
        return tasks

    def leave(self, tasks: Collection[str]) -> None:
        """Notes how to come back to the jobs, should this process leave; there is nothing to say of none."""
        ids = sorted({array_of(task) for task in tasks}, key=int)
        words = [word for word in self.command.typed if word != "--detach"]
        go_on = next_commands.how_to_go_on(words, self.study.name).removeprefix("to go on:").strip()
        more = f", without {len(self.unsubmitted)} that it has no room for yet" if self.unsubmitted else ""
        said = f"the jobs go on in Slurm{more}\nto follow:  {go_on}\nto cancel:  scancel {' '.join(ids)}"
        self.command.left = said if ids else ""

    # ------------------------------------------------------------ following

    def follow(self, tasks: Mapping[str, Job], shown: Any) -> list[Job]:
        """Waits until all jobs have ended, and says how; returns those that other processes are working on.

        Args:
            tasks: the runs by the id of their Slurm job; those that are `unsubmitted` are submitted once they can be.
            shown: a `sinks.following.Following`.
        """
        left, held, pause = dict(tasks), [], _FIRST
        tried, since = len(left), time.monotonic()
        if self.unsubmitted:
            shown.say(f"Slurm has no room for {len(self.unsubmitted)} jobs yet; they follow when others have ended")
        while left or self.unsubmitted:
            freed = self._freed()
            self._take_out_complete(left, shown)
            if self.unsubmitted and (freed or len(left) < tried or time.monotonic() - since > _AGAIN):
                self._submit_more(left, shown)
                tried, since = len(left), time.monotonic()
            held += self._look(left, shown)
            self.leave(left)
            if left or self.unsubmitted:
                time.sleep(min(pause, _APART) if self._ended_since else pause)
                pause = min(_GROWTH * pause, _LONGEST)
        noted = self.submissions.noted()
        if noted and (states := slurm.states({array_of(task) for task in noted})) is not None:
            self.submissions.forget(noted, states)
        return [*held, *(job for _, job, _ in self._busy)]

    def _freed(self) -> bool:
        """Whether other processes have left runs, which can be submitted now unless they are complete."""
        busy = _busy(self._busy)
        freed = [one for one in self._busy if one[1].folder not in busy]
        self._busy = [one for one in self._busy if one[1].folder in busy]
        self.unsubmitted += freed
        return bool(freed)

    def _take_out_complete(self, left: dict[str, Job], shown: Any) -> None:
        for task, job in [*left.items()]:
            if self._is_complete(job):
                shown.ended(job.settings, reader.completed(job.folder))
                del left[task]
        for one in [*self.unsubmitted]:  # by another command
            if self._is_complete(one[1]):
                shown.ended(one[1].settings, reader.completed(one[1].folder))
                self.unsubmitted.remove(one)

    def _submit_more(self, left: dict[str, Job], shown: Any) -> None:
        """Submits what there was no room for, as far as it could run at once with what is left."""
        could = self.submissions.at_once - len(left)
        if could < min(len(self.unsubmitted), self.submissions.at_once / 2):
            return  # rather some at a time than one by one
        self.unsubmitted, later = self.unsubmitted[:could], self.unsubmitted[could:]
        try:
            left |= self.find_or_submit(self.unsubmitted, left)
        except UserError as error:
            what = error.problems[0].what
            if what not in self._said:
                self._said.add(what)
                shown.say(f"{len(self.unsubmitted) + len(later)} jobs are not submitted yet: {what}")
        self.unsubmitted += later

    def _look(self, left: dict[str, Job], shown: Any) -> list[Job]:
        """Takes out the jobs that have ended, and says how; returns those that other processes are working on."""
        states = slurm.states({array_of(task) for task in left}) if left else {}
        if states is None:
            if not self._silent:
                shown.say("Slurm does not answer; waiting until it does")
            self._silent, self._ended_since = True, {}
            return []
        self._silent, held, now = False, [], time.monotonic()
        for task in [*left]:
            if not slurm.has_ended(states.get(task)):
                self._ended_since.pop(task, None)
            elif now - self._ended_since.setdefault(task, now) > _APART:
                held += self._judge(task, left.pop(task), states.get(task), shown)
        waiting = sum(slurm.is_waiting(states.get(task)) for task in left)
        shown.show(running=len(left) - waiting, waiting=waiting + len(self.unsubmitted))
        if waiting == len(left) > 0 and (why := slurm.unusual_reasons({array_of(task) for task in left})) - self._said:
            self._said |= why
            shown.say(f"none of them runs: Slurm says {', '.join(sorted(why))} (squeue explains it)")
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


def _busy(due: Sequence[Due]) -> set[Path]:
    """The folders of runs on which processes are working."""
    there = [job.folder for _, job, _ in due if job.folder.exists()]
    return {*there} - {*sharing.free(there)[0]}
