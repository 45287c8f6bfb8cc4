"""Configurations, best first, each beside one baseline; and what can be concluded from that."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from actbench import naming
from actbench.errors import UserError
from actbench.report.configurations import METRIC, Configuration
from actbench.report.statistics import ENOUGH, LEVEL, Paired, holm, paired, seeds_needed
from actbench.report.words import count, interval, listed, p_equals, signed

_WORTH_SEEING = 0.05  # percentage points: a smaller difference is not asked for


@dataclass(frozen=True)
class Baseline:
    """What the others are compared with. `among` configurations answered to its name, of which it was chosen by its
    results; 1 where it was fixed beforehand."""

    configuration: Configuration
    among: int = 1


@dataclass(frozen=True)
class Row:
    """A configuration beside the baseline; `p` is corrected for the number of comparisons (see `rank`)."""

    configuration: Configuration
    against: Paired | None = None  # None for the baseline itself, and where there are no results
    p: float | None = None

    @property
    def name(self) -> str:
        return self.configuration.name

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `unclear`, against the baseline."""
        if self.against is None or self.p is None or self.p > LEVEL or self.against.difference.mean is None:
            return "unclear"
        return "better" if self.against.difference.mean > 0 else "worse"


@dataclass(frozen=True)
class Ranking:
    """Configurations, best first, each against one baseline; `tests` is what their p were corrected for."""

    rows: tuple[Row, ...]
    baseline: Baseline | None
    tests: int
    conclusion: tuple[str, ...]


# ---------------------------------------------------------------- the baseline


def find_baseline(configurations: Sequence[Configuration], words: str | None) -> Baseline | None:
    """The configuration to compare with: the one that answers to `words`, by default relu, else the best.

    Where several answer, the one with the best validation accuracy (of those in which no seed diverged).

    Raises:
        UserError: none answers to `words`.
    """
    usable = [one for one in configurations if one.n]
    matching = [one for one in usable if _answers(one, words or "relu")]
    if not matching and words is not None:
        names = [one.name for one in usable]
        near = difflib.get_close_matches(words, names, n=1, cutoff=0.5)
        how = f"did you mean {near[0]}?" if near else f"one of: {listed(names)}" if names else ""
        raise UserError("there is no such configuration to compare with", where=f"--baseline {words}", how=how)
    if matching:
        return Baseline(max(matching, key=by_validation), len(matching))
    tested = [one for one in usable if one.n >= ENOUGH] or usable
    return Baseline(tested[0], len(usable)) if tested else None


def _answers(one: Configuration, words: str) -> bool:
    flat = one.settings.flat()
    own = {*one.name.split(), naming.activations(flat), one.settings.id}
    for key, value in flat.items():  # what all have in common may be said too
        own |= {f"{key}={naming.shown(value)}", f"{key.rpartition('.')[2]}={naming.shown(value)}"}
    return words == one.name or {*words.split()} <= own


def by_validation(one: Configuration) -> tuple[bool, float]:
    """What a choice goes by: validation accuracy alone; where a seed diverged it comes after those where none did."""
    return not one.diverged, one.mean("val_accuracy")


# ---------------------------------------------------------------- ranking


