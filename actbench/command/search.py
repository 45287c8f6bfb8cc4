"""`+search=tpe`: a search for the setting with the highest validation accuracy, by Optuna's samplers.

It is a sweeper of Hydra's (`hydra/sweeper=optuna`), which asks Optuna for settings and tells it how they did. Its
trials are in a database, so that any number of processes can search together, and what was killed goes on
(`search_study.py`).
"""

from __future__ import annotations

import contextlib
import math
import pickle
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.command import (
    batches,
    composing,
    hydra_settings,
    own_plugins,
    planning,
    search_samplers,
    search_storage,
    task_function,
)
from actbench.command.batches import Batches
from actbench.command.duplicate_runs import NOT_COMPARED
from actbench.command.override import key_of
from actbench.command.planning import Job
from actbench.command.running import Command
from actbench.command.search_pruning import Pruning
from actbench.command.search_space import described, space_of, swept
from actbench.command.search_study import Terms, Trial, Trials
from actbench.errors import UserError, in_a_line, without_password
from actbench.files.atomic import write_text
from actbench.store import reader
from actbench.store import search as search_file

_PLUGIN = "hydra_plugins.actbench"  # Hydra takes sweepers from modules of such a name alone
TARGET = f"{_PLUGIN}.Search"
_NODE = {
    "_target_": TARGET, "_recursive_": False, "n_trials": 20, "n_jobs": 2, "max_failure_rate": 1.0,
    "direction": "maximize", "storage": search_storage.AUTO, "study_name": None, "params": None,
    "defaults": ["_self_", {"sampler": "tpe"}, {"pruner": "none"}],
}  # fmt: skip


def register() -> None:
    """Has `hydra/sweeper=optuna` mean the search below, also where Hydra's own plugin for Optuna is installed."""
    Plugins.instance()  # has read the plugins
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=_NODE, provider="actbench")
    for kind, nodes in (("sampler", search_samplers.sampler_nodes()), ("pruner", search_samplers.pruner_nodes())):
        store.repo["hydra"]["sweeper"].pop(kind, None)  # those of the plugin, which have other parameters
        for name, node in nodes.items():
            store.store(group=f"hydra/sweeper/{kind}", name=name, node=node, provider="actbench")
    own_plugins.register(Search, sys.modules[__name__])


# ---------------------------------------------------------------- the search


def study_name(sweeper: DictConfig, folder: Path) -> str:
    """The name of the search in its database: that of the folder of its runs, unless it was typed."""
    return str(sweeper.study_name or folder.name)


def terms_of(sweeper: DictConfig, overrides: Sequence[str]) -> Terms:
    """What is searched and what is fixed, of the overrides of a search without those of Hydra's own.

    Raises:
        UserError: there is no such space.
    """
    every = [*(f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()), *overrides]
    chosen = {override.input_line for override in swept(every)}
    space, _ = space_of(every)
    fixed = [override for override in every if override not in chosen]
    return Terms(described(space), fixed, [word for word in fixed if key_of(word) not in NOT_COMPARED])


def arguments_of(job: Job, task: Sequence[str]) -> list[str]:
    """The overrides of a search as its sweeper gets them: with the dataset that `dataset=auto` stands for.

    Args:
        job: the example that was planned.
    """
    return batches.with_dataset(job, [word for word in task if key_of(word) != "search"])


