"""`hydra/sweeper=optuna`: a search for the setting with the highest validation accuracy, by Optuna's samplers.

Hydra's own Optuna sweeper minimises unless told otherwise, and one trial without a result ends it. This one takes its
place: it maximises, tells the sampler of a trial that diverged as pruned and of one that failed as failed, and goes on.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose
from hydra.core.config_store import ConfigLoadError, ConfigStore
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.command import doors, planning
from actbench.command.composing import composing
from actbench.command.override import key_of, read
from actbench.errors import Problem, UserError, in_a_line
from actbench.files.atomic import write_text
from actbench.store import reader

_PLUGIN = "hydra_plugins.actbench"  # Hydra takes sweepers from modules of such a name alone
_TARGET = f"{_PLUGIN}.Search"
_HIGHEST = "a run returns its mean validation accuracy, of which more is better"
_UPWARD = {  # how other sweepers are told which way is better: key below hydra.sweeper -> what it has to be
    "optim.maximize": True,  # Nevergrad
    "ax_config.experiment.minimize": False,  # Ax
}


def register() -> None:
    """Has `hydra/sweeper=optuna` mean the search below, where Hydra's plugin for Optuna is installed."""
    Plugins.instance()  # has read the plugins
    try:
        theirs = ConfigStore.instance().load("hydra/sweeper/optuna.yaml").node
    except ConfigLoadError:
        return
    ours = {"_target_": _TARGET, "_recursive_": False, "direction": "maximize", "max_failure_rate": 1.0}
    node = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(theirs)), ours)
    ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=node, provider="actbench")
    sys.modules[_PLUGIN] = sys.modules[__name__]
    Plugins.instance().register(Search)


# ---------------------------------------------------------------- before the first trial


def check(overrides: Sequence[str]) -> list[Problem]:
    """What is wrong with a search that a command line asks for; nothing where it is none.

    Every value that may be chosen is tried by itself: what has only a range, at both its ends.
    """
    try:
        fixed = [override for override in overrides if not read(override).is_sweep]
        hydras = [
            override for override in fixed if doors.is_hydras(override)
        ]  # other mistakes must not hide those here
        with composing():
            hydra = compose("config", overrides=hydras, return_hydra_config=True).hydra
    except (HydraException, OmegaConfBaseException, ValueError, AssertionError):
        return []  # `planning.plan` explains it
    if hydra.runtime.choices["hydra/sweeper"] == planning.BASIC:
        return []
    sweeper = hydra.sweeper
    problems = [_downward(key, upward) for key, upward in _UPWARD.items() if _is_otherwise(sweeper, key, upward)]
    if sweeper["_target_"] == _TARGET:
        try:
            space, grid = _space([*_params(sweeper), *overrides])
            problems += _of_sampler(sweeper, space, grid)
        except UserError as error:
            problems += error.problems
    swept = _swept([*_params(sweeper), *overrides])
    fractions = {one.get_key_element(): one for one in swept if _draws_fractions(one)}
    for combination in _combinations([*map(_tried, swept)]):
        _, found = planning.plan([*fixed, *combination], multirun=True)
        for one in found:
            drawn = fractions.get(key_of(one.where))
            told = _of_fractions(drawn) if drawn is not None and "whole number" in one.what else one
            problems += [told] if told not in problems else []
    return problems


def _draws_fractions(override: Override) -> bool:
    value = override.value()
    return isinstance(value, IntervalSweep) and isinstance(value.start, float)


def _of_fractions(override: Override) -> Problem:
    key, typed = override.get_key_element(), override.get_value_string()
    return Problem("draws fractions, and this is a whole number", f"{key}={typed}", f"'{key}=int({typed})'")


def _is_otherwise(sweeper: DictConfig, key: str, upward: bool) -> bool:
    return OmegaConf.select(sweeper, key, default=upward) is not upward


