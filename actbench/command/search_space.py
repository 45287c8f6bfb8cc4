"""The search space: overrides with several values, as Optuna's distributions."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep, Transformer
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

    Raises:
        UserError: there is no such distribution.
    """
    with without_warnings():
        from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override

    space: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    for override in swept(overrides):
        key, value = override.get_key_element(), override.value()
        try:
            with without_warnings():
                space[key] = create_optuna_distribution_from_override(override)
        except Exception as error:
            raise UserError(
                in_a_line(error), where=override.input_line or key, how="a,b or interval(low,high)"
            ) from error
        if isinstance(value, (ChoiceSweep, RangeSweep)):
            grid[key] = [*override.sweep_iterator(transformer=Transformer.encode)]
    return space, grid


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Optuna's remarks on what is experimental or will be gone in its next version concern its plugin, not the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
