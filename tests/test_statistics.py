"""The statistics of the comparison: hand-computed cases, textbook values, and what they promise under simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from actbench.report.ranking import Baseline, paired_by_seed, rank
from scipy import stats

from actbench.report.configurations import Configuration
from actbench.report.statistics import holm, paired_test, seeds_needed


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
    result = paired_by_seed(first, second)
    assert result.n == 3
    assert result.difference.values == (1.0, 0.5, 1.0)


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


def test_holm_by_hand():
    """Holm's own recipe: 0.01 · 4, 0.02 · 3, 0.03 · 2, 0.4 · 1, and never smaller than the one before."""
    assert holm([0.02, 0.4, 0.01, 0.03]) == pytest.approx([0.06, 0.4, 0.04, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None, 0.04, None]) == [None, 0.04, None]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)]
)  # G*Power's and R's power.t.test(type = "paired", power = 0.8)
def test_the_number_of_seeds_is_the_textbooks(effect, seeds):
    assert seeds_needed(effect, 1.0) == seeds
    assert seeds_needed(-effect * 3, 3.0) == seeds


def test_the_number_of_seeds_keeps_its_promise():
    needed = seeds_needed(0.07, 0.1)
    rng = np.random.default_rng(3)
    for n, enough in ((needed, True), (needed - 2, False)):
        differences = rng.normal(0.07, 0.1, (40_000, n))
        p = stats.ttest_1samp(differences, 0, axis=1).pvalue
        assert (np.mean(p < 0.05) > 0.795) == enough


def test_hopeless_and_obvious_differences():
    assert seeds_needed(1e-4, 1.0) is None
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(10.0, 1e-6) == 3


def test_2000_null_comparisons_keep_their_promises():
    """Five seeds, six configurations that are equal in truth, with seeds that are good or bad for all of them."""
    rng = np.random.default_rng(20_261_122)
    covered, families_with_alarm = [], 0
    for _ in range(2000):
        of_seed = rng.normal(97.8, 0.2, 5)
        values = [of_seed + rng.normal(0, 0.1, 5) for _ in range(6)]
        compared = [paired_test(of_one, values[0]) for of_one in values[1:]]
        low, high = compared[0].difference.ci95
        covered.append(low <= 0 <= high)
        families_with_alarm += min(holm([test.p for test in compared])) <= 0.05
    assert 0.935 <= np.mean(covered) <= 0.965
    assert families_with_alarm / 2000 <= 0.06


def test_pairing_sees_what_the_spread_over_seeds_hides():
    """A difference of 0.1 with seeds that differ by 1: hopeless unpaired, clear paired."""
    rng = np.random.default_rng(5)
    of_seed = rng.normal(97, 1.0, 8)
    first, second = of_seed + 0.1 + rng.normal(0, 0.02, 8), of_seed + rng.normal(0, 0.02, 8)
    assert paired_test(first, second).p < 0.001
    assert stats.ttest_ind(first, second).pvalue > 0.5


@pytest.mark.parametrize("correlation", [None, 0.8])
def test_a_baseline_chosen_by_its_results_gives_no_more_false_alarms(correlation):
    """The best of six equal ones by the test set (None), or by a validation accuracy that goes along with it."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(400):
        of_seed = rng.normal(97.8, 0.2, 5)
        tests = of_seed + rng.normal(0, 0.1, (6, 5))
        by = tests.mean(1)
        if correlation is not None:
            noise = rng.normal(0, by.std(), 6)
            by = correlation * (by - by.mean()) + math.sqrt(1 - correlation**2) * noise
        made = [a_configuration(str(k), dict(enumerate(values))) for k, values in enumerate(tests)]
        ranking = rank(made, Baseline(made[int(np.argmax(by))], among=6))
        alarms += any(row.verdict != "unclear" for row in ranking.rows)
    assert alarms / 400 <= 0.06
