"""Runs batches of planned jobs: one job after the other in this process, or by the launcher that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from actbench.command import auto, checking, composing, task_function
from actbench.command.override import key_of
from actbench.command.planning import BASIC, Job
from actbench.command.quoting import quoted
from actbench.command.running import Command
from actbench.errors import UserError
from actbench.records import RunSummary
from actbench.store import reader

MULTIRUN = "hydra.mode=MULTIRUN"


def note(config: DictConfig) -> None:
    """Leaves the typed overrides in the folder of the study, by which the sweep can be resumed."""
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")


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
        """Runs all jobs of a batch, and returns when they have ended."""
        first, self.started = self.started, self.started + len(jobs)
        if self.config.hydra.runtime.choices["hydra/launcher"] == BASIC:
            run_here(jobs, self.command, first)
            return
        launcher = Plugins.instance().instantiate_launcher(
            config=self.config,
            hydra_context=self.context,
            task_function=partial(task_function.job, command=self.command),
        )
        at_once = self.config.hydra.sweeper.get("max_batch_size") or len(jobs)
        for place in range(0, len(jobs), at_once):
            batch = [_for_a_launcher(job) for job in jobs[place : place + at_once]]
            for returned in launcher.launch(batch, initial_job_idx=first + place):
                returned.return_value  # noqa: B018 (raises what the job has raised)


def run_here(jobs: Sequence[Job], command: Command, first: int = 0) -> None:
    """Runs jobs in this process, one after the other; those that are complete come first, since they only show it.

    Args:
        first: the number of the first job, in the order in which they are given.
    """
    complete = {job.folder: summary for job in jobs if (summary := _complete(job)) is not None}
    if command.sweep is not None:
        due = [job.settings for job in jobs if job.folder not in complete]
        command.sweep.expect(due, [*complete.values()])
    for number, job in sorted(enumerate(jobs, start=first), key=lambda pair: pair[1].folder not in complete):
        run(job, command, number)


def _complete(job: Job) -> RunSummary | None:
    """The results of a job of which there is nothing left to do; None also where they cannot be read."""
    try:
        return None if checking.is_due(job.settings, job.folder) else reader.completed(job.folder)
    except UserError:
        return None  # which is reported when its turn comes


def run(job: Job, command: Command, number: int | None = None) -> None:
    """Runs a job in this process, with the configuration and the settings that were planned for it.

    Hydra's `run_job` would do the same, and copy the configuration four times, which takes as long as a tiny job.
    """
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
    task = composing.without_hydra(config)
    folder = job.folder / config.hydra.output_subdir
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"config": task, "hydra": OmegaConf.masked_copy(config, "hydra"), "overrides": config.hydra.overrides.task}
    for name, part in parts.items():
        (folder / f"{name}.yaml").write_text(OmegaConf.to_yaml(part), encoding="utf-8")
    try:
        task_function.job(task, command, job.settings)
    finally:
        HydraConfig.instance().cfg = None


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
