"""One answer from a block of configurations: the ranking, each against the baseline, and what can be concluded."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from actbench import naming
from actbench.errors import UserError
from actbench.records import Estimate
from actbench.report.configurations import Block, Configuration
from actbench.report.statistics import ENOUGH, LEVEL, Paired, holm, paired, seeds_needed

METRIC = "test_accuracy"
_WORTH_SEEING = 0.05  # percentage points: a smaller difference is not asked for


@dataclass(frozen=True)
class Row:
    """A configuration beside the baseline; `p` is corrected for the number of comparisons in the table (Holm)."""

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
    """Configurations, best first, each against one baseline; `conclusion` are plain sentences."""

    rows: tuple[Row, ...]
    baseline: Configuration | None
    conclusion: tuple[str, ...]


@dataclass(frozen=True)
class Tuned:
    """For each value of the key `per` its best setting by validation accuracy, out of the same `settings` for each.

    The rows of `ranking` are named by the value; `chosen` has the setting of each, `untuned` its configuration at
    `common`, the one setting with the best validation accuracy averaged over all of them.
    """

    per: str
    settings: tuple[str, ...]
    ranking: Ranking
    chosen: Mapping[str, str]
    common: str
    untuned: Mapping[str, Configuration]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A block with what came of it."""

    block: Block
    ranking: Ranking
    tuned: Tuned | None
    remarks: tuple[str, ...]


def compare(block: Block, *, baseline: str | None = None, per: str | None = None) -> Comparison:
    """Ranks a block.

    Args:
        baseline: words that name one of the configurations (`relu`, `gelu lr=0.003`); by default relu, else the best.
        per: a key to tune for; by default the activation, where something else varies too. `none` for no tuning.

    Raises:
        UserError: `baseline` or `per` is not to be found in the block (see `check_baseline`, `check_per`).
    """
    check_per(block, per)
    remarks = list(block.remarks)
    chosen, among = _baseline(block.configurations, baseline)
    if chosen and among > 1:
        which = f"{naming.activations(chosen.settings.flat()) if baseline is None else baseline}"
        remarks.append(
            f"{among} configurations answer to {which}: the baseline is the one with the best validation accuracy"
        )
    tuned, why_not = _tune(block, per, baseline)
    return Comparison(block, _rank(block.configurations, chosen), tuned, (*remarks, *why_not))


def check_baseline(block: Block, words: str | None) -> None:
    """Raises a UserError if no configuration answers to `words`."""
    _baseline(block.configurations, words)


def check_per(block: Block, per: str | None) -> None:
    """Raises a UserError if `per` is no key that varies."""
    if per not in (None, "none") and not any(_belongs(key, per) for key in block.varying):
        varying = ", ".join(block.varying) or "nothing varies"
        raise UserError("does not vary here", where=f"--per {per}", how=f"what does: {varying}")


# ---------------------------------------------------------------- the baseline


def _baseline(configurations: Sequence[Configuration], words: str | None) -> tuple[Configuration | None, int]:
    """The configuration to compare with, and how many answer to `words`."""
    usable = [one for one in configurations if one.n]
    matching = [one for one in usable if _answers(one, words or "relu")]
    if not matching and words is not None:
        names = [one.name for one in usable]
        near = difflib.get_close_matches(words, names, n=1, cutoff=0.5)
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise UserError(
            "there is no such configuration to compare with",
            where=f"--baseline {words}",
            how=f"did you mean {near[0]}?" if near else f"one of: {listed}" if names else "",
        )
    if matching:
        return max(matching, key=lambda one: one.mean("val_accuracy")), len(matching)
    return (usable[0], 1) if usable else (None, 0)


def _answers(one: Configuration, words: str) -> bool:
    own = {*one.name.split(), naming.activations(one.settings.flat()), one.settings.id}
    return words == one.name or {*words.split()} <= own


# ---------------------------------------------------------------- ranking


