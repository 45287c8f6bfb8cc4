"""Configurations, best first, each compared with one baseline; and what can be concluded from that."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from actbench import naming
from actbench.errors import UserError
from actbench.report.configurations import METRIC, Configuration
from actbench.report.formatting import count, interval, listed, p_equals, signed
from actbench.report.statistics import LEVEL, MIN_SEEDS, PairedTest, holm, paired_test, seeds_needed

_SMALLEST = 0.05  # percentage points: no number of seeds is given for a smaller difference


@dataclass(frozen=True)
class Baseline:
    """What the others are compared with.

    It was chosen by its results among `among` configurations that match the asked name; 1 where only one does.
    """

    configuration: Configuration
    among: int = 1


@dataclass(frozen=True)
class Row:
    """A configuration compared with the baseline; `p` is corrected for the number of comparisons (see `rank`)."""

    configuration: Configuration
    against: PairedTest | None = None  # None for the baseline itself, and where there are no results
    p: float | None = None

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.configuration.name

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `unclear`, against the baseline."""
        if self.against is None or self.p is None or self.p > LEVEL or self.against.difference.mean is None:
            return "unclear"
        return "better" if self.against.difference.mean > 0 else "worse"


@dataclass(frozen=True)
class Ranking:
    """Configurations, best first, each against one baseline; `tests` is the number their p were corrected for."""

    rows: tuple[Row, ...]
    baseline: Baseline | None
    tests: int
    conclusion: tuple[str, ...]


# ---------------------------------------------------------------- the baseline


def find_baseline(configurations: Sequence[Configuration], name: str | None) -> Baseline | None:
    """The configuration to compare with: the one that matches `name`, by default relu, else the best.

    Where several match, the one with the best validation accuracy (of those in which no seed diverged).

    Raises:
        UserError: none matches `name`.
    """
    usable = [configuration for configuration in configurations if configuration.n]
    matching = [configuration for configuration in usable if _matches(configuration, name or "relu")]
    if not matching and name is not None:
        names = [configuration.name for configuration in usable]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        how = f"did you mean {near[0]}?" if near else f"one of: {listed(names)}" if names else ""
        raise UserError("there is no such configuration to compare with", where=f"--baseline {name}", how=how)
    if matching:
        return Baseline(max(matching, key=by_validation), len(matching))
    testable = [configuration for configuration in usable if configuration.n >= MIN_SEEDS] or usable
    return Baseline(testable[0], len(usable)) if testable else None


def _matches(configuration: Configuration, name: str) -> bool:
    flat = configuration.settings.flat()
    words = {*configuration.name.split(), naming.activations(flat), configuration.settings.id}
    for key, value in flat.items():  # what all configurations have in common may be named too
        words |= {f"{key}={naming.shown(value)}", f"{key.rpartition('.')[2]}={naming.shown(value)}"}
    return name == configuration.name or {*name.split()} <= words


def by_validation(configuration: Configuration) -> tuple[bool, float]:
    """The sort key of every choice: validation accuracy; those of which a seed diverged come after all others."""
    return not configuration.diverged, configuration.mean("val_accuracy")


# ---------------------------------------------------------------- ranking


