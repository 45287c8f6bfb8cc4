"""Who chooses the settings of a search, and who gives trials up: `hydra/sweeper/sampler=tpe`, `.../pruner=median`.

A sampler is built anew for each trial, from the seed and the number of the trial. What it has learned it reads from the
trials. So it makes no difference which process asks, and a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actbench.command.search_space import without_warnings

_SEED = {"seed": 0}
SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> Optuna's class and its parameters that can be typed
    "tpe": ("TPESampler", {**_SEED, "n_startup_trials": 10, "n_ei_candidates": 24, "multivariate": False}),
    "random": ("RandomSampler", {**_SEED}),
    "cmaes": ("CmaEsSampler", {**_SEED, "n_startup_trials": 1, "sigma0": None, "popsize": None}),
    "nsgaii": ("NSGAIISampler", {**_SEED, "population_size": 50, "crossover_prob": 0.9, "swapping_prob": 0.5}),
    "grid": ("GridSampler", {**_SEED}),
    "motpe": ("TPESampler", {**_SEED, "n_startup_trials": 10, "n_ei_candidates": 24}),  # the former name of it
}
_FIXED: dict[str, dict[str, Any]] = {  # what is not a matter of taste where several processes search
    "TPESampler": {"constant_liar": True, "warn_independent_sampling": False},
    "CmaEsSampler": {"warn_independent_sampling": False},
}
PRUNERS: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {"n_startup_trials": 5, "n_warmup_steps": 2},
    "wilcoxon": {"p_threshold": 0.1, "n_warmup_steps": 2},
}


def sampler_nodes() -> dict[str, dict[str, Any]]:
    """Name -> the choice in `hydra/sweeper/sampler`."""
    return {name: {"name": name, **parameters} for name, (_, parameters) in SAMPLERS.items()}


def pruner_nodes() -> dict[str, dict[str, Any]]:
    """Name -> the choice in `hydra/sweeper/pruner`."""
    return {name: {"name": name, **parameters} for name, parameters in PRUNERS.items()}


def sampler(chosen: Mapping[str, Any], grid: Mapping[str, Sequence[Any]], number: int = 0) -> Any:
    """The sampler for the trial of this number; a seed of null draws another one each time.

    Raises:
        Exception: whatever its constructor says of a parameter.
    """
    import optuna
    from numpy.random import SeedSequence

    kind, known = SAMPLERS[chosen["name"]]
    given = _checked(chosen, known)
    seed = given.pop("seed")
    if seed is not None and kind != "GridSampler":  # which numbers its grid by the seed
        seed = int(SeedSequence([int(seed), number]).generate_state(1)[0])
    with without_warnings():
        if kind == "GridSampler":
            return optuna.samplers.GridSampler(grid, seed=seed)
        return getattr(optuna.samplers, kind)(**given, **_FIXED.get(kind, {}), seed=seed)


def pruner(chosen: Mapping[str, Any]) -> Any:
    """The pruner; None where nothing is given up.

    Raises:
        Exception: whatever its constructor says of a parameter.
    """
    import optuna

    from actbench.command.search_pruning import paired_pruner

    given = _checked(chosen, PRUNERS[chosen["name"]])
    if chosen["name"] == "none":
        return None
    if chosen["name"] == "median":
        return optuna.pruners.MedianPruner(**given)
    return paired_pruner(**given)


def _checked(chosen: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were chosen; Optuna's constructors take anything, and fail later."""
    given = {key: value for key, value in chosen.items() if key != "name"}
    for key, value in given.items():
        if key not in known:
            raise TypeError(f"no parameter {key}; there are {', '.join(known)}")
        kinds = (int,) if isinstance(known[key], int) else (int, float)
        optional = value is None and (known[key] is None or key == "seed")
        if not optional and (not isinstance(value, kinds) or isinstance(value, bool) != isinstance(known[key], bool)):
            raise TypeError(f"{key} is no {'whole number' if kinds == (int,) else 'number'}: {value}")
        if not optional and value < 0:
            raise ValueError(f"{key} must be 0 or more")
    return given
