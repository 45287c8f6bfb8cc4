"""Simultaneous intervals and the levels of looks: published tables, classical tests, laws, and their errors simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from actbench.report.critical_values import critical, exceedance, matching_df
from actbench.report.crossed import image_variance
from actbench.report.sequential import level
from actbench.report.simultaneous import differences, seeds_to_settle, smallest_visible


def at_most(wrong, promised):
    """Whether a share of errors is no more than promised, up to three binomial standard errors."""
    rounds = len(wrong)
    return np.mean(wrong) <= promised + 3 * math.sqrt(promised * (1 - promised) / rounds)


def excluded(of, truth=0.0):
    """(rounds,): whether the interval of any pair excludes the truth."""
    return (np.abs(of.mean - truth) > of.half).any((-1, -2))


def crossed(rng, rounds, k, n, m, own):
    """(rounds, k, n, m): correct or not, where each configuration finds some images difficult that others do not."""
    difficulty = 2.0 + rng.normal(size=(rounds, 1, 1, m)) + own * rng.normal(size=(rounds, k, 1, m))
    return rng.normal(size=(rounds, k, n, m)) < difficulty + 0.05 * rng.normal(size=(rounds, k, n, 1))


@pytest.mark.parametrize(("size", "df"), [(2, 5), (3, 4), (6, 20), (8, 28), (20, 76), (150, 596)])
def test_critical_values_are_those_of_the_studentized_range(size, df):
    expected = stats.studentized_range.isf(0.04, size, df) / math.sqrt(2)
    assert critical(0.04, size, df) == pytest.approx(expected, rel=1e-6)
    assert exceedance(expected, size, df) == pytest.approx(0.04, rel=1e-5)


def test_p_values_are_those_of_scipys_tukey_hsd():
    groups = np.random.default_rng(1).normal([[0.0], [0.5], [1.2], [1.9]], 1.0, (4, 6))
    t = np.subtract.outer(groups.mean(1), groups.mean(1)) / math.sqrt(2 * groups.var(1, ddof=1).mean() / 6)
    off = ~np.eye(4, dtype=bool)
    assert exceedance(np.abs(t), 4, 4 * 5)[off] == pytest.approx(stats.tukey_hsd(*groups).pvalue[off], abs=1e-8)


def test_critical_values_between_the_nodes_of_the_table_are_exact():
    df = np.array([1.0, 1.7, 2.0, 3.3, 7.9, 41.5, 999.0])
    for k in (2, 5, 20):
        assert exceedance(critical(0.037, k, df), k, df) == pytest.approx(np.full(7, 0.037), rel=1e-5)
        assert matching_df(critical(0.037, k, df), 0.037, k) == pytest.approx(df, rel=1e-2)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_two_configurations_are_compared_by_the_paired_t_test(n):
    a = np.random.default_rng(n).normal(97.0, 0.3, (2, n))
    of = differences(a, level=0.04, resolution=0.0)
    expected = stats.ttest_rel(a[0], a[1])
    low, high = expected.confidence_interval(0.96)
    assert (of.low[0, 1], of.high[0, 1]) == (pytest.approx(low), pytest.approx(high))
    assert of.p[0, 1] == pytest.approx(expected.pvalue, rel=1e-6)
    assert of.df[0, 1] == n - 1


def test_alike_configurations_share_the_residual_variance_of_the_two_way_table():
    rng = np.random.default_rng(8)
    a = rng.normal(97.0, 1.0, 5) + rng.normal(0.0, 0.2, (6, 5))
    of = differences(a, resolution=0.0)
    residual = a - a.mean(0) - a.mean(1, keepdims=True) + a.mean()
    pooled = 2 * (residual**2).sum() / (5 * 4) / 5
    assert of.df[0, 1] == pytest.approx(20)  # (6 - 1) (5 - 1)
    assert of.comparisons == 15
    assert of.critical[0, 1] == pytest.approx(stats.studentized_range.isf(0.05, 6, 20) / math.sqrt(2), rel=1e-6)
    assert of.se_seeds[0, 1] == pytest.approx(math.sqrt(0.96 * pooled))


def test_p_agrees_with_the_interval_also_for_new_images():
    rng = np.random.default_rng(21)
    correct = crossed(rng, 4, 5, 4, 80, own=0.8)
    a = 100 * correct.mean(-1) + rng.normal(0, 2.0, (4, 5, 1))
    off = ~np.eye(5, dtype=bool)
    for images in (None, correct):
        of = differences(a, images, level=0.2)
        excludes = np.abs(of.mean) > of.half
        assert excludes[:, off].any()
        assert not excludes[:, off].all()
        assert np.array_equal(of.p < 0.2, excludes)


def test_order_shift_scale_and_good_seeds_change_nothing():
    rng = np.random.default_rng(3)
    a = rng.normal(97.0, [[0.2], [0.2], [0.3], [2.0]], (4, 6))
    of = differences(a, resolution=0.01)
    configurations, seeds = rng.permutation(4), rng.permutation(6)
    permuted = differences(a[configurations][:, seeds], resolution=0.01)
    assert permuted.half == pytest.approx(of.half[configurations][:, configurations])
    moved = differences(2 * a + 7.0 + rng.normal(0, 5, 6), resolution=0.02)  # seeds that are good or bad for all
    assert moved.mean == pytest.approx(2 * of.mean)
    assert moved.half == pytest.approx(2 * of.half)
    assert moved.p == pytest.approx(of.p)
    assert of.mean == pytest.approx(-of.mean.T)
    assert of.half == pytest.approx(of.half.T)


def test_many_sets_of_results_at_once_are_as_one_by_one():
    rng = np.random.default_rng(4)
    correct = crossed(rng, 3, 4, 5, 30, own=0.5)
    a = 100 * correct.mean(-1)
    a[1, 2, 3] = np.nan
    together = differences(a, correct)
    for place in range(3):
        alone = differences(a[place], correct[place])
        assert alone.half == pytest.approx(together.half[place])
        assert alone.p == pytest.approx(together.p[place])


def test_missing_seeds():
    rng = np.random.default_rng(5)
    a = rng.normal(97.0, 0.2, (4, 6))
    a[1, 0] = a[2, 1:5] = np.nan  # configuration 2 keeps two seeds, of which nothing can be said
    of = differences(a)
    assert of.mean[0, 1] == pytest.approx((a[0] - a[1])[1:].mean())
    assert of.n[0, 1] == 5
    assert np.isnan(of.half[2]).all()
    assert np.isfinite(np.delete(np.delete(of.half, 2, 0), 2, 1)).all()
    without = differences(np.delete(a, 2, 0))
    assert without.half == pytest.approx(np.delete(np.delete(of.half, 2, 0), 2, 1))
    assert differences(a[:1]).half.tolist() == [[0.0]]


def test_equal_values_are_no_certainty():
    """Three equal accuracies of 100 images: they are known to an image, not exactly."""
    equal = np.full((3, 3), 97.0)
    assert differences(equal).half[0, 1] == math.inf  # nothing says how many images there are
    assert differences(equal).p[0, 1] == 1.0
    of = differences(equal, resolution=1.0)
    assert 1.0 < of.half[0, 1] < 10.0
    shifted = differences(equal + np.arange(3.0)[:, None])  # by one image and by two, in each of three seeds
    assert shifted.low[1, 0] < 0
    assert differences(np.full((2, 40), 97.0), resolution=0.01).half[0, 1] < 0.001
    correct = np.ones((3, 3, 100), dtype=bool)
    assert np.isfinite(differences(100 * correct.mean(-1), correct).half).all()


def test_one_that_varies_30_times_as_much_does_not_widen_the_others():
    rng = np.random.default_rng(6)
    a = rng.normal(size=(300, 6, 5))
    alike = differences(a).half[:, 1, 2]
    a[:, 0] *= 30
    of = differences(a)
    assert np.median(of.half[:, 1, 2]) < 1.15 * np.median(alike)
    assert np.median(of.half[:, 0, 1]) > 15 * np.median(alike)


ONE_VARIES = np.array([3.0, 1, 1, 1, 1, 1])[:, None]
NULLS = {
    "alike": lambda rng, shape: rng.normal(size=shape),
    "one varies 3 times as much": lambda rng, shape: ONE_VARIES * rng.normal(size=shape),
    "one varies 30 times as much": lambda rng, shape: (
        ONE_VARIES ** (math.log(30) / math.log(3)) * rng.normal(size=shape)
    ),
    "skewed": lambda rng, shape: -rng.exponential(size=shape),
    "tied": lambda rng, shape: rng.binomial(100, 0.96, size=shape) * 1.0,
}


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("name", NULLS)
def test_the_family_wise_error_is_kept(name, n):
    """4 % promised; 5.5 % is allowed where variances differ by so much that it cannot be told from the data."""
    a = NULLS[name](np.random.default_rng(31), (1500, 6, n))
    assert at_most(excluded(differences(a, level=0.04)), 0.055 if "varies" in name else 0.042)


def test_a_worse_one_is_seen_more_often_than_by_paired_t_tests_with_holm():
    """One that is 2 standard deviations worse than five equal ones is worse than at least one of them.

    Paired t-tests against a baseline with Holm's correction see a difference of that size in 28 of 100 studies.
    """
    a = np.random.default_rng(33).normal(size=(3000, 6, 5))
    a[:, 0] -= 2.0
    of = differences(a, level=level(1))
    assert (of.high[:, 0] < 0).any(-1).mean() > 0.6


def test_the_images_part_is_that_of_the_two_way_table():
    rng = np.random.default_rng(7)
    n, m = 4, 30
    correct = rng.random((3, n + 1, m)) < 0.8
    there = np.ones((3, n + 1), dtype=bool)
    there[0, 2] = False
    variance = image_variance(correct, there[:, None] & there[None])
    d = 100 * (correct[0].astype(float) - correct[1])[there[0]]
    images, seeds = d.mean(0), d.mean(1)
    ms_images = n * ((images - d.mean()) ** 2).sum() / (m - 1)
    ms_residual = ((d - images - seeds[:, None] + d.mean()) ** 2).sum() / ((n - 1) * (m - 1))
    assert variance[0, 1] == pytest.approx(max(0.0, ms_images - ms_residual) / (n * m))
    assert variance[1, 0] == variance[0, 1]


def test_new_images_never_narrow_an_interval():
    rng = np.random.default_rng(8)
    correct = crossed(rng, 50, 4, 5, 60, own=0.3)
    a = 100 * correct.mean(-1)
    fixed, new = differences(a, resolution=100 / 60), differences(a, correct)
    assert (new.half >= fixed.half - 1e-9).all()
    assert (new.half[:, 0, 1:] > fixed.half[:, 0, 1:]).any()
    assert new.se_seeds == pytest.approx(fixed.se_seeds)


@pytest.mark.parametrize("n", [3, 5])
def test_intervals_for_new_images_cover_what_other_images_would_give(n):
    correct = crossed(np.random.default_rng(9), 400, 3, n, 300, own=1.0)
    a = 100 * correct.mean(-1)
    assert at_most(excluded(differences(a, correct, level=0.04)), 0.045)
    if n == 5:  # intervals for these images are wrong about others
        assert excluded(differences(a, level=0.04, resolution=0.0)).mean() > 0.07


def test_a_null_without_an_effect_of_images_has_hardly_an_images_part():
    correct = crossed(np.random.default_rng(10), 40, 3, 10, 500, own=0.0)
    of = differences(100 * correct.mean(-1), correct)
    assert (of.se_images[:, 0, 1] ** 2).mean() < 0.2 * (of.se_seeds[:, 0, 1] ** 2).mean()


def test_the_number_of_seeds_that_settles_it():
    rng = np.random.default_rng(11)
    a = rng.normal(size=(400, 2, 60))
    of = differences(a[0, :, :5], resolution=0.0)
    target = 0.5 * of.half[0, 1]
    needed = seeds_to_settle(of, 0, 1, target=target, level_next=0.05)

    def half(seeds):
        return stats.t.isf(0.025, seeds - 1) * math.sqrt(5 / seeds) * of.se_seeds[0, 1]

    assert half(needed) <= target < half(needed - 1)
    assert seeds_to_settle(of, 0, 1, target=100.0, level_next=0.05) == 6  # one more, at least
    assert seeds_to_settle(of, 0, 1, target=0.0, level_next=0.05) is None
    assert seeds_to_settle(differences(np.full((2, 3), 97.0)), 0, 1, target=0.1, level_next=0.05) is None


def test_more_seeds_do_not_settle_what_the_images_hide():
    correct = crossed(np.random.default_rng(12), 1, 2, 6, 400, own=1.5)[0]
    of = differences(100 * correct.mean(-1), correct, level=0.04)
    hidden = smallest_visible(of, 0, 1)
    assert 0 < hidden < of.half[0, 1]
    assert seeds_to_settle(of, 0, 1, target=0.99 * hidden, level_next=0.04) is None
    assert seeds_to_settle(of, 0, 1, target=1.05 * hidden, level_next=0.04) > 6
    assert smallest_visible(differences(100 * correct.mean(-1)), 0, 1) == 0.0


def test_the_levels_of_looks_fall_and_are_counted_from_1():
    levels = [level(look) for look in range(1, 100)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] > 0
    with pytest.raises(ValueError, match="counted from 1"):
        level(0)


@pytest.mark.parametrize("k", [2, 6])
@pytest.mark.parametrize("schedule", [(5, 8, 13, 21, 34, 40), (5, 10, 15, 20, 25, 30, 35, 40)])
def test_looking_again_keeps_the_error_of_all_looks_together(k, schedule):
    """2,000 studies in which all others are just beyond a margin below the first one, stopped at any look."""
    margin = 2.0
    shift = np.where(np.arange(k) == 0, 0.0, -margin - 1e-9)
    a = np.random.default_rng(51).normal(size=(2000, k, schedule[-1])) + shift[:, None]
    wrong, within = np.zeros((2, 2000), dtype=bool)
    for look, n in enumerate(schedule, start=1):
        of = differences(a[..., :n], level=level(look))
        wrong |= excluded(of, shift[:, None] - shift)
        within |= (of.low[:, 1:, 0] >= -margin).any(-1)
    assert at_most(wrong, 0.05)
    assert at_most(within, 0.05)


# ---------------------------------------------------------------- what earlier looks showed


def test_intervals_of_all_looks_are_within_each_other_and_hold_as_often():
    """What a look excluded stays excluded; the truth is outside in no more than 5 % over all looks."""
    rng, rounds, schedule = np.random.default_rng(3), 600, (5, 8, 12, 18)
    a = rng.normal(0, 1, (rounds, 4, schedule[-1])) + rng.normal(0, 2, (rounds, 1, schedule[-1]))
    looks = [differences(a[..., :n], level=level(number)) for number, n in enumerate(schedule, start=1)]
    kept = looks[-1]
    for look in looks[:-1]:
        kept = kept.within(look)
    assert (kept.low <= kept.mean).all() and (kept.mean <= kept.high).all()
    assert (kept.low >= looks[-1].low - 1e-12).all() and (kept.high <= looks[-1].high + 1e-12).all()
    wrong = ((kept.low > 0) | (kept.high < 0)).any((-1, -2))
    ever = np.any([((of.low > 0) | (of.high < 0)).any((-1, -2)) for of in looks], axis=0)
    assert (wrong <= ever).all(), "nothing is excluded that no look had excluded"
    assert ever.mean() <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)


def test_an_earlier_interval_that_has_nothing_in_common_is_left_out():
    later = differences([[90.0, 90.1, 90.2, 90.0, 90.1], [95.0, 95.2, 95.1, 95.1, 95.0]])
    earlier = differences([[95.0, 95.1, 95.2], [90.0, 90.1, 90.2]])
    assert later.within(earlier).high[0, 1] == later.high[0, 1] < 0


def test_a_pair_that_an_earlier_look_did_not_have_keeps_its_interval():
    later = differences([[90.0, 90.1, 90.3, 90.0], [91.0, 91.2, 91.1, 91.1], [90.5, 90.4, 90.8, 90.6]])
    earlier = differences([[90.0, 90.1, 90.3], [91.0, 91.2, 91.1], [np.nan] * 3])
    both = later.within(earlier)
    np.testing.assert_array_equal(both.low[2], later.low[2])
    np.testing.assert_array_equal(both.high[2], later.high[2])
