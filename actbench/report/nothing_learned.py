"""The sentence that no network of a comparison has learned much: then the best of them is the best at guessing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actbench.diagnosis import stalled_loss

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict


def sentences(verdict: Verdict) -> Iterator[str]:
    """None where some configuration has learned."""
    trained = [decision.configuration for decision in verdict.decisions if decision.configuration.n]
    runs = [run for one in trained for run in one.counting]
    found = [{finding.code for finding in run.summary.findings or ()} for run in runs if run.summary is not None]
    if found and all(stalled_loss.RULE.code in codes for codes in found):
        yield (
            "None of them has learned much, so that their differences say little about activations: the training loss "
            f"does not fall early. The finding {stalled_loss.RULE.code} says what to try."
        )
