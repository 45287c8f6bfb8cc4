"""How the verdict was reached, for readers who know statistics: pairs of configurations, and the method in words."""

from __future__ import annotations

from dataclasses import replace

from actbench.report.configurations import METRIC, Configuration
from actbench.report.formatting import count, ends, p_value, signed
from actbench.report.simultaneous import Differences
from actbench.report.statistics import paired_test
from actbench.report.text_table import TextTable
from actbench.report.verdict import Verdict


def evidence(verdict: Verdict) -> TextTable | None:
    """Each configuration against the baseline, else the one to use, else the best mean; None where none is compared."""
    if verdict.differences is None:
        return None
    reference = _reference(verdict)
    rows = [_row(verdict, number, reference) for number in range(len(verdict.members)) if number != reference]
    header = ("configuration", "difference", "interval", "p", "effect size", "P(better)", "n")
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
        "better than a random seed of the other"
    )
