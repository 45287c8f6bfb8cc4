"""Which of several configurations that are as good as each other to use: the cheapest one, if that can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench import naming
from actbench.report.configurations import METRIC, Configuration
from actbench.report.cost import not_dearer

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict

CHEAPEST, SMALLEST, BASELINE, USUAL, HIGHEST, ONLY = "cheapest", "smallest", "baseline", "usual", "highest mean", "only"

_MORE = 0.01  # so many more parameters, relatively, cost nothing: one that an activation learns for each layer
_USUAL = "relu"


def recommend(verdict: Verdict) -> tuple[Configuration | None, str]:
    """The configuration to use among those that are best or as good as the best, and what decided for it.

    In this order, each among those that are left: what is measurably dearer than another one goes; what has
    noticeably more parameters goes; the baseline; relu; the highest mean.
    """
    left = [decision.configuration for decision in verdict.with_word("best", "as good")]
    if len(left) < 2:
        only = left[0] if left and len(verdict.decisions) > 1 else None
        return only, ONLY if only else ""
    cheap = not_dearer(left)
    if len(cheap) == 1:
        return cheap[0], CHEAPEST
    fewest = min(one.parameters for one in cheap)
    small = [one for one in cheap if one.parameters <= (1 + _MORE) * fewest]
    if len(small) == 1:
        return small[0], SMALLEST
    for one in small:
        if one.name == verdict.baseline:
            return one, BASELINE
    usual = [one for one in small if naming.activations(one.settings.flat()) == _USUAL]
    if usual:
        return usual[0], USUAL if len(usual) == 1 else HIGHEST
    return max(small, key=lambda one: one.mean(METRIC)), HIGHEST
