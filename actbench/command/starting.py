"""Starts jobs through Hydra's public functions, each with the configuration that was planned for it.

`hydra.main` would read `sys.argv`, parse the overrides again, and compose each job twice more. Otherwise it does
little: it creates a sweeper or a launcher, for which there are public functions, or runs a job in this process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from actbench.command import auto, composing, search, task_function
from actbench.command.complaints import FAILED
from actbench.command.override import key_of
from actbench.command.planning import BASIC, Job
from actbench.command.quoting import quoted
from actbench.command.running import Command
from actbench.errors import UserError, in_a_line
from actbench.files.output import PersistentConsole

_MULTIRUN = "hydra.mode=MULTIRUN"


class _NoCallbacks:
    """An empty set of Hydra's callbacks, since `hydra_settings` does not allow `hydra.callbacks`."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return _do_nothing


def _do_nothing(*_arguments: Any, **_options: Any) -> None:
    pass


def start(jobs: Sequence[Job], overrides: Sequence[str], command: Command, *, multirun: bool) -> None:
    """Runs what was planned.

    Args:
        jobs: all jobs of the command; for a search a single one, as an example of its trials.
        overrides: of the whole command, in Hydra's grammar.
        command: that the jobs belong to.
        multirun: whether the command is a sweep (`-m`).

    Raises:
        UserError: Hydra fails, for example to start a launcher.
    """
    with _in_words(overrides), composing.composing():
        if not multirun:
            _run(jobs[0], command)
            return
        loader = GlobalHydra.instance().config_loader()
        context = HydraContext(config_loader=loader, callbacks=_NoCallbacks())  # type: ignore[arg-type]
        config = loader.load_configuration("config", [*overrides, _MULTIRUN], run_mode=RunMode.MULTIRUN)
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        if config.hydra.runtime.choices["hydra/sweeper"] == BASIC:
            _sweep(jobs, config, context, command)
            return
        function = partial(task_function.job, command=command)
        sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=function)
        ended = sweeper.sweep(arguments=_with_dataset(jobs[0], list(config.hydra.overrides.task)))
        if isinstance(sweeper, search.Search) and not command.exit_codes:  # a launcher ran the trials elsewhere
            command.exit_codes += [0 if how == "completed" else FAILED for how in ended]


def _sweep(jobs: Sequence[Job], config: DictConfig, context: HydraContext, command: Command) -> None:
    """Runs all planned jobs: one after the other in this process, or by the chosen launcher."""
    folder = Path(config.hydra.sweep.dir)
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")  # the typed overrides, by which the sweep can be resumed
    if config.hydra.runtime.choices["hydra/launcher"] == BASIC:
        console = PersistentConsole("training continues")
        console.out(f"Launching {len(jobs)} jobs locally")
        for number, job in enumerate(jobs):
            console.out(f"\t#{number} : {' '.join(job.task)}")
            _run(job, command, number)
        return
    function = partial(task_function.job, command=command)
    launcher = Plugins.instance().instantiate_launcher(config=config, hydra_context=context, task_function=function)
    at_once = config.hydra.sweeper.get("max_batch_size") or len(jobs)
    for first in range(0, len(jobs), at_once):
        batch = [_for_a_launcher(job) for job in jobs[first : first + at_once]]
        for returned in launcher.launch(batch, initial_job_idx=first):
            returned.return_value  # noqa: B018 (raises what the job has raised)


def _run(job: Job, command: Command, number: int | None = None) -> None:
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
            config.hydra.overrides.hydra.append(_MULTIRUN)
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
    return [*_with_dataset(job, job.task), f"hydra.sweep.subdir={quoted(job.settings.folder)}"]


def _with_dataset(job: Job, overrides: Sequence[str]) -> list[str]:
    """The overrides with `dataset=auto` replaced by the dataset that it stands for."""
    rest = [override for override in overrides if override != f"dataset={auto.NAME}"]
    if not job.automatic or any(key_of(override) == "dataset" for override in rest):
        return [*overrides]
    note = job.settings.dataset_note
    return [*rest, f"dataset={job.settings.dataset.name}", *([f"+{auto.NOTE}={quoted(note)}"] if note else [])]


@contextmanager
def _in_words(overrides: Sequence[str]) -> Iterator[None]:
    """Turns the exceptions of a launcher or a sweeper into a UserError, unless HYDRA_FULL_ERROR=1 is set."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        own = " ".join(override for override in overrides if override.startswith("hydra"))
        how = "what is installed, and the parameters of the launcher and the sweeper: hydra.launcher.KEY=VALUE"
        raise UserError(f"could not be started: {in_a_line(error)}", where=own or "Hydra", how=how) from error