def rank(configurations: Sequence[Configuration], baseline: Baseline | None) -> Ranking:
    """Compares each of some configurations (best first) with the baseline, and says what follows.

    The p of a baseline that was fixed beforehand are corrected by Holm's procedure. A baseline that was chosen by its
    results among m of k configurations could have been met in m (k − 1) − m (m − 1) / 2 comparisons: each p is
    multiplied by that number (Bonferroni), since the choice leans towards lucky ones.
    """
    base = baseline.configuration if baseline else None
    compared = [
        paired(one.values[METRIC], base.values[METRIC]) if base and one.n and one is not base else None
        for one in configurations
    ]
    p_values = [against.p if against else None for against in compared]
    made = sum(p is not None for p in p_values)
    if baseline is None or baseline.among == 1:
        tests, adjusted = made, holm(p_values)
    else:
        tests = max(made, baseline.among * made - baseline.among * (baseline.among - 1) // 2)
        adjusted = [None if p is None else min(1.0, p * tests) for p in p_values]
    rows = tuple(Row(*row) for row in zip(configurations, compared, adjusted, strict=True))
    return Ranking(rows, baseline, tests, tuple(_conclude(rows, baseline)))


# ---------------------------------------------------------------- what can be concluded


def _conclude(rows: Sequence[Row], baseline: Baseline | None) -> list[str]:
    """What can be concluded from a ranking, and what cannot."""
    usable = [row for row in rows if row.configuration.n]
    if not usable or baseline is None:
        return ["No run is complete: nothing can be concluded yet."]
    sentences = _about_the_best(usable, baseline)
    if len(usable) > 2:
        sentences += _about_the_baseline(usable, baseline.configuration)
    diverged = [row for row in rows if row.configuration.diverged]
    if diverged:
        names = listed([f"{row.name} ({len(row.configuration.diverged)})" for row in diverged])
        sentences.append(f"Seeds diverged in {names}; the means are over the others, and look better than they are.")
    return sentences


def _about_the_best(rows: Sequence[Row], baseline: Baseline) -> list[str]:
    """Whether the best can be told from each of the others.

    Multiple comparisons with the best (Hsu 1984, doi:10.1214/aos/1176346733), here by paired t-tests, each corrected
    for their number (Bonferroni): whichever is the best in truth is among those that are not told apart from the one
    with the highest mean here, with at least 95 % confidence. Where the baseline is one of the pair, its own test
    decides too, so that the sentences agree.
    """
    testable = [row for row in rows if row.configuration.n >= ENOUGH]
    best_row = testable[0] if testable else rows[0]
    best, others = best_row.configuration, [row for row in rows if row is not best_row]
    if not others:
        return [f"{best.name} reaches {accuracy(best)}. There is nothing to compare it with."]
    tests = [(row, paired(best.values[METRIC], row.configuration.values[METRIC])) for row in others]
    few = [row.name for row, test in tests if test.note == "too few seeds"]
    tests = [(row, test) for row, test in tests if row.name not in few]
    if not tests:
        return [
            f"Nothing can be concluded: fewer than {ENOUGH} seeds in common (num_seeds=5 gives a first answer). "
            f"{best.name} has the highest mean, {accuracy(best)}."
        ]
    close = [
        (row, test) for row, test in tests if not _told_apart(test, len(tests), _own_test(best_row, row, baseline))
    ]
    sentence = _best_is_clear(best, tests) if not close else _best_is_not_clear(best, tests, close)
    if not few:
        return [sentence]
    return [sentence, f"With fewer than {ENOUGH} seeds in common nothing is said of {listed(few)}."]


def _own_test(best: Row, other: Row, baseline: Baseline) -> Row | None:
    """The row of the table that compares these two, if there is one."""
    if other.configuration is baseline.configuration:
        return best
    return other if best.configuration is baseline.configuration else None


def _told_apart(test: Paired, comparisons: int, own: Row | None) -> bool:
    if test.p is None or test.difference.mean is None or test.difference.mean <= 0:
        return False
    return test.p * comparisons <= LEVEL or (own is not None and own.verdict != "unclear")


def _best_is_clear(best: Configuration, tests: Sequence[tuple[Row, Paired]]) -> str:
    if len(tests) == 1:
        row, test = tests[0]
        return (
            f"{best.name} is better than {row.name}: {signed(test.difference.mean)} points of test accuracy "
            f"(95 % interval {interval(test.difference)}, {p_equals(test.p)}, paired over {len(test.seeds)} seeds)."
        )
    largest = max(min(1.0, (test.p or 0.0) * len(tests)) for _, test in tests)
    n = min(len(test.seeds) for _, test in tests)
    return (
        f"{best.name} is the best with {accuracy(best)}: better than each of the other {len(tests)} "
        f"({p_equals(largest)} or less, corrected for {len(tests)} comparisons with it, paired over {n} seeds)."
    )


def _best_is_not_clear(
    best: Configuration, tests: Sequence[tuple[Row, Paired]], close: Sequence[tuple[Row, Paired]]
) -> str:
    n = min(len(test.seeds) for _, test in tests)
    if len(tests) == 1:
        head = f"{best.name} and {close[0][0].name} are not distinguishable at n = {n}"
    elif len(close) > 5:
        head = f"{best.name} has the highest mean, {accuracy(best)}, but {len(close)} of the other {len(tests)}"
        head += f" cannot be told from it at n = {n}"
    else:
        names = listed([row.name for row, _ in close])
        head = f"{best.name} has the highest mean, {accuracy(best)}; {names} cannot be told from it at n = {n}"
    nearest, test = close[0]
    return f"{head}{_seeds_hint(best.name, nearest.name, test, len(tests))}."


def _seeds_hint(best: str, other: str, test: Paired, comparisons: int) -> str:
    """How many seeds it would take to see the difference between the two, with the same correction."""
    mean, std = test.difference.mean, test.difference.std
    if test.p is None or mean is None or not std or test.note == "equal":
        return f" ({best} and {other}: {test.note})"
    sought = max(round(abs(mean), 2), _WORTH_SEEING)
    needed = seeds_needed(sought, std, level=LEVEL / comparisons)
    if needed is not None and needed <= len(test.seeds):
        return f"; a difference of {sought:.2f} points would probably have been seen"
    number = "more than 10,000" if needed is None else f"about {needed:,}"
    here = f" (here it is {signed(mean)})" if abs(mean) < sought - 0.005 else ""
    return (
        f"; {number} seeds would be needed to see a difference of {sought:.2f} points between {best} and {other}{here}"
    )


def _about_the_baseline(rows: Sequence[Row], baseline: Configuration) -> list[str]:
    others = [row for row in rows if row.against is not None and row.against.note != "too few seeds"]
    parts = []
    for verdict, words in (("better", "better:"), ("worse", "worse:"), ("unclear", "no difference shown for")):
        names = [
            row.name + (f" ({signed(row.against.difference.mean)})" if row.against and verdict != "unclear" else "")
            for row in others
            if row.verdict == verdict
        ]
        if names:
            parts.append(f"{words} {listed(names)}")
    return [f"Against {baseline.name} ({accuracy(baseline)}): {'; '.join(parts)}."] if parts else []


def accuracy(one: Configuration) -> str:
    """`97.68 ± 0.40 %`."""
    return f"{one.estimate(METRIC).plus_minus()} %"


def correction(ranking: Ranking) -> str:
    """How a ranking was tested, in words."""
    if not ranking.tests:
        return "no test was made"
    comparisons = count(ranking.tests, "comparison")
    if ranking.baseline is None or ranking.baseline.among == 1:
        return f"paired t-test, p corrected for {comparisons} (Holm)"
    return f"paired t-test, p corrected for {comparisons} (Bonferroni), as the baseline was chosen by its results"