def rank(configurations: Sequence[Configuration], baseline: Baseline | None) -> Ranking:
    """Compares each of some configurations (best first) with the baseline, and draws conclusions.

    The p of a baseline that was fixed beforehand are corrected by Holm's procedure. A baseline that was chosen by its
    results among m of k configurations might have been met in any of m (k − 1) − m (m − 1) / 2 comparisons: each p is
    multiplied by that number (Bonferroni), since the choice favours lucky ones.
    """
    base = baseline.configuration if baseline else None
    tests = [
        paired_by_seed(configuration, base) if base and configuration.n and configuration is not base else None
        for configuration in configurations
    ]
    p_values = [test.p if test else None for test in tests]
    number = sum(p is not None for p in p_values)
    if baseline is None or baseline.among == 1:
        adjusted = holm(p_values)
    else:
        number = max(number, baseline.among * number - baseline.among * (baseline.among - 1) // 2)
        adjusted = [None if p is None else min(1.0, p * number) for p in p_values]
    rows = tuple(Row(*row) for row in zip(configurations, tests, adjusted, strict=True))
    return Ranking(rows, baseline, number, tuple(_conclude(rows, baseline)))


def paired_by_seed(first: Configuration, second: Configuration) -> PairedTest:
    """Compares the test accuracies of two configurations over the seeds that both have."""
    a, b = first.values[METRIC], second.values[METRIC]
    seeds = sorted(a.keys() & b.keys())
    return paired_test([a[seed] for seed in seeds], [b[seed] for seed in seeds])


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
        sentences.append(f"Seeds diverged in {names}; the means leave them out and are too good for that reason.")
    return sentences


def _about_the_best(rows: Sequence[Row], baseline: Baseline) -> list[str]:
    """Whether the best can be distinguished from each of the others.

    Multiple comparisons with the best (Hsu 1984, doi:10.1214/aos/1176346733), here by paired t-tests, each corrected
    for their number (Bonferroni): with at least 95 % confidence the true best is among those that cannot be
    distinguished from the one with the highest mean here. Where the baseline is one of the pair, its own test decides
    too, so that the sentences agree.
    """
    testable = [row for row in rows if row.configuration.n >= MIN_SEEDS]
    best_row = testable[0] if testable else rows[0]
    best, others = best_row.configuration, [row for row in rows if row is not best_row]
    if not others:
        return [f"{best.name} reaches {accuracy(best)}. There is nothing to compare it with."]
    tests = [(row, paired_by_seed(best, row.configuration)) for row in others]
    untested = [row.name for row, test in tests if test.note == "too few seeds"]
    tests = [(row, test) for row, test in tests if row.name not in untested]
    if not tests:
        return [
            f"Nothing can be concluded: fewer than {MIN_SEEDS} seeds in common (num_seeds=5 gives a first answer). "
            f"{best.name} has the highest mean, {accuracy(best)}."
        ]
    close = [
        (row, test) for row, test in tests if not _distinguished(test, len(tests), _own_test(best_row, row, baseline))
    ]
    sentence = _best_is_clear(best, tests) if not close else _best_is_not_clear(best, tests, close)
    if not untested:
        return [sentence]
    return [sentence, f"Nothing can be concluded about {listed(untested)}: fewer than {MIN_SEEDS} seeds in common."]


def _own_test(best: Row, other: Row, baseline: Baseline) -> Row | None:
    """The row of the table that compares these two, if there is one."""
    if other.configuration is baseline.configuration:
        return best
    return other if best.configuration is baseline.configuration else None


def _distinguished(test: PairedTest, comparisons: int, own: Row | None) -> bool:
    if test.p is None or test.difference.mean is None or test.difference.mean <= 0:
        return False
    return test.p * comparisons <= LEVEL or (own is not None and own.verdict != "unclear")


def _best_is_clear(best: Configuration, tests: Sequence[tuple[Row, PairedTest]]) -> str:
    if len(tests) == 1:
        row, test = tests[0]
        return (
            f"{best.name} is better than {row.name}: {signed(test.difference.mean)} points of test accuracy "
            f"(95 % interval {interval(test.difference)}, {p_equals(test.p)}, paired over {test.n} seeds)."
        )
    largest = max(min(1.0, (test.p or 0.0) * len(tests)) for _, test in tests)
    n = min(test.n for _, test in tests)
    return (
        f"{best.name} is the best with {accuracy(best)}: better than each of the other {len(tests)} "
        f"({p_equals(largest)} or less, corrected for {len(tests)} comparisons with it, paired over {n} seeds)."
    )


def _best_is_not_clear(
    best: Configuration, tests: Sequence[tuple[Row, PairedTest]], close: Sequence[tuple[Row, PairedTest]]
) -> str:
    n = min(test.n for _, test in tests)
    if len(tests) == 1:
        start = f"{best.name} and {close[0][0].name} cannot be distinguished at n = {n}"
    elif len(close) > 5:
        start = f"{best.name} has the highest mean, {accuracy(best)}, but {len(close)} of the other {len(tests)}"
        start += f" cannot be distinguished from it at n = {n}"
    else:
        names = listed([row.name for row, _ in close])
        start = (
            f"{best.name} has the highest mean, {accuracy(best)}; {names} cannot be distinguished from it at n = {n}"
        )
    nearest, test = close[0]
    return f"{start}{_seeds_hint(best.name, nearest.name, test, len(tests))}."


def _seeds_hint(best: str, other: str, test: PairedTest, comparisons: int) -> str:
    """How many seeds it would take to detect the difference between the two, with the same correction."""
    mean, std = test.difference.mean, test.difference.std
    if test.p is None or mean is None or not std or test.note == "equal":
        return f" ({best} and {other}: {test.note})"
    sought = max(round(abs(mean), 2), _SMALLEST)
    needed = seeds_needed(sought, std, level=LEVEL / comparisons)
    if needed is not None and needed <= test.n:
        return f"; a difference of {sought:.2f} points would probably have been detected"
    number = "more than 10,000" if needed is None else f"about {needed:,}"
    here = f" (here it is {signed(mean)})" if abs(mean) < sought - 0.005 else ""
    return (
        f"; it would take {number} seeds to detect a difference of {sought:.2f} points between {best} and {other}{here}"
    )


def _about_the_baseline(rows: Sequence[Row], baseline: Configuration) -> list[str]:
    others = [row for row in rows if row.against is not None and row.against.note != "too few seeds"]
    parts = []
    for verdict in ("better", "worse"):
        names = [
            f"{row.name} ({signed(row.against.difference.mean)})"
            for row in others
            if row.against and row.verdict == verdict
        ]
        if names:
            parts.append(f"{listed(names)} {'is' if len(names) == 1 else 'are'} {verdict}")
    unclear = [row.name for row in others if row.verdict == "unclear"]
    if unclear:
        parts.append(f"no difference is shown for {listed(unclear)}")
    return [f"Compared with {baseline.name} ({accuracy(baseline)}), {'; '.join(parts)}."] if parts else []


def accuracy(configuration: Configuration) -> str:
    """`97.68 ± 0.40 %`."""
    return f"{configuration.estimate(METRIC).plus_minus()} %"


def correction(ranking: Ranking) -> str:
    """How a ranking was tested, in words."""
    if not ranking.tests:
        return "no test was made"
    comparisons = count(ranking.tests, "comparison")
    if ranking.baseline is None or ranking.baseline.among == 1:
        return f"paired t-test, p corrected for {comparisons} (Holm)"
    return f"paired t-test, p corrected for {comparisons} (Bonferroni), as the baseline was chosen by its results"
