"""`decide.margin=0.1` with -m: a sweep that trains seeds in rounds, until it is decided which configuration to use.

It is a sweeper of Hydra's: each round is a batch of jobs that the chosen launcher runs, however many at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from actbench.command import own_plugins, task_function
from actbench.command.batches import Batches
from actbench.command.planning import Job
from actbench.command.race_terms import Terms
from actbench.command.running import Command
from actbench.files.output import PersistentConsole
from actbench.store import joint

NAME = "race"
_PLUGIN = "hydra_plugins.actbench_race"  # Hydra takes sweepers from modules of such a name alone
TARGET = f"{_PLUGIN}.Race"


def register() -> None:
    """Makes the race known to Hydra as `hydra/sweeper=race`."""
    node = {"_target_": TARGET, "max_batch_size": None, "params": None}
    ConfigStore.instance().store(group="hydra/sweeper", name=NAME, node=node, provider="actbench")
    own_plugins.register(Race, sys.modules[__name__])


def start(
    entrants: Sequence[Job], terms: Terms, config: DictConfig, context: HydraContext, command: Command
) -> list[Job]:
    """Runs a race in place of the sweeper that `config` names; returns the jobs that it has had run.

    Args:
        entrants: a job for each configuration, whose seeds are those of the first round.
        config: of the whole command, with Hydra's own part.
        command: that the jobs belong to.
    """
    config.hydra.sweeper._target_ = TARGET
    function = partial(task_function.job, command=command)
    sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=function)
    assert isinstance(sweeper, Race)
    sweeper.entrants, sweeper.terms, sweeper.batches = entrants, terms, Batches(config, context, command)
    sweeper.sweep(arguments=list(config.hydra.overrides.task))
    return sweeper.started


class Race(Sweeper):
    """Asks for the jobs of a round, has them run, looks at the results, and so on until it is decided.

    Args:
        max_batch_size: the most jobs that a launcher gets at once.
        params: what a preset sweeps; it is in the planned jobs.
    """

    __module__ = _PLUGIN

    def __init__(self, max_batch_size: int | None = None, params: Any = None) -> None:  # noqa: ARG002
        self.entrants: Sequence[Job] = ()  # as they were planned; `start` sets all but what was started
        self.terms: Terms | None = None
        self.batches: Batches | None = None
        self.started: list[Job] = []

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """What Hydra hands to every sweeper."""
        self.config = config

    def sweep(self, arguments: list[str]) -> None:  # noqa: ARG002
        """Runs the race; what was typed is in the jobs already. It stops where a disk is full."""
        from actbench.command.rounds import Rounds  # and with it the statistics, which take a while to import

        assert self.terms is not None and self.batches is not None
        console = PersistentConsole("training continues", highlight=False)
        agree = partial(joint.agreed, self.entrants[0].folder.parent)
        racing = Rounds(self.entrants, self.terms, lambda line: console.print(line, soft_wrap=True), agree=agree)
        sweep = self.batches.command.sweep
        for batch in racing.batches():
            self.started += batch
            if sweep is not None:
                sweep.begin_round(racing.number, racing.racing, len(self.entrants), racing.trained(), racing.most)
            self.batches.run(batch)
            if self.batches.command.disk_errors:
                return  # which has been reported with the command that goes on
