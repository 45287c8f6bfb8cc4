"""Which configuration to use, which ones to avoid, and what is not decided yet.

One family of simultaneous intervals (`report.simultaneous`) decides, and everything that is shown comes from it: the
plot, the tables and the words. `report.with_best` has the intervals against the best, which is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from actbench.errors import Problem
from actbench.report import sentences, settling
from actbench.report.baseline import by_validation
from actbench.report.configurations import METRIC, Block, Configuration
from actbench.report.outcomes import Outcomes, outcomes
from actbench.report.recommendation import recommend
from actbench.report.runs import Run
from actbench.report.sequential import level as level_of
from actbench.report.simultaneous import MIN_SEEDS, Differences, differences
from actbench.report.with_best import with_the_best
from actbench.store.decide import EarlierLook, TestSet

Word = Literal["best", "as good", "worse", "undecided", "diverged", "too few seeds"]
MARGIN = 0.1  # percentage points, where nothing else is said
MOST = 300  # configurations that one verdict is about


@dataclass(frozen=True)
class Against:
    """A configuration minus the baseline, with its interval in percentage points."""

    word: Literal["better", "as good", "worse", "undecided"]
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """What is known of one configuration.

    `difference` is its test accuracy minus that of the best of the others, in percentage points, with the interval from
    `low` to `high`; all three are None where nothing can be said. `more_seeds` is how many seeds more would probably
    settle an undecided one, None where none would: `limited_by_images` if the test images are the reason.
    """

    configuration: Configuration
    word: Word
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    against_baseline: Against | None = None
    more_seeds: int | None = None
    limited_by_images: bool = False

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.configuration.name


@dataclass(frozen=True)
class Verdict:
    """The decisions about a block, in its order: best first.

    `use` is the configuration to use, None where none is shown to be best or as good as the best; `reason` says why it
    is this one. `contenders` are those that more seeds can settle together with the ones from which they cannot be
    told, whose seeds have to grow as well. `lacks_images`: it was asked for new test images, and is about these, since
    the runs do not say which ones they classified correctly. `members` are the k configurations of
    `differences` (None where there is nothing to compare), `earlier` the looks whose intervals hold as well.
    """

    decisions: tuple[Decision, ...]
    margin: float
    test_set: TestSet
    look: int
    level: float
    baseline: str | None
    use: Configuration | None = None
    reason: str = ""
    sentences: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    lacks_images: bool = False
    contenders: tuple[Configuration, ...] = ()
    members: tuple[Configuration, ...] = field(default=(), repr=False)
    differences: Differences | None = field(default=None, repr=False, compare=False)
    earlier: tuple[EarlierLook, ...] = field(default=(), repr=False)
    beside: tuple[Run, ...] = field(default=(), repr=False, compare=False)  # runs of the studies that are known as well

    @property
    def settled(self) -> bool:
        """Whether nobody is undecided."""
        return not any(decision.word in ("undecided", "too few seeds") for decision in self.decisions)

    @property
    def undecided(self) -> tuple[Configuration, ...]:
        """Those that more seeds can settle."""
        return tuple(
            decision.configuration
            for decision in self.decisions
            if decision.more_seeds is not None or decision.word == "too few seeds"
        )

    def of(self, configuration: Configuration) -> Decision | None:
        """The decision about a configuration; None where the verdict is not about it."""
        return self._by_configuration.get(id(configuration))

    @cached_property
    def _by_configuration(self) -> dict[int, Decision]:
        return {id(decision.configuration): decision for decision in self.decisions}

    def with_word(self, *words: Word) -> list[Decision]:
        """The decisions with one of some words, best first."""
        return [decision for decision in self.decisions if decision.word in words]

    def between(self, first: Configuration, second: Configuration) -> tuple[float, float, float] | None:
        """First minus second with its interval: difference, low, high. None where one of them is not compared."""
        places = {id(member): number for number, member in enumerate(self.members)}
        i, j, d = places.get(id(first)), places.get(id(second)), self.differences
        if d is None or i is None or j is None:
            return None
        return float(d.mean[i, j]), float(d.low[i, j]), float(d.high[i, j])


def decide(
    block: Block,
    *,
    margin: float = MARGIN,
    baseline: Configuration | None = None,
    test_set: TestSet = "new",
    look: int = 1,
    earlier: Sequence[EarlierLook] = (),
    problems: list[Problem] | None = None,
    beside: Sequence[Run] = (),
) -> Verdict:
    """The verdict on a block.

    Args:
        margin: percentage points of test accuracy within which configurations are as good as each other.
        baseline: one of the block's configurations, to compare with besides the best.
        test_set: `new`, for new seeds and new test images; `fixed`, for new seeds on these images.
        look: the number of this look at the results; see `store.decide.number_of_looks`.
        earlier: the looks before it. What they showed still counts: the intervals of all looks hold together.
        problems: what cannot be read is added to it.
        beside: other runs of the same studies, as far as they were read.
    """
    considered, remarks = _considered(block.configurations, baseline)
    members = _family(considered, baseline)
    found = outcomes(members, test_set, problems if problems is not None else [])
    verdict = Verdict(
        decisions=(), margin=margin, test_set=found.test_set if len(members) > 1 else test_set, look=look,
        level=level_of(look), baseline=baseline.name if baseline else None, members=tuple(members),
        earlier=tuple(earlier), beside=(*beside, *block.runs), lacks_images=bool(found.remark) and len(members) > 1,
        remarks=(*remarks, *([found.remark] if found.remark and len(members) > 1 else [])),
    )  # fmt: skip
    if len(members) > 1:
        d = _differences(found, members, verdict.level, earlier)
        judged = settling.with_seeds(_judged(members, d, margin, baseline), d, margin, look)
        verdict = replace(verdict, differences=d, decisions=judged)
    verdict = replace(verdict, decisions=_with_the_rest(considered, verdict))
    use, reason = recommend(verdict)
    verdict = replace(verdict, use=use, reason=reason, contenders=settling.contenders(verdict))
    return replace(verdict, sentences=tuple(sentences.of(verdict, block)))


# ---------------------------------------------------------------- who is compared


def _considered(
    configurations: Sequence[Configuration], baseline: Configuration | None
) -> tuple[list[Configuration], list[str]]:
    """Those with a result, or that diverged; of very many those with the best validation accuracy, and a remark."""
    some = [configuration for configuration in configurations if configuration.n or configuration.diverged]
    if len(some) <= MOST:
        return some, []
    kept = sorted(some, key=lambda one: (one is baseline, *by_validation(one)), reverse=True)[:MOST]
    chosen = {id(one) for one in kept}
    remark = f"the verdict is about the {MOST} configurations with the best validation accuracy, of {len(some):,}"
    return [one for one in some if id(one) in chosen], [remark]


def _family(configurations: Sequence[Configuration], baseline: Configuration | None) -> list[Configuration]:
    """Those that are compared: without diverged seeds, and each with `MIN_SEEDS` in common with every other.

    While two have fewer in common, the one with the most such gaps leaves: then with the fewest seeds, the lowest mean.
    """
    members = [one for one in configurations if not one.diverged and one.n >= MIN_SEEDS]
    seeds = sorted({seed for one in members for seed in one.values[METRIC]})
    there = np.array([[seed in one.values[METRIC] for seed in seeds] for one in members], dtype=int)  # (k, n)
    while members:
        gaps = (there @ there.T < MIN_SEEDS).sum(1)
        if not gaps.any():
            break
        order = [(gaps[i], one is not baseline, -one.n, -one.mean(METRIC), one.name) for i, one in enumerate(members)]
        worst = order.index(max(order))
        del members[worst]
        there = np.delete(there, worst, axis=0)
    return members


def _with_the_rest(considered: Sequence[Configuration], verdict: Verdict) -> tuple[Decision, ...]:
    """The decisions in the order of the block, with those about configurations that could not be compared."""
    judged = {id(decision.configuration): decision for decision in verdict.decisions}
    comparable = [one for one in considered if not one.diverged]
    decisions = []
    for one in considered:
        if one.diverged:
            decision = Decision(one, "diverged")
        elif len(comparable) == 1:
            decision = Decision(one, "best")  # there is no other that can be used
        else:
            decision = judged.get(id(one), Decision(one, "too few seeds"))
        decisions.append(decision)
    return tuple(decisions)


# ---------------------------------------------------------------- what is decided


def _differences(
    found: Outcomes, members: Sequence[Configuration], level: float, earlier: Sequence[EarlierLook]
) -> Differences:
    d = differences(found.accuracies, found.correct, level=level, resolution=found.resolution)
    for look in earlier:
        then = found.of_seeds([look.seeds.get(one.settings.id, ()) for one in members])
        before = differences(then.accuracies, then.correct, level=level_of(look.number), resolution=found.resolution)
        d = d.within(before)
    return d


def _judged(
    members: Sequence[Configuration], d: Differences, margin: float, baseline: Configuration | None
) -> tuple[Decision, ...]:
    difference, low, high, best = with_the_best(d)
    against = next((number for number, one in enumerate(members) if one is baseline), None)
    return tuple(
        Decision(
            one,
            _word(bool(best[i]), int(best.sum()), float(low[i]), margin),
            float(difference[i]),
            float(low[i]),
            float(high[i]),
            _against(d, i, against, margin) if against not in (None, i) else None,
        )
        for i, one in enumerate(members)
    )


def _word(may_be_best: bool, number: int, low: float, margin: float) -> Word:
    if may_be_best and number == 1:
        return "best"
    if low >= -margin:
        return "as good"
    return "undecided" if may_be_best else "worse"


def _against(d: Differences, i: int, baseline: int | None, margin: float) -> Against:
    low, high = float(d.low[i, baseline]), float(d.high[i, baseline])
    if -margin <= low and high <= margin:
        word: Literal["better", "as good", "worse", "undecided"] = "as good"
    else:
        word = "better" if low > 0 else "worse" if high < 0 else "undecided"
    return Against(word, float(d.mean[i, baseline]), low, high)
