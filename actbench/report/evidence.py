"""How the verdict was reached, for readers who know statistics: pairs of configurations, and the method in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actbench.report.configurations import METRIC, Configuration
from actbench.report.formatting import count, ends, p_value, points, signed
from actbench.report.simultaneous import Differences
from actbench.report.statistics import paired_test
from actbench.report.text_table import TextTable
from actbench.report.verdict import Verdict
from actbench.report.with_best import with_the_best


def evidence(verdict: Verdict) -> TextTable | None:
    """Each configuration against the baseline, else the one to use, else the best mean; None where none is compared.

    Its word may be due to another pair, which the last column tells.
    """
    if verdict.differences is None:
        return None
    reference = _reference(verdict)
    may_be_best = with_the_best(verdict.differences)[3]
    rows = [
        (*_row(verdict, number, reference), decided_by(verdict, number, may_be_best))
        for number in range(len(verdict.members))
    ]
    header = ("configuration", "difference", "interval", "p", "effect size", "P(better)", "n", "decided by")
    title = f"Against {verdict.members[reference].name}, paired by seed"
    return TextTable(title, header, tuple(rows), note=_method(verdict, verdict.differences), section="decided")


def _reference(verdict: Verdict) -> int:
    names = [member.name for member in verdict.members]
    for name in (verdict.baseline, verdict.use.name if verdict.use else None):
        if name in names:
            return names.index(name)
    return 0


def _row(verdict: Verdict, i: int, j: int) -> tuple[str, ...]:
    d = verdict.differences
    assert d is not None
    if i == j:
        return (verdict.members[i].name, "–", "–", "–", "–", "–", str(len(verdict.members[i].values[METRIC])))
    first, second = verdict.members[i], verdict.members[j]
    seeds = common_seeds(first, second)
    test = paired_test([first.values[METRIC][s] for s in seeds], [second.values[METRIC][s] for s in seeds])
    return (
        first.name,
        signed(float(d.mean[i, j])),
        ends(float(d.low[i, j]), float(d.high[i, j])),
        p_value(_p(d, i, j)),
        signed(test.effect_size),
        "–" if test.improvement is None else f"{test.improvement:.2f}",
        str(len(seeds)),
    )


def decided_by(verdict: Verdict, i: int, may_be_best: np.ndarray) -> str:
    """The pair that decides about the member `i`: `worse than tanh: −6.1 to −0.2`.

    Args:
        may_be_best: (k,), whether each member may be the best.
    """
    d, decision = verdict.differences, verdict.of(verdict.members[i])
    assert d is not None and decision is not None
    others = np.arange(len(verdict.members)) != i
    if decision.word == "worse":
        words, j = "worse than", int(np.where(others, d.high[i], np.inf).argmin())
    else:
        rivals = others & may_be_best if (others & may_be_best).any() else others
        j = int(np.where(rivals, d.low[i], np.inf).argmin())
        within = f"at most {points(verdict.margin)} worse than"
        words = {"best": "better than", "as good": within}.get(decision.word, "undecided with")
    return f"{words} {verdict.members[j].name}: {ends(float(d.low[i, j]), float(d.high[i, j]))}"


def common_seeds(first: Configuration, second: Configuration) -> list[int]:
    """The seeds of which both have a result."""
    return sorted(first.values[METRIC].keys() & second.values[METRIC].keys())


def _p(d: Differences, i: int, j: int) -> float:
    """That of one pair: those of all pairs take long where there are many configurations."""
    fields = ("mean", "half", "n", "df", "se_seeds", "se_images", "critical")
    return float(replace(d, **{name: getattr(d, name)[i, j] for name in fields}).p)


def _method(verdict: Verdict, d: Differences) -> str:
    images = f"and of {d.images:,} test images (crossed, Owen 2007)" if d.images else "(of these test images)"
    earlier = "what earlier looks excluded stays excluded; " if verdict.earlier else ""
    return (
        f"test accuracy in points; intervals of {'the' if d.comparisons == 1 else 'all'} "
        f"{count(d.comparisons, 'difference')}, together at level {verdict.level:.3g} (look {verdict.look} at these "
        f"results; 5 % over all looks), by Tukey's critical values; variances of seeds {images}, drawn towards a "
        "common one as far as they are alike (Smyth 2004); the verdict compares with the best, which is not known "
        f"(Hsu 1984); {earlier}p: for the same family, the smallest level at which the "
        "interval of this look excludes 0; effect size: Cohen's d_z; P(better): the probability that a random seed is "
        "better than a random seed of the other; decided by: the pair to which the verdict's word is due"
    )