class Search(Sweeper):
    """Asks a sampler of Optuna for settings, has them trained by Hydra's launcher, and tells it how they did.

    As many trials at once as `n_jobs` says, where the launcher runs jobs at once. With `max_failure_rate` below 1 the
    search ends where more than that share of such a batch failed; a trial that diverged has not failed.
    """

    __module__ = _PLUGIN

    def __init__(
        self, *, sampler: Any, storage: str | None, study_name: str | None, n_trials: int, n_jobs: int,
        max_failure_rate: float, params: DictConfig | None, pruner: Any = None, **_checked: Any,
    ) -> None:  # fmt: skip
        self._sampler, self._pruner, self._storage, self._name = sampler, pruner, storage, study_name
        self._n_trials, self._n_jobs, self._max_failure_rate = n_trials, n_jobs, max_failure_rate
        self._params: dict[Any, Any] = {**(params or {})}
        self._run = 0  # trials, by this process
        self.command = Command()
        self.expect: Callable[[int], None] = lambda _: None  # is told how many more trials there will be

    batches: Batches
    config: Any

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = _without_password(config)
        self.command = getattr(task_function, "keywords", {}).get("command") or self.command
        self.batches = Batches(_for_jobs(self.config), hydra_context, self.command)

    def sweep(self, arguments: list[str]) -> list[str]:
        """Trains what the sampler asks for, and ends with what was found, also where it is interrupted.

        Returns:
            How each trial ended, as `Trial.ended` has it.

        Raises:
            UserError: the study in the storage searches something else.
        """
        folder = Path(self.config.hydra.sweep.dir)
        batches.note(self.config)  # as Hydra's own sweeper: it says what was typed
        overrides = [*(f"{key}={value}" for key, value in self._params.items()), *arguments]
        terms = terms_of(self.config.hydra.sweeper, arguments)
        grid = space_of(overrides)[1]
        if self._sampler["name"] == "grid":
            self._n_trials = min(self._n_trials, math.prod(map(len, grid.values())))
        url, name = search_storage.address(self._storage, folder), self._name or folder.name
        pruner = search_samplers.pruner(self._pruner) if self._pruner else None
        trials = Trials(
            url, name, folder, terms, self._n_trials,
            sampler=lambda number: search_samplers.sampler(self._sampler, grid, number), pruner=pruner,
        )  # fmt: skip
        with trials:
            if pruner is not None:
                study = trials.study if url is None or self._alone else None
                self.command.pruning = Pruning(url, name, dict(self._pruner), study)
            try:
                self._go_on(trials)
            finally:
                self._tell(trials)
            return [trial.ended for trial in trials.ended()]

    @property
    def _alone(self) -> bool:
        """Whether jobs run one after the other in this process."""
        return bool(self.config.hydra.runtime.choices["hydra/launcher"] == planning.BASIC)

    def _go_on(self, trials: Trials) -> None:
        """Runs trials until there are as many as there shall be, and those of all processes have ended."""
        there = len(trials.ended())
        if there:
            print(f"search: {min(there, self._n_trials)} of {self._n_trials} trials are in {trials.folder} already")
        told = False
        while True:
            self.expect(max(self._n_trials - len(trials.ended()), 0))  # of which other processes take some
            batch = trials.take(1 if self._alone else self._n_jobs)
            if batch:
                ended = self._batch(trials, batch)
                if sum(trial.ended == "failed" for trial in ended) / len(ended) > self._max_failure_rate:
                    rate = f"hydra.sweeper.max_failure_rate={self._max_failure_rate:g}"
                    print(f"the search ends: more than {rate} failed")
                    return
            elif not trials.wait():
                return
            elif not told:
                told = True
                print("search: waiting for trials that other processes run")

    def _batch(self, trials: Trials, batch: Sequence[Trial]) -> list[Trial]:
        """Runs some trials at once, and reports how they ended. Those that are interrupted are left as they are."""
        asked = {trial.number: self._job((*trial.overrides, *trials.terms.fixed), trials.folder) for trial in batch}
        jobs = {number: job for number, job in asked.items() if job is not None}
        first, self._run = self._run, self._run + len(jobs)
        if self.command.pruning is not None:
            self.command.pruning.trials = {job.folder.name: number for number, job in jobs.items()}
        if self._alone:
            for number, job in enumerate(jobs.values(), start=first):
                batches.run_alone(job, self.command, number)
        elif jobs:
            self.batches.run([*jobs.values()])
        ended = [_with_outcome(trial, asked[trial.number]) for trial in batch]
        for trial in ended:
            trials.tell(trial)
        self._write(trials)
        return ended

    def _job(self, overrides: Sequence[str], study: Path) -> Job | None:
        """The job of a trial; None where none can be made of what was chosen, which is said."""
        try:
            config = compose("config", overrides=[*overrides], return_hydra_config=True)
            hydra_settings.check(config, overrides)
            settings = composing.to_settings(composing.without_hydra(config), config.hydra.runtime.choices)
        except (HydraException, OmegaConfBaseException, UserError) as error:
            failure = error if isinstance(error, UserError) else UserError(in_a_line(error), where=" ".join(overrides))
            task_function.report_failure(failure, self.command, None)
            return None
        return Job(tuple(overrides), settings, study / settings.folder, pickle.dumps(config))

    def _write(self, trials: Trials) -> None:
        """The trials of all processes as a file in the study, from which the report is made."""
        stored = [
            search_file.Trial(one.number, one.ended, one.value, dict(one.params), one.folder)
            for one in trials.ended()
        ]  # fmt: skip
        pruner = self._pruner["name"] if self._pruner else "none"
        content = search_file.Search(self._sampler["name"], pruner, self._n_trials, tuple(trials.terms.space), stored)
        with contextlib.suppress(OSError):  # a full disk is reported by the runs
            search_file.write(trials.folder, content)

    def _tell(self, trials: Trials) -> None:
        """How many trials ended how, and the best setting; and the same as files."""
        every = trials.ended()
        counted = Counter(trial.ended for trial in every)
        best = max((trial for trial in every if trial.ended == "completed"), key=_value, default=None)
        kinds = ("completed", *(["pruned"] if counted["pruned"] else []), "diverged", "failed")
        counts = {kind: counted[kind] for kind in kinds}
        said = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number or kind == "completed")
        print(f"\nsearch: {len(every)} of {self._n_trials} trials: {said}")
        results: dict[str, Any] = {"name": "optuna", "trials": counts}
        if best is None:
            print("no setting has a result: none was trained to its end")
        else:
            print(f"best by validation accuracy, {best.value:.2f} %: {' '.join(best.overrides)}")
            results["best_params"] = {
                key: yaml.safe_load(value) if isinstance(value, str) else value for key, value in best.params.items()
            }
            results["best_value"] = best.value
        with contextlib.suppress(OSError):  # a full disk is reported by the runs
            write_text(trials.folder / "optimization_results.yaml", yaml.safe_dump(results, sort_keys=False))
        self._write(trials)


