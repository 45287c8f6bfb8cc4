"""The statistics of the comparison: hand-computed cases, textbook values, and what they promise under simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from actbench.report.configurations import Configuration
from actbench.report.evidence import common_seeds
from actbench.report.statistics import paired_test


def a_configuration(name, accuracies):
    return Configuration(
        name=name, settings=None, runs=(), values={"test_accuracy": accuracies}, diverged={}, seconds_per_epoch=1.0,
        samples_per_second=1.0, parameters=1,
    )  # fmt: skip


def test_a_paired_comparison_by_hand():
    """Differences 0.1, 0.3, 0.2: mean 0.2, s = 0.1, t = 0.2 / (0.1 / √3) = 2√3, half-width 4.302653 · 0.1 / √3."""
    result = paired_test([98.1, 98.4, 98.0], [98.0, 98.1, 97.8])
    assert result.difference.mean == pytest.approx(0.2)
    half = 4.302652729911275 * 0.1 / math.sqrt(3)
    assert result.difference.ci95 == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    # The two-sided p of t = 2√3 with 2 degrees of freedom: 1 - t / √(2 + t²).
    assert result.p == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(2 + 12))
    assert result.effect_size == pytest.approx(2.0)
    # Of the nine pairs: 98.1 beats 98.0 and 97.8, ties 98.1; 98.4 beats all; 98.0 ties 98.0, beats 97.8: 7 + 2 · ½.
    assert result.improvement == pytest.approx((2 + 3 + 1 + 2 * 0.5) / 9)


def test_only_common_seeds_are_paired():
    first = a_configuration("first", {0: 1.0, 1: 2.5, 2: 3.0, 9: 99.0})
    second = a_configuration("second", {2: 2.0, 1: 2.0, 0: 0.0, 4: -99.0})
    assert common_seeds(first, second) == common_seeds(second, first) == [0, 1, 2]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_seeds_get_no_test(n):
    result = paired_test([1.0 + seed for seed in range(n)], [2.0 * seed for seed in range(n)])
    assert (result.p, result.effect_size, result.improvement, result.note) == (None, None, None, "too few seeds")
    assert result.difference.n == n


def test_equal_values_and_equal_differences():
    """Without a spread there is nothing to judge by: three equal differences are no proof."""
    same = paired_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (same.p, same.effect_size, same.note) == (1.0, 0.0, "equal")
    shifted = paired_test([1.1, 2.1, 3.1], [1.0, 2.0, 3.0])
    assert (shifted.p, shifted.effect_size, shifted.note) == (None, None, "no spread to test by")
    assert shifted.difference.mean == pytest.approx(0.1)


def test_the_interval_of_one_difference_covers_as_often_as_it_says():
    """Five seeds, two configurations that are equal in truth, with seeds that are good or bad for all of them."""
    rng = np.random.default_rng(20_261_122)
    covered = []
    for _ in range(2000):
        of_seed = rng.normal(97.8, 0.2, 5)
        values = [of_seed + rng.normal(0, 0.1, 5) for _ in range(2)]
        low, high = paired_test(values[1], values[0]).difference.ci95
        covered.append(low <= 0 <= high)
    assert 0.935 <= np.mean(covered) <= 0.965


def test_pairing_sees_what_the_spread_over_seeds_hides():
    """A difference of 0.1 with seeds that differ by 1: hopeless unpaired, clear paired."""
    rng = np.random.default_rng(5)
    of_seed = rng.normal(97, 1.0, 8)
    first, second = of_seed + 0.1 + rng.normal(0, 0.02, 8), of_seed + rng.normal(0, 0.02, 8)
    assert paired_test(first, second).p < 0.001
    assert stats.ttest_ind(first, second).pvalue > 0.5
