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
from scipy import special

from actbench.report import dunnett
from actbench.report.crossed import image_variance

Array = NDArray[np.floating[Any]]

MIN_SEEDS = 3  # with fewer common seeds nothing is said
MOST_SEEDS = 100_000  # more than this nobody trains
ALIKE = 0.15  # a pair's variance counts as alike the pool's down to this tail probability, and less and less below it
REMOVED = 0.002  # tail probability, for all configurations together, at which one's variance is left out of the pool


@dataclass(frozen=True)
class Differences:
    """How k configurations differ; in all (..., k, k) arrays [i, j] is i minus j, in percentage points.

    NaN where two configurations have fewer than `MIN_SEEDS` common seeds, and on the diagonal 0. Leading dimensions are
    those of the accuracies: that many sets of results, each with its own intervals.
    """

    mean: Array
    half: Array  # half-width of the interval; infinite where nothing is known about the spread
    n: NDArray[np.integer[Any]]  # common seeds
    df: Array  # degrees of freedom of the standard error
    se_seeds: Array
    se_images: Array  # 0 for a fixed test set
    critical: Array  # half ÷ standard error
    level: float
    comparisons: int  # that hold together
    images: int | None  # of the test set; None where it is fixed

    @property
    def low(self) -> Array:
        return self.mean - self.half

    @property
    def high(self) -> Array:
        return self.mean + self.half

    @cached_property
    def p(self) -> Array:
        """Adjusted for the family: the smallest level at which the interval excludes 0."""
        se = np.hypot(self.se_seeds, self.se_images)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(self.mean == 0, 0.0, np.abs(self.mean) / se)
        p = dunnett.exceedance(t, self.comparisons, self.df)
        return np.where(np.isnan(self.mean), np.nan, p)


def differences(
    accuracies: ArrayLike,
    correct: NDArray[np.bool_] | None = None,
    *,
    level: float = 0.05,
    controls: int = 1,
    resolution: float | None = None,
) -> Differences:
    """All differences with simultaneous intervals at `level`.

    Args:
        accuracies: (..., k, n), in %; NaN where a seed has no result. Columns are seeds: differences are paired.
        correct: (..., k, n, m), whether each seed classified each test image correctly, for intervals about new seeds
            and new images. None: about new seeds on these images.
        level: the probability that any interval of the family excludes the true difference.
        controls: 1 for comparisons with the unknown best; 2 with a named baseline besides.
        resolution: the smallest step of an accuracy, 100 ÷ the number of test images; found from the values where it is
            not given. Equal values are known to this step alone.
    """
    a = np.asarray(accuracies, dtype=float)
    there = np.isfinite(a)
    common = there[..., :, None, :] & there[..., None, :, :]  # (..., k, k, n)
    n = common.sum(-1)
    mean, variance = _moments(a, common, n)
    enough = n >= MIN_SEEDS
    if resolution is None:
        step = _resolution(a) if correct is None else np.asarray(100 / correct.shape[-1])
    else:
        step = np.asarray(resolution)
    spread, df = _moderate(variance, n, enough)
    # Equal values are no proof that others will be: as if one more seed had differed by one image.
    spread = spread + step[..., None, None] ** 2 / np.maximum(n, 1)
    of_seeds = spread / np.maximum(n, 1)
    of_images = np.zeros_like(of_seeds) if correct is None else image_variance(correct, common)
    if correct is not None:  # Satterthwaite 1946
        with np.errstate(divide="ignore", invalid="ignore"):
            square = of_seeds**2 / df + of_images**2 / max(correct.shape[-1] - 1, 1)
            df = np.where(square > 0, (of_seeds + of_images) ** 2 / square, df)
    comparisons = max(1, controls * int(there.any(-1).sum(-1).max(initial=0) - 1) - (controls - 1))
    critical = dunnett.critical(level, comparisons, df)
    half = critical * np.sqrt(of_seeds + of_images)
    diagonal = np.eye(a.shape[-2], dtype=bool)

    def placed(x: Array) -> Array:
        return np.where(enough, np.where(diagonal, 0.0, x), np.nan)

    return Differences(
        mean=placed(mean), half=placed(half), n=n, df=np.where(enough, df, np.nan), se_seeds=placed(np.sqrt(of_seeds)),
        se_images=placed(np.sqrt(of_images)), critical=np.where(enough, critical, np.nan), level=level,
        comparisons=comparisons, images=None if correct is None else correct.shape[-1],
    )  # fmt: skip


def seeds_to_settle(differences: Differences, i: int, j: int, *, target: float, level_next: float) -> int | None:
    """The number of seeds at which the half-width between i and j is `target` points or less, at `level_next`.

    None where more seeds cannot do that, because the test images alone hide more, or where the spread is not known. At
    least one more than there are.
    """
    n, of_seeds, of_images, df = (
        float(x[i, j]) for x in (differences.n, differences.se_seeds**2, differences.se_images**2, differences.df)
    )
    if not (target > 0 and math.isfinite(of_seeds) and math.isfinite(of_images)):
        return None

    def reached(seeds: int) -> bool:
        seeds_part = of_seeds * n / seeds
        grown = df * (seeds - 1) / (n - 1)
        square = seeds_part**2 / grown + of_images**2 / max((differences.images or 2) - 1, 1)
        freedom = (seeds_part + of_images) ** 2 / square if square > 0 else grown
        critical = float(dunnett.critical(level_next, differences.comparisons, freedom))
        return critical * math.sqrt(seeds_part + of_images) <= target

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
    critical = dunnett.critical(differences.level, differences.comparisons, max(differences.images - 1, 1))
    return float(critical * differences.se_images[i, j])


