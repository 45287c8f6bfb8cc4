"""Paired differences with their intervals and tests, prediction intervals, and power. Plain numbers in, by SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from actbench.records import Estimate

MIN_SEEDS = 3  # with fewer pairs no test is made
LEVEL = 0.05  # of significance


@dataclass(frozen=True)
class PairedTest:
    """How `n` pairs of values differ.

    `difference` is first − second with its 95 % interval by Student's t (n − 1 degrees of freedom) and `p` the
    two-sided paired t-test (Student 1908). `effect_size` is Cohen's d_z, mean ÷ standard deviation of the differences
    (Lakens 2013, doi:10.3389/fpsyg.2013.00863, equation 6). `improvement` is the probability that a random one of the
    first values is larger than a random one of the second, ties counting half (Mann–Whitney U ÷ n²; Agarwal et al.
    2021, arXiv:2108.13264, section 4.3). What cannot be computed is None, and `note` says why.
    """

    difference: Estimate
    p: float | None = None
    effect_size: float | None = None
    improvement: float | None = None
    note: str = ""

    @property
    def n(self) -> int:
        """The number of pairs."""
        return self.difference.n


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compares two lists of finite values, of which those at the same place belong together.

    >>> result = paired_test([98.1, 98.4, 98.0], [98.0, 98.1, 97.8])
    >>> round(result.difference.mean, 3), round(result.p, 4)
    (0.2, 0.0742)
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    difference = Estimate.of([float(x) for x in a - b])
    if len(a) < MIN_SEEDS:
        return PairedTest(difference, note="too few seeds")
    assert difference.std is not None and difference.mean is not None
    larger, equal = np.greater.outer(a, b), np.equal.outer(a, b)  # (n, n): every seed against every seed
    improvement = float(np.mean(larger + 0.5 * equal))  # Mann and Whitney's U, divided by the number of pairs
    if difference.std < 1e-9:  # only rounding errors: there is no spread to compare the mean with
        if abs(difference.mean) < 1e-9:
            return PairedTest(difference, 1.0, 0.0, improvement, note="equal")
        return PairedTest(difference, improvement=improvement, note="no spread to test by")
    p = float(stats.ttest_rel(a, b).pvalue)
    return PairedTest(difference, p, difference.mean / difference.std, improvement)


def prediction_interval(
    values: Sequence[float], *, at_least: float = -math.inf, at_most: float = math.inf
) -> tuple[float, float] | None:
    """Where one further value falls with 95 % probability; None for fewer than two values.

    The prediction interval of a normal distribution, mean ± t·s·√(1 + 1/n) with n − 1 degrees of freedom (Hahn & Meeker
    1991, "Statistical Intervals", chapter 4), clipped to `at_least` and `at_most`.

    >>> low, high = prediction_interval([97.0, 98.0, 99.0])  # 98 ± 4.303 · 1 · √(4/3)
    >>> round(low, 2), round(high, 2)
    (93.03, 102.97)
    """
    if len(values) < 2:
        return None
    estimate = Estimate.of(values)
    assert estimate.mean is not None and estimate.std is not None
    half = float(stats.t.isf(0.025, len(values) - 1)) * estimate.std * math.sqrt(1 + 1 / len(values))
    return max(at_least, estimate.mean - half), min(at_most, estimate.mean + half)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusts for the number of tests, so that the chance of one false alarm or more stays at the level.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the k-th smallest of m is multiplied by
    m − k + 1, and none may come out smaller than one before it. None (no test was made) stays None and is not counted.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, place) in enumerate(order):
        least = max(least, min(1.0, p * (len(order) - rank)))
        adjusted[place] = least
    return adjusted


def seeds_needed(
    difference: float, std: float, *, level: float = LEVEL, power: float = 0.8, at_most: int = 10_000
) -> int | None:
    """How many seeds a paired t-test at `level` needs to detect a true `difference` with the given power.

    From the noncentral t distribution (Cohen 1988, "Statistical Power Analysis", chapter 2) with the standard deviation
    `std` of the differences. None where it is more than `at_most`.

    >>> seeds_needed(0.5, 1.0)  # a medium effect: the textbook's 34
    34
    """
    if difference == 0 or not math.isfinite(difference):
        return None
    shift = abs(difference) / std if std else math.inf

    def reached(n: int) -> bool:
        edge, nc = float(stats.t.isf(level / 2, n - 1)), shift * math.sqrt(n)
        if nc > max(8.0, 3 * edge):  # SciPy's noncentral t is inaccurate there, and the power is almost 1
            return True
        return bool(stats.nct.sf(edge, n - 1, nc) >= power)  # the chance of a significant wrong sign is left out

    if not reached(at_most):
        return None
    low, high = MIN_SEEDS - 1, at_most  # the result is above low, and not above high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
