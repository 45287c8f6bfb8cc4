"""Paired tests with effect sizes, and prediction intervals. Plain numbers in, by SciPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from actbench.records import Estimate
from actbench.report.simultaneous import MIN_SEEDS


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
    t = difference.mean / (difference.std / math.sqrt(len(a)))
    p = 2 * float(scipy.special.stdtr(len(a) - 1, -abs(t)))  # Student's, two-sided
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
    half = -float(scipy.special.stdtrit(len(values) - 1, 0.025)) * estimate.std * math.sqrt(1 + 1 / len(values))
    return max(at_least, estimate.mean - half), min(at_most, estimate.mean + half)
