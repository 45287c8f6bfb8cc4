"""Starts jobs through Hydra's public functions, each with the configuration that was planned for it.

`hydra.main` would read `sys.argv`, parse the overrides again, and compose each job twice more. Otherwise it does
little: it creates a sweeper or a launcher, for which there are public functions, or runs a job in this process.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from actbench.command import batches, composing, launchers, race, search, task_function
from actbench.command.complaints import FAILED
from actbench.command.planning import BASIC, Job
from actbench.command.race_terms import Terms
from actbench.command.running import Command
from actbench.errors import UserError, in_a_line
from actbench.files.output import PersistentConsole


class _NoCallbacks:
    """An empty set of Hydra's callbacks, since `hydra_settings` does not allow `hydra.callbacks`."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return _do_nothing


def _do_nothing(*_arguments: Any, **_options: Any) -> None:
    pass


def start(
    jobs: Sequence[Job],
    overrides: Sequence[str],
    command: Command,
    *,
    multirun: bool,
    terms: Terms | None = None,
    begin: bool = True,
) -> Sequence[Job]:
    """Runs what was planned; returns the jobs that were started.

    Args:
        jobs: all jobs of the command; for a search a single one, as an example of its trials; for a race one for each
            configuration.
        overrides: of the whole command, in Hydra's grammar.
        command: that the jobs belong to.
        multirun: whether the command is a sweep (`-m`).
        terms: of a race.
        begin: whether the overrides are noted as those by which the study can be resumed.

    Raises:
        UserError: Hydra fails, for example to start a launcher.
    """
    with _in_words(overrides), composing.composing():
        if not multirun:
            with _shown(jobs, command, several=len(jobs) > 1):
                if len(jobs) == 1:
                    batches.run_alone(jobs[0], command)
                else:
                    batches.run_here(jobs, command)
            return jobs
        loader = GlobalHydra.instance().config_loader()
        context = HydraContext(config_loader=loader, callbacks=_NoCallbacks())  # type: ignore[arg-type]
        config = loader.load_configuration("config", [*overrides, batches.MULTIRUN], run_mode=RunMode.MULTIRUN)
        if problems := launchers.problems(config):
            raise UserError.of(problems)
        if command.display is None:  # else logging is the caller's
            configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        if begin and (terms or config.hydra.runtime.choices["hydra/sweeper"] == BASIC):
            batches.note(config)
        here = config.hydra.runtime.choices["hydra/launcher"] == BASIC
        with launchers.prepared(config, jobs), _shown(jobs, command, several=True) if here else nullcontext():
            return _sweep(jobs, config, context, command, terms)


def _sweep(
    jobs: Sequence[Job], config: DictConfig, context: HydraContext, command: Command, terms: Terms | None
) -> Sequence[Job]:  # fmt: skip
    if terms is not None:
        return race.start(jobs, terms, config, context, command)
    if config.hydra.runtime.choices["hydra/sweeper"] == BASIC:
        batches.Batches(config, context, command).run(jobs)
        return jobs
    function = partial(task_function.job, command=command)
    sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=function)
    if command.sweep is not None and isinstance(sweeper, search.Search):
        sweeper.expect = command.sweep.expect_trials
    ended = sweeper.sweep(arguments=search.arguments_of(jobs[0], list(config.hydra.overrides.task)))
    if isinstance(sweeper, search.Search):  # whose trials may have been run by other processes
        command.exit_codes += [0 if how in ("completed", "pruned") else FAILED for how in ended]
    return jobs


@contextmanager
def _shown(jobs: Sequence[Job], command: Command, *, several: bool) -> Iterator[None]:
    """Has one display show all runs of a command that trains `several` here, one after the other."""
    if not (several or command.display):
        yield
        return
    if command.display is not None:
        with command.display() as command.sweep:
            if not several:
                command.sweep.expect([jobs[0].settings])
            yield
        return
    from actbench.command.crew import Crew
    from actbench.sinks.live import is_possible
    from actbench.sinks.sweep import Sweep

    logging.getLogger("hydra").setLevel(logging.WARNING)  # its launcher tells of each job
    console = PersistentConsole("training continues")
    asked = jobs[0].config.workers
    with Sweep(console, moving=is_possible(console)) as command.sweep, Crew(command, asked):
        yield


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