def _moments(a: Array, common: NDArray[np.bool_], n: NDArray[np.integer[Any]]) -> tuple[Array, Array]:
    """Mean and sample variance of the paired differences, (..., k, k); 0 where there are too few."""
    d = np.where(common, np.nan_to_num(a)[..., :, None, :] - np.nan_to_num(a)[..., None, :, :], 0.0)  # (..., k, k, n)
    mean = d.sum(-1) / np.maximum(n, 1)
    centred = np.where(common, d - mean[..., None], 0.0)
    return mean, (centred**2).sum(-1) / np.maximum(n - 1, 1)


def _resolution(a: Array) -> Array:
    """(...,): the smallest step between two accuracies of a set; infinite where all are equal."""
    values = np.sort(a.reshape(*a.shape[:-2], -1), axis=-1)  # NaN last
    steps = np.diff(values, axis=-1)
    return np.where(steps > 1e-6, steps, np.inf).min(-1, initial=np.inf)


def _moderate(variance: Array, n: NDArray[np.integer[Any]], enough: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The variance of a difference with strength borrowed from the other pairs, and its degrees of freedom.

    As in Smyth's moderated t (2004, doi:10.2202/1544-6115.1027) each variance is drawn towards a common one, and as in
    Phipson et al. 2016 (doi:10.1214/16-AOAS920) the less, the clearer it is an outlier. Here the common one is the
    pooled residual variance of the two-way table (seeds and configurations) of those that are alike.
    """
    pair = enough & ~np.eye(n.shape[-1], dtype=bool)
    alike = _alike(variance, n, pair)
    pool, pool_df = _pooled(variance, n, pair & alike[..., :, None] & alike[..., None, :], alike.sum(-1))
    pool, pool_df = pool[..., None, None], pool_df[..., None, None]
    own_df = np.maximum(n - 1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(pool > 0, variance / pool, np.where(variance > 0, np.inf, 1.0))
    tail = special.fdtrc(own_df, np.maximum(pool_df, 1.0), np.minimum(ratio, 1e12))
    weight = np.minimum(1.0, tail / ALIKE) * (alike[..., :, None] & alike[..., None, :])
    weight = np.where(pool_df > own_df, weight, 0.0)
    spread = weight * pool + (1 - weight) * np.maximum(variance, pool)
    return spread, own_df + weight * np.maximum(pool_df - own_df, 0.0)


def _alike(variance: Array, n: NDArray[np.integer[Any]], pair: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(..., k): the configurations whose variances may be pooled: the largest is left out while it is an outlier."""
    alike = pair.any(-1)
    for _ in range(n.shape[-1] - 2):
        both = pair & alike[..., :, None] & alike[..., None, :]
        size = alike.sum(-1)  # (...,)
        rows = np.where(both, variance, 0.0).sum(-1)  # (..., k): (size - 2) σ_i² + Σ σ²
        total = rows.sum(-1, keepdims=True) / np.maximum(2 * (size - 1), 1)[..., None]  # Σ σ²
        own = np.where(alike, (rows - total) / np.maximum(size - 2, 1)[..., None], -np.inf)
        worst = np.argmax(own, axis=-1)
        is_worst = np.arange(n.shape[-1]) == worst[..., None]
        rest = alike & ~is_worst
        pool, df = _pooled(variance, n, pair & rest[..., :, None] & rest[..., None, :], size - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(pool > 0, 2 * own.max(-1) / pool, 1.0)
        own_df = np.maximum(np.take_along_axis(n.max(-1), worst[..., None], -1)[..., 0] - 1.0, 1.0)
        tail = special.fdtrc(own_df, np.maximum(df, 1.0), np.clip(ratio, 0.0, 1e12))
        outlier = (size >= 3) & (tail * size < REMOVED)
        if not outlier.any():
            break
        alike = np.where(outlier[..., None], rest, alike)
    return alike


def _pooled(
    variance: Array, n: NDArray[np.integer[Any]], pairs: NDArray[np.bool_], size: NDArray[np.integer[Any]]
) -> tuple[Array, Array]:
    """The mean variance of a difference over `pairs`, and its degrees of freedom: (size - 1) (n - 1) without gaps.

    Without gaps it is twice the residual mean square of the two-way table.
    """
    weight = np.where(pairs, n - 1.0, 0.0)
    freedom = weight.sum((-1, -2))
    pool = (weight * variance).sum((-1, -2)) / np.maximum(freedom, 1e-300)
    return pool, freedom / np.maximum(size, 1)
