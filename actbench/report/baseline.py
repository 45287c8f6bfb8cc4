"""Configurations by what the user calls them: the baseline, and the names in a condition."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from actbench import naming
from actbench.errors import UserError
from actbench.report.configurations import Configuration
from actbench.report.formatting import listed


@dataclass(frozen=True)
class Baseline:
    """What the others are compared with, besides the best.

    It was chosen by its validation accuracy among `among` configurations that match the asked name; 1 where only one
    does.
    """

    configuration: Configuration
    among: int = 1


def find_baseline(configurations: Sequence[Configuration], name: str) -> Baseline:
    """The configuration to compare with: the one that matches `name`.

    Where several match, the one with the best validation accuracy (of those in which no seed diverged).

    Raises:
        UserError: none matches `name`.
    """
    usable = [configuration for configuration in configurations if configuration.n]
    found = matching(usable, name)
    if not found:
        how = suggestion(name, [configuration.name for configuration in usable])
        raise UserError("there is no such configuration to compare with", where=f"--baseline {name}", how=how)
    return Baseline(max(found, key=by_validation), len(found))


def matching(configurations: Sequence[Configuration], name: str) -> list[Configuration]:
    """The configurations that go by `name`: their own name in full, or some words of it or of their settings."""
    exact = [configuration for configuration in configurations if configuration.name == name]
    return exact or [configuration for configuration in configurations if _matches(configuration, name)]


def _matches(configuration: Configuration, name: str) -> bool:
    flat = configuration.settings.flat()
    words = {*configuration.name.split(), naming.activations(flat), configuration.settings.id}
    for key, value in flat.items():  # what all configurations have in common may be named too
        words |= {f"{key}={naming.shown(value)}", f"{key.rpartition('.')[2]}={naming.shown(value)}"}
    return bool(name.split()) and {*name.split()} <= words


def suggestion(name: str, names: Sequence[str]) -> str:
    """What to type in place of a name that no configuration has."""
    lowered = {one.lower(): one for one in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return f"did you mean {lowered[near[0]]}?" if near else f"one of: {listed(names)}" if names else ""


def by_validation(configuration: Configuration) -> tuple[bool, float]:
    """The sort key of every choice: validation accuracy; those of which a seed diverged come after all others."""
    return not configuration.diverged, configuration.mean("val_accuracy")
