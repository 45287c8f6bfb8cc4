"""`hydra/sweeper=optuna`: a search for the setting with the highest validation accuracy, by Optuna's samplers.

Hydra's own Optuna sweeper minimises unless it is set to maximise, and one trial without a result ends it. This one
takes its place: it maximises, reports a trial that diverged as pruned and one that failed as failed, and goes on.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigLoadError, ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.command import planning
from actbench.command.search_space import space_of, swept, without_warnings
from actbench.errors import in_a_line
from actbench.files.atomic import write_text
from actbench.store import reader

_PLUGIN = "hydra_plugins.actbench"  # Hydra takes sweepers from modules of such a name alone
TARGET = f"{_PLUGIN}.Search"


def register() -> None:
    """Has `hydra/sweeper=optuna` mean the search below, where Hydra's plugin for Optuna is installed."""
    Plugins.instance()  # has read the plugins
    try:
        theirs = ConfigStore.instance().load("hydra/sweeper/optuna.yaml").node
    except ConfigLoadError:
        return
    ours = {"_target_": TARGET, "_recursive_": False, "direction": "maximize", "max_failure_rate": 1.0}
    node = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(theirs)), ours)
    ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=node, provider="actbench")
    sys.modules[_PLUGIN] = sys.modules[__name__]
    Plugins.instance().register(Search)


# ---------------------------------------------------------------- the search


@dataclass(frozen=True)
class Trial:
    """What was tried, how it ended ("completed", "diverged", "failed"), and its mean validation accuracy (%)."""

    overrides: tuple[str, ...]
    ended: str
    value: float | None = None


class Search(Sweeper):
    """Asks a sampler of Optuna for settings, has them trained by Hydra's launcher, and tells it how they did.

    As many trials at once as `n_jobs` says, where the launcher runs jobs at once. With `max_failure_rate` below 1 the
    search ends where more than that share of such a batch failed; a trial that diverged has not failed.
    """

    __module__ = _PLUGIN

    def __init__(
        self, *, sampler: Any, storage: Any, study_name: str | None, n_trials: int, n_jobs: int,
        max_failure_rate: float, params: DictConfig | None, **_checked: Any,
    ) -> None:  # fmt: skip
        self._sampler, self._storage, self._name = sampler, storage, study_name
        self._n_trials, self._n_jobs, self._max_failure_rate = n_trials, n_jobs, max_failure_rate
        self._params: dict[Any, Any] = {**(params or {})}
        self._trials: list[Trial] = []
        self.expect: Callable[[int], None] = lambda _: None  # is told how many trials there will be

    launcher: Any
    config: Any

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[str]:
        """Trains what the sampler asks for, and ends with what was found, also where it is interrupted.

        Returns:
            How each trial ended, as `Trial.ended` has it.
        """
        overrides = [*(f"{key}={value}" for key, value in self._params.items()), *arguments]
        chosen = {override.input_line for override in swept(overrides)}
        fixed = [override for override in overrides if override not in chosen]  # of every trial
        space, grid = space_of(overrides)
        study = self._study(grid)
        self.expect(self._n_trials)
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")  # as Hydra's own sweeper: it says what was typed
        alone = self.config.hydra.runtime.choices["hydra/launcher"] == planning.BASIC
        at_once = 1 if alone else self._n_jobs
        try:
            while len(self._trials) < self._n_trials:
                batch = self._batch(study, space, fixed, min(at_once, self._n_trials - len(self._trials)))
                if sum(trial.ended == "failed" for trial in batch) / len(batch) > self._max_failure_rate:
                    print(
                        f"the search ends: more than hydra.sweeper.max_failure_rate={self._max_failure_rate:g} failed"
                    )
                    break
        finally:
            self._tell(fixed)
        return [trial.ended for trial in self._trials]

    def _study(self, grid: dict[str, list[Any]]) -> Any:
        with without_warnings():
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
            sampler = instantiate(self._sampler)
            if isinstance(sampler, functools.partial):
                sampler = sampler(grid)
                self._n_trials = min(self._n_trials, math.prod(map(len, grid.values())))
            return optuna.create_study(
                study_name=self._name, storage=self._storage, sampler=sampler, direction="maximize", load_if_exists=True
            )

    def _batch(self, study: Any, space: dict[str, Any], fixed: Sequence[str], size: int) -> list[Trial]:
        """Runs some trials at once: asks the sampler for their values, and reports their results to it."""
        with without_warnings():
            asked = [study.ask(fixed_distributions=space) for _ in range(size)]
        overrides = [(*(f"{key}={value}" for key, value in trial.params.items()), *fixed) for trial in asked]
        try:
            returns = self.launcher.launch(overrides, initial_job_idx=len(self._trials))
            done = [Trial(typed, *_outcome(returned)) for typed, returned in zip(overrides, returns, strict=True)]
        except (HydraException, OmegaConfBaseException) as error:  # no job could be made of what was chosen
            print(f"not started: {' '.join(overrides[0])}: {in_a_line(error)}")
            done = [Trial(typed, "failed") for typed in overrides]
        except BaseException:
            for trial in asked:
                _answer(study, trial, Trial((), "failed"))
            raise
        for asking, trial in zip(asked, done, strict=True):
            _answer(study, asking, trial)
        self._trials += done
        return done

    def _tell(self, fixed: Sequence[str]) -> None:
        """How many trials ended how, and the best setting; and the same as a file."""
        ended = Counter(trial.ended for trial in self._trials)
        best = max((trial for trial in self._trials if trial.value is not None), key=_value, default=None)
        counts = {kind: ended[kind] for kind in ("completed", "diverged", "failed")}
        said = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number or kind == "completed")
        print(f"\nsearch: {len(self._trials)} of {self._n_trials} trials: {said}")
        results: dict[str, Any] = {"name": "optuna", "trials": counts}
        if best is None:
            print("no setting has a result: none was trained to its end")
        else:
            chosen = [override for override in best.overrides if override not in fixed]
            print(f"best by validation accuracy, {best.value:.2f} %: {' '.join(chosen)}")
            results["best_params"] = {
                key: yaml.safe_load(value) for key, _, value in (override.partition("=") for override in chosen)
            }
            results["best_value"] = best.value
        folder = Path(self.config.hydra.sweep.dir)
        with contextlib.suppress(OSError):  # a full disk is reported by the runs
            write_text(folder / "optimization_results.yaml", yaml.safe_dump(results, sort_keys=False))


def _value(trial: Trial) -> float:
    return -math.inf if trial.value is None else trial.value


def _outcome(returned: Any) -> tuple[str, float | None]:
    """How a job ended, by what it returned and by what is in its folder. One diverged seed makes a trial diverged."""
    try:
        value = float(returned.return_value)
        summary = reader.summary(Path(returned.hydra_cfg.hydra.runtime.output_dir))
    except Exception:  # of the job, which has reported it
        return "failed", None
    if summary is not None and (summary.diverged or summary.status == "diverged"):
        return "diverged", None
    return ("failed", None) if math.isnan(value) else ("completed", value)


def _answer(study: Any, asked: Any, trial: Trial) -> None:
    """Tells a sampler how a trial ended. Samplers learn from what was pruned that it was worse than all the others."""
    from optuna.trial import TrialState

    state = {"completed": TrialState.COMPLETE, "diverged": TrialState.PRUNED, "failed": TrialState.FAIL}[trial.ended]
    try:
        with without_warnings():
            study.tell(asked, None if trial.value is None else [trial.value], state)
    except RuntimeError as error:
        if "Study.stop" not in str(error):  # with which the grid says that it is through
            raise
