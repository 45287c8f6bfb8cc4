"""How many seeds more would settle those that are undecided, and where the test images leave no hope of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from actbench.report.sequential import level as level_of
from actbench.report.simultaneous import Differences, seeds_to_settle, smallest_visible
from actbench.report.with_best import with_the_best

if TYPE_CHECKING:
    from actbench.report.configurations import Configuration
    from actbench.report.verdict import Decision, Verdict

_POWER = 0.8416  # the normal quantile of 80 %: how many standard errors the estimate may lie on the wrong side


@dataclass(frozen=True)
class Route:
    """A pair whose interval would settle one of the two, once its half-width is `gap` points or less."""

    other: int
    gap: float


def with_seeds(decisions: Sequence[Decision], d: Differences, margin: float, look: int) -> tuple[Decision, ...]:
    """The decisions, with `more_seeds` and `limited_by_images` for the undecided ones."""
    settled = []
    for i, decision in enumerate(decisions):
        if decision.word == "undecided":
            more = [_more_seeds(d, i, route, look) for route in routes(d, i, margin)]
            possible = [number for number in more if number is not None]
            fewest = min(possible) if possible else None
            decision = replace(decision, more_seeds=fewest, limited_by_images=not possible and d.images is not None)
        settled.append(decision)
    return tuple(settled)


def routes(d: Differences, i: int, margin: float) -> list[Route]:
    """What would settle an undecided i if the means stay what they are: that it is worse, or as good as all others."""
    found = []
    _, _, _, best = with_the_best(d)
    others = np.arange(len(d.mean)) != i
    worst = int(np.argmin(np.where(others, d.mean[i], np.inf)))
    if d.mean[i, worst] < 0:
        found.append(Route(worst, float(-d.mean[i, worst])))
    gaps = np.where(others & best, margin + d.mean[i], np.inf)
    if gaps.min() > 0:
        hardest = int(np.argmin(gaps / np.maximum(d.half[i], 1e-12)))
        found.append(Route(hardest, float(gaps[hardest])))
    return found


def _more_seeds(d: Differences, i: int, route: Route, look: int) -> int | None:
    critical = float(d.critical[i, route.other])
    target = route.gap * critical / (critical + _POWER)
    needed = seeds_to_settle(d, i, route.other, target=target, level_next=level_of(look + 1))
    return None if needed is None else max(1, needed - int(d.n[i, route.other]))


def contenders(verdict: Verdict) -> tuple[Configuration, ...]:
    """Those whose seeds have to grow: the undecided that more seeds can settle, and those they cannot be told from."""
    d, undecided = verdict.differences, verdict.undecided
    if d is None:
        return undecided
    names = {one.name for one in undecided}
    _, _, _, best = with_the_best(d)
    for i in [number for number, member in enumerate(verdict.members) if member.name in names]:
        unclear = np.flatnonzero(best & (d.low[i] < -verdict.margin))
        names = names | {verdict.members[b].name for b in unclear}
    return tuple(decision.configuration for decision in verdict.decisions if decision.name in names)


def visible_from(verdict: Verdict) -> tuple[float, float] | None:
    """Of those that the test images limit: the smallest difference that the images show, and a margin that would do.

    The margin is what is needed with very many seeds, if the means stay what they are. None where there are none.
    """
    d = verdict.differences
    limited = [decision.name for decision in verdict.decisions if decision.limited_by_images]
    if d is None or not limited:
        return None
    visible, margin = 0.0, 0.0
    _, _, _, best = with_the_best(d)
    for i in [number for number, member in enumerate(verdict.members) if member.name in limited]:
        for b in [int(b) for b in np.flatnonzero(best) if b != i]:
            smallest = smallest_visible(d, i, b, level=level_of(verdict.look + 1))
            critical = float(d.critical[i, b])
            visible = max(visible, smallest)
            margin = max(margin, smallest * (critical + _POWER) / critical - float(d.mean[i, b]))
    return visible, rounded_up(max(margin, verdict.margin))


def rounded_up(value: float) -> float:
    """To one digit, or to half of it: 0.173 -> 0.2, 0.12 -> 0.15.

    >>> rounded_up(0.173), rounded_up(0.12), rounded_up(0.01), rounded_up(1.2)
    (0.2, 0.15, 0.01, 1.5)
    """
    if not (math.isfinite(value) and value > 0):
        return value
    unit = 10.0 ** math.floor(math.log10(value)) / 2
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.6g}")
