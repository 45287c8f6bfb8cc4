"""Simultaneous intervals of the differences between configurations, for new seeds and new test images.

They hold together for all comparisons with one configuration, whichever it is: the best, which is not known. With it
they say who may be the best and how far the others are from it (multiple comparisons with the best: Hsu 1984,
doi:10.1214/aos/1176346733). Strength is borrowed over configurations, as far as their variances are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actbench.report.critical_values import Family, critical, exceedance, matching_df, narrowest
from actbench.report.crossed import image_variance
from actbench.report.pooling import moderate

Array = NDArray[np.floating[Any]]

MIN_SEEDS = 3  # with fewer common seeds nothing is said
MOST_SEEDS = 100_000  # more than this nobody trains


@dataclass(frozen=True)
class Differences:
    """How k configurations differ; in all (..., k, k) arrays [i, j] is i minus j, in percentage points.

    NaN where two configurations have fewer than `MIN_SEEDS` common seeds, and on the diagonal 0. Leading dimensions are
    those of the accuracies: that many sets of results, each with its own intervals.
    """

    mean: Array
    half: Array  # half-width of the interval; infinite where nothing is known about the spread
    n: NDArray[np.integer[Any]]  # common seeds
    df: Array  # degrees of freedom of the seeds' standard error
    se_seeds: Array
    se_images: Array  # 0 for a fixed test set
    critical: Array  # half ÷ standard error
    level: float
    family: Family  # the comparisons that hold together
    images: int | None  # of the test set; None where it is fixed

    @property
    def low(self) -> Array:
        return self.mean - self.half

    @property
    def high(self) -> Array:
        return self.mean + self.half

    @cached_property
    def p(self) -> Array:
        """Adjusted for the family: the smallest level at which the interval excludes 0.

        Exact for a fixed test set; for new images near `level`, which decides which side of it the value is on.
        """
        df = np.where(self.se_images > 0, matching_df(self.critical, self.level, self.family), self.df)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(self.mean == 0, 0.0, np.abs(self.mean) / np.hypot(self.se_seeds, self.se_images))
        return np.where(np.isnan(self.mean), np.nan, exceedance(t, self.family, df))


def differences(
    accuracies: ArrayLike,
    correct: NDArray[np.bool_] | None = None,
    *,
    level: float = 0.05,
    controls: int | None = 1,
    resolution: float | None = None,
) -> Differences:
    """All differences with simultaneous intervals at `level`.

    Args:
        accuracies: (..., k, n), in %; NaN where a seed has no result. Columns are seeds: differences are paired.
        correct: (..., k, n, m), whether each seed classified each test image correctly, for intervals about new seeds
            and new images. None: about new seeds on these images.
        level: the probability that any interval of the family excludes the true difference.
        controls: 1 for comparisons with one configuration, which may be the unknown best; 2 with a named baseline
            besides; None for all pairs. With the unknown best, "some other one is better" is said wrongly more often
            where several are equally good, since each of them is then the best: only all pairs keep the level there.
        resolution: the smallest step of an accuracy, 100 ÷ the number of test images; found from the values where it is
            not given. Equal values are known to this step alone.
    """
    a = np.asarray(accuracies, dtype=float)
    images = None if correct is None else correct.shape[-1]
    there, diagonal = np.isfinite(a), np.eye(a.shape[-2], dtype=bool)
    common = there[..., :, None, :] & there[..., None, :, :]  # (..., k, k, n)
    n = common.sum(-1)
    enough = n >= MIN_SEEDS
    mean, variance = _moments(a, common, n)
    spread, df = moderate(variance, n, enough)
    if resolution is None:
        step = _resolution(a) if images is None else np.asarray(100 / images)
    else:
        step = np.asarray(resolution)
    # Equal values are no proof that others will be: as if one more seed had differed by one image.
    spread = spread + step[..., None, None] ** 2 / np.maximum(n, 1)
    of_seeds = spread / np.maximum(n, 1)
    of_images = np.zeros_like(of_seeds) if correct is None else image_variance(correct, common)
    family = _family(level, int((enough & ~diagonal).any(-1).sum(-1).max(initial=0)), controls)
    edge = critical(level, family, df)
    half = _half(edge, of_seeds, of_images, level, family, images)
    se = np.sqrt(of_seeds + of_images)
    edge = np.divide(half, se, out=edge, where=np.isfinite(half) & (se > 0))

    def placed(x: Array, at_diagonal: float = 0.0) -> Array:
        return np.where(enough, np.where(diagonal, at_diagonal, x), np.nan)

    return Differences(
        mean=placed(mean), half=placed(half), n=n, df=placed(df, math.inf), se_seeds=placed(np.sqrt(of_seeds)),
        se_images=placed(np.sqrt(of_images)), critical=placed(edge), level=level, family=family, images=images,
    )  # fmt: skip


def seeds_to_settle(differences: Differences, i: int, j: int, *, target: float, level_next: float) -> int | None:
    """The number of seeds at which the half-width between i and j is `target` points or less, at `level_next`.

    At least one more than there are. None where more seeds cannot do that, because the test images alone hide more, or
    where nothing is known about the spread.
    """
    n, of_seeds, of_images, df = (
        float(x[i, j]) for x in (differences.n, differences.se_seeds**2, differences.se_images**2, differences.df)
    )
    if not (target > 0 and math.isfinite(of_seeds) and math.isfinite(of_images)):
        return None

    def reached(seeds: int) -> bool:
        edge = critical(level_next, differences.family, df * (seeds - 1) / (n - 1))
        variance = np.asarray(of_seeds * n / seeds), np.asarray(of_images)
        return bool(_half(edge, *variance, level_next, differences.family, differences.images) <= target)

    if not reached(MOST_SEEDS):
        return None
    low, high = int(n), MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def smallest_visible(differences: Differences, i: int, j: int) -> float:
    """The points below which the test images alone hide a difference of i and j, however many seeds are trained."""
    if differences.images is None:
        return 0.0
    edge = critical(differences.level, differences.family, max(differences.images - 1, 1))
    return float(edge * differences.se_images[i, j])


def _half(edge: Array, of_seeds: Array, of_images: Array, level: float, family: Family, images: int | None) -> Array:
    """The half-width: those for seeds and for images, each by its own degrees of freedom, added as their squares.

    Never less than the seeds' alone. (With Satterthwaite's degrees of freedom it could be, and three seeds would be
    wrong in 6.4 % where 4 % are promised.)
    """
    if images is None:
        return np.asarray(edge * np.sqrt(of_seeds))
    return np.asarray(np.sqrt(edge**2 * of_seeds + critical(level, family, max(images - 1, 1)) ** 2 * of_images))


def _family(level: float, size: int, controls: int | None) -> Family:
    pairs = Family("pairs", max(size, 2))
    if controls is None or controls >= size:
        return pairs
    with_controls = Family("control", max(size - 1, 1), controls)
    return with_controls if controls == 1 else narrowest(level, (with_controls, pairs))


def _moments(a: Array, common: NDArray[np.bool_], n: NDArray[np.integer[Any]]) -> tuple[Array, Array]:
    """Mean and sample variance of the paired differences, (..., k, k); 0 where there are too few."""
    d = np.where(common, np.nan_to_num(a)[..., :, None, :] - np.nan_to_num(a)[..., None, :, :], 0.0)  # (..., k, k, n)
    mean = d.sum(-1) / np.maximum(n, 1)
    centred = np.where(common, d - mean[..., None], 0.0)
    return mean, (centred**2).sum(-1) / np.maximum(n - 1, 1)


def _resolution(a: Array) -> Array:
    """(...,): the smallest step between two accuracies, rounding errors apart; infinite where all are equal."""
    values = np.sort(a.reshape(*a.shape[:-2], -1), axis=-1)  # NaN last
    steps = np.diff(values, axis=-1)
    return np.where(steps > 1e-4, steps, np.inf).min(-1, initial=np.inf)