def _rank(configurations: Sequence[Configuration], baseline: Configuration | None) -> Ranking:
    compared = [
        paired(one.values[METRIC], baseline.values[METRIC]) if baseline and one.n and one is not baseline else None
        for one in configurations
    ]
    adjusted = holm([against.p if against else None for against in compared])
    rows = tuple(Row(*row) for row in zip(configurations, compared, adjusted, strict=True))
    return Ranking(rows, baseline, tuple(_conclude(rows, baseline)))


def _conclude(rows: Sequence[Row], baseline: Configuration | None) -> list[str]:
    """What can be concluded from a ranking, and what cannot."""
    usable = [row for row in rows if row.configuration.n]
    if not usable or baseline is None:
        return ["No run is complete: nothing can be concluded yet."]
    best = usable[0].configuration
    if len(usable) == 1:
        sentences = [f"{best.name} reaches {_accuracy(best)}. There is nothing to compare it with."]
    else:
        others = [row.configuration for row in usable[1:]]
        sentences = [_about_the_best(best, others)]
        if len(usable) > 2:
            sentences += _about_the_baseline(usable, baseline)
    diverged = [row for row in rows if row.configuration.diverged]
    if diverged:
        listed = _listed([f"{row.name} ({len(row.configuration.diverged)})" for row in diverged])
        sentences.append(
            f"Seeds diverged in {listed}; the means are over the other seeds, and look better than they are."
        )
    return sentences


def _about_the_best(best: Configuration, others: Sequence[Configuration]) -> str:
    """Whether the best is better than each of the others.

    Multiple comparisons with the best (Hsu 1984, doi:10.1214/aos/1176346733), here by paired t-tests, each corrected
    for the number of others (Bonferroni): whichever is the best in truth is among those that are not told apart from
    the best one here, with at least 95 % confidence. That the best here was chosen by looking is allowed for: the
    truly best one is missed only if one of its own comparisons goes wrong.
    """
    tests = [(other, paired(best.values[METRIC], other.values[METRIC])) for other in others]
    if all(test.p is None for _, test in tests):
        notes = {test.note for _, test in tests}
        if notes == {"too few seeds"}:
            return (
                f"Nothing can be concluded: fewer than {ENOUGH} seeds in common (num_seeds=5 gives a first answer). "
                f"{best.name} has the highest mean, {_accuracy(best)}."
            )
    close = [(other, test) for other, test in tests if test.p is None or test.p * len(others) > LEVEL]
    n = min(len(test.seeds) for _, test in tests)
    if not close:
        if len(others) == 1:
            test = tests[0][1]
            return (
                f"{best.name} is better than {others[0].name}: {signed(test.difference.mean)} points of test "
                f"accuracy (95 % interval {interval(test.difference)}, p {_equals(test.p)}, "
                f"paired over {len(test.seeds)} seeds)."
            )
        return (
            f"{best.name} is the best with {_accuracy(best)}: better than each of the other {len(others)} "
            f"(paired over {n} seeds, corrected for {len(others)} comparisons)."
        )
    nearest, test = close[0]
    if len(close) > 5:
        head = f"{best.name} has the highest mean, {_accuracy(best)}, but {len(close)} of the other {len(others)}"
        head += f" are not distinguishable from it at n = {n}"
    else:
        head = f"{_listed([best.name, *(other.name for other, _ in close)])} are not distinguishable at n = {n}"
    return f"{head}{_seeds_hint(best, nearest, test)}."


def _seeds_hint(best: Configuration, other: Configuration, test: Paired) -> str:
    """How many seeds it would take to see the difference to the nearest one."""
    mean, std = test.difference.mean, test.difference.std
    if test.p is None or mean is None or not std:
        return f" ({best.name} and {other.name}: {test.note})" if test.note else ""
    sought = max(round(abs(mean), 2), _WORTH_SEEING)
    needed = seeds_needed(sought, std)
    count = "more than 10,000" if needed is None else f"about {needed:,}"
    names = f"{best.name} and {other.name}"
    return f"; {count} seeds would be needed to see a difference of {sought:.2f} points between {names}"