def _downward(key: str, upward: bool) -> Problem:
    typed = f"hydra.sweeper.{key}"
    return Problem(f"would look for the lowest: {_HIGHEST}", typed, f"{typed}={str(upward).lower()}")


def _of_sampler(sweeper: DictConfig, space: dict[str, Any], grid: dict[str, list[Any]]) -> list[Problem]:
    problems = []
    direction = getattr(sweeper.direction, "name", sweeper.direction)
    if direction != "maximize":
        shown = direction if isinstance(direction, str) else str(direction).replace("'", "").replace(" ", "")
        problems.append(Problem(_HIGHEST, f"hydra.sweeper.direction={shown}", "leave it out: it is maximize"))
    for key in ("n_trials", "n_jobs"):
        if not isinstance(sweeper[key], int) or sweeper[key] < 1:
            problems.append(Problem("must be a whole number of 1 or more", f"hydra.sweeper.{key}={sweeper[key]}"))
    rate = sweeper.max_failure_rate
    if not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        problems.append(Problem("must be a number from 0 to 1", f"hydra.sweeper.max_failure_rate={rate}"))
    if sweeper.get("search_space"):
        problems.append(Problem("is out of use", "hydra.sweeper.search_space", "hydra.sweeper.params"))
    if not space:
        problems.append(
            Problem(
                "there is nothing to choose from", "hydra/sweeper=optuna", "activation=relu,gelu, say, or interval(1,9)"
            )
        )
    if sweeper.get("storage"):
        problems += _of_storage(sweeper.storage)
    try:
        with _without_warnings():
            sampler = instantiate(sweeper.sampler)
    except Exception as error:  # whatever a sampler's constructor says
        problems.append(Problem(in_a_line(error), "hydra.sweeper.sampler", "actbench --cfg hydra shows what it has"))
        return problems
    if isinstance(sampler, functools.partial):  # of the grid, which is given its values later
        problems += [
            Problem("a grid needs single values, and this is a range", key, f"{key}=VALUE,VALUE, or another sampler")
            for key in space
            if key not in grid
        ]
    return problems


def _of_storage(storage: Any) -> list[Problem]:
    try:
        with _without_warnings():
            import optuna

            optuna.storages.get_storage(storage)
    except Exception as error:  # of SQLAlchemy and Alembic, in many kinds
        how = "Optuna 2 needs sqlalchemy<2 and alembic<1.14 for it; without a storage it keeps the trials in memory"
        return [Problem(f"cannot be opened ({in_a_line(error)})", f"hydra.sweeper.storage={storage}", how)]
    return []


def _params(sweeper: DictConfig) -> list[str]:
    return [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]


def _swept(overrides: Sequence[str]) -> list[Override]:
    parsed = [read(override).parsed for override in overrides if read(override).is_sweep]
    return [override for override in parsed if override is not None]


def _tried(override: Override) -> list[str]:
    """The values of an override, each as it would be typed alone; of a range its ends."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    values = [*override.sweep_iterator(transformer=Transformer.encode)]
    if isinstance(value, RangeSweep):
        values = [values[0], values[-1]] if values else []
    return [f"{key}={one}" for one in values]


def _combinations(tried: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """As few as it takes to have each value once."""
    for place in range(max(map(len, tried), default=0)):
        yield [values[place % len(values)] for values in tried if values]


def _space(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Key -> Optuna's distribution, and key -> its values where it has single ones.

    Raises:
        UserError: there is no such distribution.
    """
    with _without_warnings():
        from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override

    space: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    for override in _swept(overrides):
        key, value = override.get_key_element(), override.value()
        try:
            with _without_warnings():
                space[key] = create_optuna_distribution_from_override(override)
        except Exception as error:
            raise UserError(
                in_a_line(error), where=override.input_line or key, how="a,b or interval(low,high)"
            ) from error
        if isinstance(value, (ChoiceSweep, RangeSweep)):
            grid[key] = [*override.sweep_iterator(transformer=Transformer.encode)]
    return space, grid


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Optuna's remarks on what is experimental or will be gone in its next version concern its plugin, not the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---------------------------------------------------------------- the search

