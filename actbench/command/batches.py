"""Runs batches of planned jobs: one job after the other in this process, or by the launcher that was chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from actbench import naming
from actbench.command import (
    auto,
    composing,
    launchers,
    next_commands,
    ray_node,
    sharing,
    slurm,
    slurm_jobs,
    task_function,
)
from actbench.command.override import key_of
from actbench.command.pending import Numbered, Pending
from actbench.command.planning import BASIC, Job
from actbench.command.quoting import quoted
from actbench.command.running import Command
from actbench.command.sharing import HELD, Waiting
from actbench.errors import Failure, UserError, in_a_line
from actbench.files.atomic import write_text
from actbench.files.output import PersistentConsole
from actbench.records import RunSummary
from actbench.store import reader
from actbench.store.attempts import Attempts
from actbench.store.lock import Held

MULTIRUN = "hydra.mode=MULTIRUN"
_LOST = "a worker process was killed or crashed (out of memory?), and the launcher stopped the others"


def note(config: DictConfig) -> None:
    """Leaves the typed overrides in the folder of the study, by which the sweep can be resumed."""
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "multirun.yaml", OmegaConf.to_yaml(config))  # other processes read it, and may write the same


class Batches:
    """Runs the batches of one command, whose jobs are numbered throughout.

    Args:
        config: of the whole command, with Hydra's own part.
        context: what Hydra hands to its plugins.
        command: that the jobs belong to.
    """

    def __init__(self, config: DictConfig, context: HydraContext, command: Command) -> None:
        self.config, self.context, self.command, self.started = config, context, command, 0

    def run(self, jobs: Sequence[Job]) -> None:
        """Runs all jobs of a batch, and returns when they have ended, here or in other processes."""
        first, self.started = self.started, self.started + len(jobs)
        if self.config.hydra.runtime.choices["hydra/launcher"] == BASIC:
            run_here(jobs, self.command, first)
            return
        by_folder, waiting = {job.folder: job for job in jobs}, Waiting(self.command)
        launch = self._follow if slurm.is_chosen(self.config) else self._launch
        held = launch(jobs, first)
        if self.command.detach:
            return
        if held:
            print(_counted(jobs, held), flush=True)
        while held := [job for job in held if _complete(job) is None]:
            free, others = sharing.free([job.folder for job in held])
            if free:
                busy = [job for job in held if job.folder not in free]
                free.sort(key=_killed)  # what kills its process comes last
                held = [*launch([by_folder[folder] for folder in free], first), *busy]
                waiting.reset()
            else:
                waiting.wait(others)

    def _follow(self, jobs: Sequence[Job], first: int) -> list[Job]:
        """Has Slurm run what is not complete, or follows the jobs that it has already; the same for the rest."""
        from actbench.sinks.following import Following
        from actbench.sinks.live import is_possible

        launcher = self._launcher(slurm_jobs.run_free)
        there = slurm_jobs.SlurmJobs(launcher, jobs[0].folder.parent, self.command)
        complete = [(job, summary) for job in jobs if (summary := _complete(job)) is not None]
        known, numbered = {job.folder for job, _ in complete}, enumerate(jobs, start=first)
        due = [(number, job, _for_a_launcher(job)) for number, job in numbered if job.folder not in known]
        tasks = there.find_or_submit(due) if due else {}
        if self.command.detach:
            rest = f"; it has no room for {more} more: type it again later" if (more := len(there.unsubmitted)) else ""
            print(f"{len(tasks)} jobs in Slurm, {len(complete)}/{len(jobs)} runs complete{rest}", flush=True)
            return []
        console = PersistentConsole("the jobs go on")
        settings = [job.settings for job in jobs]
        names = self.command.names or naming.by_id(settings)
        with Following(console, settings, names, moving=is_possible(console)) as shown:
            for job, summary in complete:
                shown.before(job.settings, summary)
            if complete:
                shown.say(f"{len(complete)} of {len(jobs)} already complete")
            return there.follow(tasks, shown)

    def _launch(self, jobs: Sequence[Job], first: int) -> list[Job]:
        """Has the launcher run the jobs; returns those that it left alone, since other processes hold them."""
        launcher = self._launcher(task_function.job_if_free)
        at_once, held = self.config.hydra.sweeper.get("max_batch_size") or len(jobs), []
        for place in range(0, len(jobs), at_once):
            batch = jobs[place : place + at_once]
            before = {job.folder: Attempts(job.folder).state() for job in batch}
            try:
                ended = launcher.launch([*map(_for_a_launcher, batch)], initial_job_idx=first + place)
            except Exception as error:
                held += self._left_by(error, batch, before)
                continue
            for job, returned in zip(batch, ended, strict=True):
                if returned.return_value == HELD:  # or it raises what the job has raised
                    held.append(job)
        return held

    def _launcher(self, function: Callable[..., Any]) -> Any:
        return Plugins.instance().instantiate_launcher(
            config=self.config, hydra_context=self.context, task_function=partial(function, command=self.command)
        )

    def _left_by(
        self, error: Exception, batch: Sequence[Job], before: Mapping[Path, tuple[int, int] | None]
    ) -> list[Job]:
        """Processes of jobs were killed. joblib then stops all of its own, and what they did goes on in new ones. Ray
        has started a job again by itself, and gives it up where its process dies once too often; the others go on.

        Args:
            before: the state of each job's `.attempts` before the launcher got it.

        Returns:
            The jobs that are to go on, or have not begun. It has been said which were given up.

        Raises:
            Exception: it is another error, or none of the jobs had begun, so that none would another time.
        """
        due = [job for job in batch if _complete(job) is None and reader.status(job.folder) != "failed"]
        begun = [job.folder for job in due if Attempts(job.folder).state() not in (None, before[job.folder])]
        if launchers.lost_a_process(error):
            if not begun:
                how = "hydra.launcher.n_jobs=FEWER; the same command goes on"
                raise Failure(f"before any run began, {_LOST}", where="hydra/launcher=joblib", how=how) from error
            go_on = "1 run goes" if len(begun) == 1 else f"{len(begun)} runs go"
            print(f"{_LOST}; {go_on} on from the last epoch", file=sys.stderr, flush=True)
            return due
        given_up = {*sharing.free(begun)[0]} if ray_node.is_rays(error) else set()
        if not given_up:
            raise error
        for job in due:
            if job.folder in given_up:
                what = f"Ray has given it up: {in_a_line(error).split('. ')[0]}"
                failure = Failure(what, where=str(job.folder), how="the same command goes on with it")
                task_function.report_failure(failure, self.command, job.settings)
        return [job for job in due if job.folder not in given_up]


def _counted(jobs: Sequence[Job], held: Sequence[Job]) -> str:
    """`12/40 done here, 1 failed, 19 elsewhere, or not yet`."""
    left = {job.folder for job in held}
    done = sum(job.folder not in left and _complete(job) is not None for job in jobs)
    failed = len(jobs) - len(held) - done
    return f"{done}/{len(jobs)} done here, {f'{failed} failed, ' if failed else ''}{len(held)} elsewhere, or not yet"


def _killed(folder: Path) -> int:
    return Attempts(folder).killed()


def run_here(jobs: Sequence[Job], command: Command, first: int = 0) -> None:
    """Runs jobs in this process, one after the other; those that are complete come first, since they only show it.

    Those in which processes were killed come last, since they may end this one, too. Workers take their share of all,
    where the command has any (`crew.Crew`).

    Args:
        first: the number of the first job, in the order in which they are given.
    """
    complete = {job.folder: summary for job in jobs if (summary := _complete(job)) is not None}
    if command.sweep is not None:
        due = {job.folder: job.settings for job in jobs if job.folder not in complete}
        command.sweep.expect([*due.values()], [*complete.values()], [*due])

    def turn(numbered: Numbered) -> tuple[bool, int]:
        folder = numbered[1].folder
        return folder not in complete, _killed(folder) if folder not in complete else 0

    pending = Pending(sorted(enumerate(jobs, start=first), key=turn))
    waiting, crew = Waiting(command), command.crew
    if crew is not None:
        crew.begin(pending)
    while True:
        while (taken := pending.take()) is not None:
            number, job = taken
            held = run(job, command, number) if crew is None else crew.alongside(partial(run, job, command, number))
            if held is None:
                pending.ended(taken)
            else:
                pending.held(taken, held)
        if not pending.wait(waiting):
            break
        if crew is not None:
            crew.feed()
    if command.sweep is not None:
        command.sweep.end()


def run_alone(job: Job, command: Command, number: int | None = None) -> None:
    """Runs one job in this process; where another one is working on it, once that one has ended."""
    waiting = Waiting(command)
    while (held := run(job, command, number)) is not None:
        waiting.wait([held])


def _complete(job: Job) -> RunSummary | None:
    """The results of a job of which there is nothing left to do; None also where they cannot be read."""
    try:
        finished = reader.completed(job.folder)
    except UserError:
        return None  # which is reported when its turn comes
    return None if finished is None or reader.lacks_int8(job.settings, finished) else finished


def run(job: Job, command: Command, number: int | None = None) -> Held | None:
    """Runs a job in this process, with the configuration and the settings that were planned for it.

    Hydra's `run_job` would do the same, and copy the configuration four times, which takes as long as a tiny job.

    Returns:
        Who works on the job in another process, where nothing could be done; None where it has ended.
    """
    hold = None
    try:
        if _shown_as_stored(job, command, many=number is not None):
            return None
        if _complete(job) is None:
            hold = sharing.take(job.folder, command)
        task = _made_current(job, number)
        task_function.attempt(task, command, job.settings, hold)
    except Held as held:
        return held
    except Failure as error:
        task_function.report_failure(error, command, job.settings)
    except OSError as error:
        task_function.report_disk(error, job.folder, job.settings.study, command, job.settings)
    finally:
        HydraConfig.instance().cfg = None
        if hold is not None:
            hold.release(complete=False)
    return None


def _shown_as_stored(job: Job, command: Command, *, many: bool) -> bool:
    """Whether nothing was left to do, which has been shown: without a configuration for Hydra, which takes its time."""
    words = next_commands.swept(job.task, job.folder.parent) if many else job.task
    try:
        return task_function.shown_as_stored(job.settings, job.folder, words, command, many=many) is not None
    except UserError:
        return False  # it is going to be raised again


def _made_current(job: Job, number: int | None) -> DictConfig:
    """The configuration of a job, without Hydra's own part, which is Hydra's current one from now on."""
    config = job.config
    with open_dict(config):
        if number is None:
            config.hydra.mode, config.hydra.run.dir = RunMode.RUN, str(job.folder)
        else:
            config.hydra.mode, config.hydra.sweep.subdir = RunMode.MULTIRUN, job.settings.folder
            config.hydra.job.id = config.hydra.job.num = number
            config.hydra.overrides.hydra.append(MULTIRUN)
        config.hydra.runtime.output_dir = str(job.folder.absolute())
    HydraConfig.instance().set_config(config)  # for the job, and for `${hydra:...}`
    return composing.without_hydra(config)


def _for_a_launcher(job: Job) -> list[str]:
    """The overrides from which a worker composes a job again, with its folder and the dataset that is not `auto`."""
    return [*with_dataset(job, job.task), f"hydra.sweep.subdir={quoted(job.settings.folder)}"]


def with_dataset(job: Job, overrides: Sequence[str]) -> list[str]:
    """The overrides with `dataset=auto` replaced by the dataset that it stands for."""
    rest = [override for override in overrides if override != f"dataset={auto.NAME}"]
    if not job.automatic or any(key_of(override) == "dataset" for override in rest):
        return [*overrides]
    note = job.settings.dataset_note
    return [*rest, f"dataset={job.settings.dataset.name}", *([f"+{auto.NOTE}={quoted(note)}"] if note else [])]