def _about_the_baseline(rows: Sequence[Row], baseline: Configuration) -> list[str]:
    others = [row for row in rows if row.against is not None]
    if all(row.against and row.against.note == "too few seeds" for row in others):
        return []
    parts = []
    for verdict, words in (("better", "better"), ("worse", "worse"), ("unclear", "no difference shown")):
        members = [row for row in others if row.verdict == verdict]
        if members:
            change = [
                row.name + (f" ({signed(row.against.difference.mean)})" if row.against and verdict != "unclear" else "")
                for row in members
            ]
            parts.append(f"{words}: {_listed(change)}")
    return [f"Against {baseline.name} ({_accuracy(baseline)}) {'; '.join(parts)}."]


# ---------------------------------------------------------------- tuning on equal terms


def _tune(block: Block, per: str | None, baseline: str | None) -> tuple[Tuned | None, list[str]]:
    if per == "none":
        return None, []
    key = per or "activation"
    own = [one for one in block.varying if _belongs(one, key)]
    rest = [one for one in block.varying if one not in own]
    if not own or not rest:
        return None, [f"nothing but {key} varies: there is nothing to tune"] if per else []
    by_value: dict[str, dict[str, Configuration]] = {}
    for one in block.configurations:
        of_value = by_value.setdefault(naming.fragment(one.settings, own) or "–", {})
        of_value[naming.fragment(one.settings, rest)] = one
    tried = [s for s in next(iter(by_value.values()), {}) if all(s in of for of in by_value.values())]
    every = {setting for of_value in by_value.values() for setting in of_value}
    if len(tried) < 2 or len(by_value) < 2:
        return None, [f"no tuning per {key}: there are not two settings that were tried with each {key}"]
    tried.sort()
    remarks = [f"{len(every) - len(tried)} settings were not tried with every {key} and have no part in the tuning"]
    return _tuned(key, by_value, tried, baseline, remarks if len(every) > len(tried) else []), []


def _belongs(key: str, per: str) -> bool:
    """The two activations of a network are one choice, with their parameters."""
    groups = ("activation", "upper_activation") if per in ("activation", "upper_activation") else (per,)
    return key in groups or key.partition(".")[0] in groups


def _tuned(
    per: str,
    by_value: Mapping[str, Mapping[str, Configuration]],
    tried: Sequence[str],
    baseline: str | None,
    remarks: Sequence[str],
) -> Tuned:
    chosen = {value: max(tried, key=lambda s: _validated(of_value[s])) for value, of_value in by_value.items()}
    common = max(tried, key=lambda s: math.fsum(max(0.0, of[s].mean("val_accuracy")) for of in by_value.values()))
    best = [replace(of_value[chosen[value]], name=value) for value, of_value in by_value.items()]
    best.sort(key=lambda one: (-one.mean(METRIC), one.name))
    try:
        against, _ = _baseline(best, baseline)
    except UserError:  # its words name a setting too
        against, _ = _baseline(best, None)
    return Tuned(
        per=per,
        settings=tuple(tried),
        ranking=_rank(best, against),
        chosen=chosen,
        common=common,
        untuned={value: of_value[common] for value, of_value in by_value.items()},
        remarks=tuple(remarks),
    )


def _validated(one: Configuration) -> tuple[bool, float]:
    """By validation accuracy alone; a setting in which a seed diverged comes after those in which none did."""
    return not one.diverged, one.mean("val_accuracy")


# ---------------------------------------------------------------- words


def _accuracy(one: Configuration) -> str:
    return f"{one.estimate(METRIC).plus_minus()} %"


def signed(value: float | None) -> str:
    """`+0.21`, with a real minus."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def interval(estimate: Estimate) -> str:
    """`+0.10 to +0.32`."""
    return "–" if estimate.ci95 is None else f"{signed(estimate.ci95[0])} to {signed(estimate.ci95[1])}"


def p_value(p: float | None) -> str:
    """Three digits; `< 0.001` below."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _equals(p: float | None) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _listed(words: Sequence[str]) -> str:
    if len(words) > 8:
        return ", ".join(words[:8]) + f" and {len(words) - 8} more"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
