"""Findings: what went wrong inside a run, with evidence, the likely cause and what to try.

There is one module per finding. It declares `RULE` (what is found, why it is bad and what helps), the function
`find(run) -> Finding | None`, and its thresholds as named constants with their reasons. A new module with these is
discovered without being listed; modules without a `RULE` hold what several findings share. What is not known gives no
finding: NaN, too few epochs, a run without measurements of its layers.
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
    """All findings of a run, the worst first; at most one per rule, and none if the run is healthy."""
    results = [(rule, find(run)) for rule, find in _catalogue()]
    return [replace(finding, code=rule.code) for rule, finding in results if finding is not None]


def rules() -> list[Rule]:
    """The rules of all findings, the worst first."""
    return [rule for rule, _ in _catalogue()]


def rules_markdown() -> str:
    """The table of all findings in the README, between `<!-- findings -->` and `<!-- /findings -->`."""
    return as_markdown(rules())


@cache
def _catalogue() -> tuple[tuple[Rule, Callable[[RunHistory], Finding | None]], ...]:
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    declared = [(module.RULE, module.find) for module in modules if hasattr(module, "RULE")]
    return tuple(sorted(declared, key=lambda pair: (pair[0].rank, pair[0].code)))
