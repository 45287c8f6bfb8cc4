"""Checks a search before its first trial."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.command import hydra_settings, planning
from actbench.command.composing import composing
from actbench.command.override import key_of, read
from actbench.command.search import TARGET
from actbench.command.search_space import params_of, space_of, swept, without_warnings
from actbench.errors import Problem, UserError, in_a_line

_HIGHEST = "a run returns its mean validation accuracy, of which more is better"
_UPWARD = {  # by which key other sweepers maximise: key below hydra.sweeper -> what it has to be
    "optim.maximize": True,  # Nevergrad
    "ax_config.experiment.minimize": False,  # Ax
}


def check(overrides: Sequence[str]) -> list[Problem]:
    """What is wrong with a search that a command line asks for; nothing where it is none.

    Every value that may be chosen is tried by itself: what has only a range, at both its ends.
    """
    try:
        fixed = [override for override in overrides if not read(override).is_sweep]
        hydras = [*filter(hydra_settings.is_hydras, fixed)]  # other mistakes must not hide those of the search
        with composing():
            hydra = compose("config", overrides=hydras, return_hydra_config=True).hydra
    except (HydraException, OmegaConfBaseException, ValueError, AssertionError):
        return []  # `planning.plan` explains it
    if hydra.runtime.choices["hydra/sweeper"] == planning.BASIC:
        return []
    sweeper = hydra.sweeper
    problems = [_downward(key, upward) for key, upward in _UPWARD.items() if _is_otherwise(sweeper, key, upward)]
    if sweeper["_target_"] == TARGET:
        try:
            space, grid = space_of([*params_of(sweeper), *overrides])
            problems += _of_sampler(sweeper, space, grid)
        except UserError as error:
            problems += error.problems
    ranges = swept([*params_of(sweeper), *overrides])
    fractions = {item.get_key_element(): item for item in ranges if _draws_fractions(item)}
    for combination in _combinations([*map(_tried, ranges)]):
        _, more = planning.plan([*fixed, *combination], multirun=True)
        for problem in more:
            drawn = fractions.get(key_of(problem.where))
            if drawn is not None and "whole number" in problem.what:
                problem = _of_fractions(drawn)
            problems += [problem] if problem not in problems else []
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
        with without_warnings():
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
        with without_warnings():
            import optuna

            optuna.storages.get_storage(storage)
    except Exception as error:  # of SQLAlchemy and Alembic, in many kinds
        how = "Optuna 2 needs sqlalchemy<2 and alembic<1.14 for it; without a storage it keeps the trials in memory"
        return [Problem(f"cannot be opened ({in_a_line(error)})", f"hydra.sweeper.storage={storage}", how)]
    return []


def _tried(override: Override) -> list[str]:
    """The values of an override, each as it would be typed alone; of a range its ends."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    values = [*override.sweep_iterator(transformer=Transformer.encode)]
    if isinstance(value, RangeSweep):
        values = [values[0], values[-1]] if values else []
    return [f"{key}={value}" for value in values]


def _combinations(tried: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """As few as it takes to have each value once."""
    for place in range(max(map(len, tried), default=0)):
        yield [values[place % len(values)] for values in tried if values]
