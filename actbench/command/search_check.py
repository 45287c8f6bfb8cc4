"""Checks a search before its first trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.command import hydra_settings, planning, search_samplers, search_storage
from actbench.command.composing import composing
from actbench.command.override import key_of, read
from actbench.command.planning import Job
from actbench.command.search import TARGET, arguments_of, study_name, terms_of
from actbench.command.search_pruning import least_p_value
from actbench.command.search_space import params_of, space_of, swept
from actbench.command.search_study import differing
from actbench.errors import Problem, UserError, in_a_line, without_password

_OLDEST = 4  # version of Optuna
_WHERE, _EXTRA = "hydra/sweeper=optuna", "pip install 'actbench[search]'"
_SAMPLER, _SHOWN = "hydra.sweeper.sampler", "actbench --cfg hydra shows what it has"
_HIGHEST = "a run returns its mean validation accuracy, of which more is better"
_UPWARD = {  # by which key other sweepers maximise: key below hydra.sweeper -> what it has to be
    "optim.maximize": True,  # Nevergrad
    "ax_config.experiment.minimize": False,  # Ax
}


def check(overrides: Sequence[str], job: Job | None = None) -> list[Problem]:
    """What is wrong with a search that a command line asks for; nothing where it is none.

    Every value that may be chosen is tried by itself: what has only a range, at both its ends.

    Args:
        job: the example that was planned; without it, the search may not be one with which another can go on.
    """
    try:
        fixed = [override for override in overrides if not read(override).is_sweep]
        hydras = [override for override in fixed if hydra_settings.is_hydras(override) or key_of(override) == "search"]
        with composing():  # other mistakes must not hide those of the search
            hydra = compose("config", overrides=hydras, return_hydra_config=True).hydra
        OmegaConf.to_container(hydra.sweeper, resolve=True)
    except (HydraException, OmegaConfBaseException, ValueError, AssertionError):
        return []  # `planning.plan` explains it
    if hydra.runtime.choices["hydra/sweeper"] == planning.BASIC:
        return []
    sweeper = hydra.sweeper
    problems = [_downward(key, upward) for key, upward in _UPWARD.items() if _is_otherwise(sweeper, key, upward)]
    if sweeper["_target_"] == TARGET:
        if missing := _not_installed():
            return [missing]
        try:
            space, grid = space_of([*params_of(sweeper), *overrides])
            problems += _of_sampler(sweeper, space, grid)
            problems += _of_pruner(sweeper, hydra, job)
            problems += _of_storage(sweeper, overrides, job)
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


def _not_installed() -> Problem | None:
    """Optuna itself, in a version that has what is used of it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        there = version("optuna")
    except PackageNotFoundError:
        return Problem("needs Optuna, which is not installed", _WHERE, _EXTRA)
    if int(there.partition(".")[0]) < _OLDEST:
        return Problem(f"needs Optuna {_OLDEST} or newer, and {there} is installed", _WHERE, _EXTRA)
    return None


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
    chosen = dict(sweeper.sampler)
    if chosen["name"] == "grid":
        problems += [
            Problem("a grid needs single values, and this is a range", key, f"{key}=VALUE,VALUE, or another sampler")
            for key in space
            if key not in grid
        ]
    try:
        search_samplers.sampler(chosen, {key: [*values] for key, values in grid.items()})
    except ModuleNotFoundError as error:
        problems.append(Problem(f"needs a package that is not installed: {error.name}", _SAMPLER, _EXTRA))
    except Exception as error:  # whatever a sampler's constructor says
        problems.append(Problem(in_a_line(error), _SAMPLER, _SHOWN))
    return problems


def _of_pruner(sweeper: DictConfig, hydra: DictConfig, job: Job | None) -> Iterator[Problem]:
    chosen = dict(sweeper.pruner)
    where = f"hydra/sweeper/pruner={chosen['name']}"
    try:
        if search_samplers.pruner(chosen) is None:
            return
    except Exception as error:  # whatever a pruner's constructor says
        yield Problem(in_a_line(error), "hydra.sweeper.pruner", _SHOWN)
        return
    if sweeper.storage is None and hydra.runtime.choices["hydra/launcher"] != planning.BASIC:
        what = "is asked in other processes, which cannot see trials that are in this one's memory"
        yield Problem(what, where, "leave hydra.sweeper.storage=null out")
    seeds = job.settings.num_seeds if job else None
    if chosen["name"] == "wilcoxon" and seeds and least_p_value(seeds) >= chosen["p_threshold"]:
        least, asked = least_p_value(seeds), chosen["p_threshold"]
        yield Problem(
            f"can give nothing up: {seeds} seeds come to p = {least:g} at least, and p_threshold is {asked:g}",
            where, f"num_seeds={next(n for n in range(1, 1000) if least_p_value(n) < asked)}, or pruner=median",
        )  # fmt: skip


def _of_storage(sweeper: DictConfig, overrides: Sequence[str], job: Job | None) -> list[Problem]:
    """Why the database cannot be used, or the search that is in it is another one."""
    if sweeper.storage is None:
        return []
    if not isinstance(sweeper.storage, str):
        return [Problem("is not the address of a database", f"hydra.sweeper.storage={sweeper.storage}")]
    folder = job.folder.parent if job else Path()
    url = search_storage.address(sweeper.storage, folder)
    assert url is not None
    if found := search_storage.problem(url):
        return [found]
    if job is None:
        return []
    task = arguments_of(job, [override for override in overrides if not hydra_settings.is_hydras(override)])
    try:
        attributes = search_storage.attributes(url, study_name(sweeper, folder))
    except Exception as error:  # of SQLAlchemy and Optuna, in many kinds
        where = f"hydra.sweeper.storage={without_password(url)}"
        return [Problem(f"cannot be used ({without_password(in_a_line(error))})", where)]
    found = differing(attributes, terms_of(sweeper, task), study_name(sweeper, folder), folder)
    return [found] if found else []


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
