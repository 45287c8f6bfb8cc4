"""Simultaneous intervals of the differences between configurations, for new seeds and new test images.

The intervals of all pairs hold together (Tukey-Kramer; Hayter 1984, doi:10.1214/aos/1176346392). So whatever is read
off them is true at once: who may be the best, who is worse than whom, how far all are from a named baseline. Strength
is borrowed over configurations, as far as their variances are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actbench.report.critical_values import critical, exceedance, matching_df
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
    low: Array  # ends of the interval; infinite where nothing is known about the spread
    high: Array
    half: Array  # half-width of the interval of this look alone
    n: NDArray[np.integer[Any]]  # common seeds
    df: Array  # degrees of freedom of the seeds' standard error
    se_seeds: Array
    se_images: Array  # 0 for a fixed test set
    critical: Array  # half ÷ standard error
    level: float
    size: int  # configurations whose pairs hold together
    images: int | None  # of the test set; None where it is fixed

    @property
    def comparisons(self) -> int:
        """How many intervals hold together."""
        return self.size * (self.size - 1) // 2

    def within(self, earlier: Differences) -> Differences:
        """The same with what was known at an earlier look at fewer seeds: its intervals hold as well.

        The intervals of all looks hold together (`report.sequential`), so the truth is in both. Where they have nothing
        in common, one of them is wrong, and the later one stays. The mean stays within its interval.
        """
        low, high = np.fmax(self.low, earlier.low), np.fmin(self.high, earlier.high)
        agree = low <= high
        return replace(
            self,
            low=np.where(agree, np.minimum(low, self.mean), self.low),
            high=np.where(agree, np.maximum(high, self.mean), self.high),
        )

    @cached_property
    def p(self) -> Array:
        """Adjusted for all pairs: the smallest level at which the interval of this look alone excludes 0.

        Exact for a fixed test set; for new images near `level`, which decides which side of it the value is on.
        """
        df = np.where(self.se_images > 0, matching_df(self.critical, self.level, self.size), self.df)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(self.mean == 0, 0.0, np.abs(self.mean) / np.hypot(self.se_seeds, self.se_images))
        return np.where(np.isnan(self.mean), np.nan, exceedance(t, self.size, df))


def differences(
    accuracies: ArrayLike,
    correct: NDArray[np.bool_] | None = None,
    *,
    level: float = 0.05,
    resolution: float | None = None,
) -> Differences:
    """All differences with simultaneous intervals at `level`.

    Args:
        accuracies: (..., k, n), in %; NaN where a seed has no result. Columns are seeds: differences are paired.
        correct: (..., k, n, m), whether each seed classified each test image correctly, for intervals about new seeds
            and new images. None: about new seeds on these images.
        level: the probability that any interval excludes the true difference.
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
    size = max(2, int((enough & ~diagonal).any(-1).sum(-1).max(initial=0)))
    edge = critical(level, size, df)
    half = _half(edge, of_seeds, of_images, level, size, images)
    se = np.sqrt(of_seeds + of_images)
    edge = np.divide(half, se, out=edge, where=np.isfinite(half) & (se > 0))

    def placed(x: Array, at_diagonal: float = 0.0) -> Array:
        return np.where(enough, np.where(diagonal, at_diagonal, x), np.nan)

    return Differences(
        mean=placed(mean), low=placed(mean - half), high=placed(mean + half), half=placed(half),
        n=n, df=placed(df, math.inf), se_seeds=placed(np.sqrt(of_seeds)),
        se_images=placed(np.sqrt(of_images)), critical=placed(edge), level=level, size=size, images=images,
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
        edge = critical(level_next, differences.size, df * (seeds - 1) / (n - 1))
        variance = np.asarray(of_seeds * n / seeds), np.asarray(of_images)
        return bool(_half(edge, *variance, level_next, differences.size, differences.images) <= target)

    if not reached(MOST_SEEDS):
        return None
    low, high = int(n), MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def smallest_visible(differences: Differences, i: int, j: int, *, level: float | None = None) -> float:
    """The points below which the test images alone hide a difference of i and j, however many seeds are trained.

    Args:
        level: of the look that sees so many seeds; by default that of this look.
    """
    if differences.images is None:
        return 0.0
    edge = critical(differences.level if level is None else level, differences.size, max(differences.images - 1, 1))
    return float(edge * differences.se_images[i, j])


def _half(edge: Array, of_seeds: Array, of_images: Array, level: float, size: int, images: int | None) -> Array:
    """The half-width: those for seeds and for images, each by its own degrees of freedom, added as their squares.

    Never less than the seeds' alone. (With Satterthwaite's degrees of freedom it could be, and three seeds would be
    wrong in 6.4 % where 4 % are promised.)
    """
    if images is None:
        return np.asarray(edge * np.sqrt(of_seeds))
    return np.asarray(np.sqrt(edge**2 * of_seeds + _of_images(level, size, images) ** 2 * of_images))


@lru_cache(maxsize=256)
def _of_images(level: float, size: int, images: int) -> float:
    """The critical value for the part of a difference that is due to the test images."""
    return float(critical(level, size, max(images - 1, 1)))


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
