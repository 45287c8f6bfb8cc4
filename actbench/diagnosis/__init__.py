"""What went wrong inside a run: findings in its records, each with figures, the likely cause and what to try.

One module for each finding. It declares `RULE`, which says in words what is found, why it is bad and what helps, a
function `find(run) -> Finding | None`, and its thresholds as named constants with their reasons. Every module that is
added with these is a further finding; modules without a `RULE` hold what several of them share. Nothing is found where
nothing is known: NaN, too few epochs, a run without measurements of its layers.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module

from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule, as_markdown
from actbench.records import Finding

__all__ = ["Rule", "RunHistory", "diagnose", "rules", "rules_markdown"]


def diagnose(run: RunHistory) -> list[Finding]:
    """All findings, the worst first; at most one of each rule, and none where a run is healthy."""
    found = [(rule, find(run)) for rule, find in _catalogue()]
    return [replace(finding, code=rule.code) for rule, finding in found if finding is not None]


def rules() -> list[Rule]:
    """Every finding that there is, the worst first."""
    return [rule for rule, _ in _catalogue()]


def rules_markdown() -> str:
    """The table of all findings that stands in README between `<!-- findings -->` and `<!-- /findings -->`."""
    return as_markdown(rules())


@cache
def _catalogue() -> tuple[tuple[Rule, Callable[[RunHistory], Finding | None]], ...]:
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    declared = [(module.RULE, module.find) for module in modules if hasattr(module, "RULE")]
    return tuple(sorted(declared, key=lambda pair: (pair[0].rank, pair[0].code)))