def _without_password(config: DictConfig) -> DictConfig:
    """What is written into the runs' folders does not need the storage's password."""
    hidden = config.copy()
    OmegaConf.set_readonly(hidden, False)
    if hidden.hydra.sweeper.get("storage"):
        hidden.hydra.sweeper.storage = without_password(str(hidden.hydra.sweeper.storage))
    hidden.hydra.overrides.hydra = [*map(without_password, hidden.hydra.overrides.hydra)]
    return hidden


def _for_jobs(config: DictConfig) -> DictConfig:
    """The same without the search, of which the jobs, composed again from the overrides, are no part."""
    jobs = config.copy()
    words = config.hydra.overrides.hydra
    jobs.hydra.overrides.hydra = [word for word in words if not _of_sweeper(key_of(word))]
    return jobs


def _of_sweeper(key: str) -> bool:
    return key.replace("/", ".").startswith("hydra.sweeper")


def _value(trial: Trial) -> float:
    return -math.inf if trial.value is None else trial.value


def _with_outcome(trial: Trial, job: Job | None) -> Trial:
    """How a trial ended, by what is in the folder of its run. One diverged seed makes a trial diverged."""
    if job is None:
        return replace(trial, ended="failed")
    trial = replace(trial, folder=job.folder.name)
    try:
        summary = reader.summary(job.folder)
    except (OSError, UserError):
        summary = None
    if summary is not None and (summary.diverged or summary.status == "diverged"):
        return replace(trial, ended="diverged")
    if summary is None or summary.status not in ("completed", "pruned"):
        return replace(trial, ended="failed")
    return replace(trial, ended=summary.status, value=summary.metrics["val_accuracy"].mean)