ended: list[str] = []  # how each trial of this process ended, for the exit code: a launcher may run them in others


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

    launcher: Any
    config: Any

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Trains what the sampler asks for, and ends with what was found, also where it is interrupted."""
        overrides = [*(f"{key}={value}" for key, value in self._params.items()), *arguments]
        swept = {one.input_line for one in _swept(overrides)}
        fixed = [override for override in overrides if override not in swept]  # of every trial
        space, grid = _space(overrides)
        study = self._study(grid)
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

    def _study(self, grid: dict[str, list[Any]]) -> Any:
        with _without_warnings():
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
        """Some trials at once, from what the sampler asks for to what it is told."""
        with _without_warnings():
            asked = [study.ask(fixed_distributions=space) for _ in range(size)]
        overrides = [(*(f"{key}={value}" for key, value in one.params.items()), *fixed) for one in asked]
        try:
            returns = self.launcher.launch(overrides, initial_job_idx=len(self._trials))
            done = [Trial(typed, *_outcome(returned)) for typed, returned in zip(overrides, returns, strict=True)]
        except (HydraException, OmegaConfBaseException) as error:  # no job could be made of what was chosen
            print(f"not begun: {' '.join(overrides[0])}: {in_a_line(error)}")
            done = [Trial(typed, "failed") for typed in overrides]
        except BaseException:
            for one in asked:
                _answer(study, one, Trial((), "failed"))
            raise
        for one, trial in zip(asked, done, strict=True):
            _answer(study, one, trial)
        self._trials += done
        ended.extend(trial.ended for trial in done)
        return done

    def _tell(self, fixed: Sequence[str]) -> None:
        """How many trials ended how, and the best setting; and the same as a file."""
        ended = Counter(trial.ended for trial in self._trials)
        best = max((trial for trial in self._trials if trial.value is not None), key=_value, default=None)
        counts = {kind: ended[kind] for kind in ("completed", "diverged", "failed")}
        said = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number or kind == "completed")
        print(f"\nsearch: {len(self._trials)} of {self._n_trials} trials: {said}")
        found: dict[str, Any] = {"name": "optuna", "trials": counts}
        if best is None:
            print("no setting has a result: none was trained to its end")
        else:
            chosen = [override for override in best.overrides if override not in fixed]
            print(f"best by validation accuracy, {best.value:.2f} %: {' '.join(chosen)}")
            found["best_params"] = {
                key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in chosen)
            }
            found["best_value"] = best.value
        folder = Path(self.config.hydra.sweep.dir)
        with contextlib.suppress(OSError):  # a full disk is told of by the runs
            write_text(folder / "optimization_results.yaml", yaml.safe_dump(found, sort_keys=False))


def _value(trial: Trial) -> float:
    return -math.inf if trial.value is None else trial.value


def _outcome(returned: Any) -> tuple[str, float | None]:
    """How a job ended, by what it returned and by what is in its folder. One diverged seed makes a trial diverged."""
    try:
        value = float(returned.return_value)
        summary = reader.summary(Path(returned.hydra_cfg.hydra.runtime.output_dir))
    except Exception:  # of the job, which has told it
        return "failed", None
    if summary is not None and (summary.diverged or summary.status == "diverged"):
        return "diverged", None
    return ("failed", None) if math.isnan(value) else ("completed", value)


def _answer(study: Any, asked: Any, trial: Trial) -> None:
    """Tells a sampler how a trial ended. Samplers learn from what was pruned that it was worse than all the others."""
    from optuna.trial import TrialState

    state = {"completed": TrialState.COMPLETE, "diverged": TrialState.PRUNED, "failed": TrialState.FAIL}[trial.ended]
    try:
        with _without_warnings():
            study.tell(asked, None if trial.value is None else [trial.value], state)
    except RuntimeError as error:
        if "Study.stop" not in str(error):  # with which the grid says that it is through
            raise
