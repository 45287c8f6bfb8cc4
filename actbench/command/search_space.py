"""The search space: overrides with several values, as Optuna's distributions."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer
from omegaconf import DictConfig

from actbench.command.override import read
from actbench.errors import UserError, in_a_line


def params_of(sweeper: DictConfig) -> list[str]:
    """What a preset sweeps, as overrides."""
    return [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]


def swept(overrides: Sequence[str]) -> list[Override]:
    """Those of some overrides that have several values."""
    parsed = [read(override).parsed for override in overrides if read(override).is_sweep]
    return [override for override in parsed if override is not None]


def space_of(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Key -> Optuna's distribution, and key -> its values where it has single ones.

    `a,b` is chosen from; `range(1,9)` is whole numbers, without the last one, as in a sweep; `interval(0.1,0.9)` is
    fractions and `int(interval(1,9))` whole numbers, both ends included; `tag(log,...)` draws evenly by size.

    Raises:
        UserError: there is no such distribution.
    """
    space: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    for override in swept(overrides):
        key, value = override.get_key_element(), override.value()
        try:
            with without_warnings():
                space[key] = _distribution(override, value)
            if isinstance(value, (ChoiceSweep, RangeSweep)):
                grid[key] = _values(override)
        except Exception as error:  # of Hydra's grammar and of Optuna's constructors
            raise UserError(
                in_a_line(error), where=override.input_line or key, how="a,b or interval(low,high)"
            ) from error
    return space, grid


def _distribution(override: Override, value: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        if isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log)
        return FloatDistribution(float(value.start), float(value.end), log=log)
    values = _values(override)
    if isinstance(value, RangeSweep) and not getattr(value, "shuffle", False):
        if log:
            return IntDistribution(int(values[0]), int(values[-1]), log=True)
        step = value.step if value.step is not None else 1
        if all(isinstance(one, int) for one in values):
            return IntDistribution(min(values), max(values), step=abs(int(step)))
        return FloatDistribution(min(values), max(values), step=abs(float(step)))
    return CategoricalDistribution(values)


def _values(override: Override) -> list[Any]:
    """Numbers as such, everything else as it is typed."""
    plain = override.sweep_iterator(transformer=Transformer.identity)
    typed = override.sweep_iterator(transformer=Transformer.encode)
    pairs = zip(plain, typed, strict=True)
    values = [one if isinstance(one, (int, float)) and not isinstance(one, bool) else str(text) for one, text in pairs]
    return (
        sorted(values, key=str) if getattr(override.value(), "shuffle", False) else values
    )  # the same in each process


def described(space: Mapping[str, Any]) -> dict[str, str]:
    """Key -> its distribution as text, by which two searches can be told apart."""
    from optuna.distributions import distribution_to_json

    return {key: json.dumps(json.loads(distribution_to_json(space[key])), sort_keys=True) for key in sorted(space)}


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Optuna's remarks on what is experimental concern this package, not the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
