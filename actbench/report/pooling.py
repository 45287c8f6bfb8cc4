"""The variance of a difference between configurations, with strength borrowed from the others.

With five seeds a variance has four degrees of freedom, and the intervals of many comparisons become hopelessly wide.
Where configurations vary alike, the residuals of the two-way table (seeds and configurations) estimate one variance
from all of them. Where one varies more, as one that diverges in some seeds, it must not count as alike. So each
variance is drawn towards the common one, as in Smyth's moderated t (2004, doi:10.2202/1544-6115.1027), and the less,
the more clearly it is larger, as in Phipson et al. 2016 (doi:10.1214/16-AOAS920). What decides how much is chosen by
simulation (`scripts/simulate.py`, tables in BENCHMARKS.md): the largest power among rules whose family-wise error
stays near its level where variances differ by a factor of 3, at which no test can tell reliably that they do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Counts = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]

REMOVED = 0.002  # tail probability, over all configurations, below which one's variance is left out of the pool
UNLIKE = 0.1  # tail probability of Bartlett's test below which all variances are drawn less and less
STEEPNESS = 3  # of how the share of the pool falls with a tail probability


def moderate(variance: Array, n: Counts, enough: Mask) -> tuple[Array, Array]:
    """The moderated variances of all differences, and their degrees of freedom.

    With two configurations, or two that are alike, that is the sample variance with n - 1 degrees of freedom (the
    paired t). With k that are alike it is nearly the pooled one with (k - 1) (n - 1).

    Args:
        variance: (..., k, k), the sample variances of the paired differences.
        n: (..., k, k), the numbers of pairs.
        enough: (..., k, k), of which pairs something is to be said.

    Returns:
        Variance and degrees of freedom, (..., k, k) each.
    """
    pairs = enough & ~np.eye(n.shape[-1], dtype=bool)
    alike = _alike(variance, n, pairs)
    both = pairs & _outer(alike)
    pool, pool_df = (x[..., None, None] for x in _pooled(variance, n, both, alike.sum(-1)))
    own_df = np.maximum(n - 1.0, 1.0)
    unlike = _bartlett(variance, n, both, alike)[..., None, None]
    share = _share(variance, n, both, alike)
    share = np.minimum(share[..., :, None], share[..., None, :]) * unlike * (both & (pool_df > own_df))
    spread = share * pool + (1 - share) * np.maximum(variance, pool)
    # Never below the pool: equal values by luck, or by rounding, are no proof. That errs on the safe side; so much
    # narrower, the error where all are alike is the level's again.
    return spread * (1 - 0.16 / own_df * share), own_df + share * np.maximum(pool_df - own_df, 0.0)


def _alike(variance: Array, n: Counts, pairs: Mask) -> Mask:
    """(..., k): the configurations whose variances may be pooled: the largest is left out while it is an outlier."""
    alike: Mask = np.asarray(pairs.any(-1))
    for _ in range(n.shape[-1] - 2):
        size = alike.sum(-1, keepdims=True)
        tail = np.where(alike, _tail(variance, n, pairs & _outer(alike), size), 1.0)
        worst = np.arange(n.shape[-1]) == np.argmin(tail, axis=-1)[..., None]
        outlier = worst & (size >= 3) & (tail * size < REMOVED)
        if not outlier.any():
            break
        alike = alike & ~outlier
    return alike


def _share(variance: Array, n: Counts, both: Mask, alike: Mask) -> Array:
    """(..., k): how much of each one's variance is taken from the pool: all of it unless its own is clearly larger.

    With fewer seeds more caution is needed, since there an outlier shows itself less.
    """
    df = np.maximum(n.max(-1) - 1.0, 1.0)
    threshold = np.maximum(0.04, 1.2 / df**2)
    tail = _tail(variance, n, both, alike.sum(-1, keepdims=True))
    return np.where(alike, np.minimum(1.0, tail / threshold) ** STEEPNESS, 0.0)


def _bartlett(variance: Array, n: Counts, both: Mask, alike: Mask) -> Array:
    """(...,): 1 where the variances may be equal by Bartlett's test (1937), less where they clearly are not."""
    size = alike.sum(-1)
    df = np.where(alike, np.maximum(n.max(-1) - 1.0, 1.0), 0.0)
    own, _ = _residual(variance, both, size[..., None])
    common = np.where(alike, own, 0.0).sum(-1, keepdims=True) / np.maximum(size, 1)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(common > 0, np.maximum(own / common, 1e-3), 1.0)  # equal values are no outliers
    statistic = -(df * np.log(ratio)).sum(-1)
    inverse = np.divide(1.0, df, out=np.zeros_like(df), where=df > 0).sum(-1)
    correction = 1 + (inverse - 1 / np.maximum(df.sum(-1), 1)) / (3 * np.maximum(size - 1, 1))
    tail = scipy.special.chdtrc(np.maximum(size - 1, 1), np.maximum(statistic / correction, 0.0))
    return np.where(size >= 3, np.minimum(1.0, tail / UNLIKE), 1.0)


def _tail(variance: Array, n: Counts, both: Mask, size: Counts) -> Array:
    """(..., k): the probability of as large a variance, against the pool of the others, if they were equal (F test)."""
    own, others = _residual(variance, both, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(others > 0, own / others, np.where(own > 0, 1e12, 1.0))
    df = np.maximum(n.max(-1) - 1.0, 1.0)
    return np.where(
        size >= 3, scipy.special.fdtrc(df, np.maximum((size - 2) * df, 1.0), np.clip(ratio, 0.0, 1e12)), 1.0
    )


def _residual(variance: Array, both: Mask, size: Counts) -> tuple[Array, Array]:
    """(..., k) each: a configuration's variance around the mean of the others, and the pooled variance of the others.

    Both are variances of one run. From the variances of differences alone, since they hold all that is needed: with h
    others, a difference to their mean has the mean of the h variances minus half the mean of the h² among the others.
    """
    row = np.where(both, variance, 0.0).sum(-1)  # (..., k): over the others
    rest = row.sum(-1, keepdims=True) - 2 * row  # among the others, each pair twice
    others = np.maximum(size - 1.0, 1.0)
    around_mean = np.maximum(row / others - rest / (2 * others**2), 0.0)
    return around_mean * others / (others + 1), rest / np.maximum(others * (others - 1), 1.0) / 2


def _pooled(variance: Array, n: Counts, both: Mask, size: Counts) -> tuple[Array, Array]:
    """(...,) each: the mean variance of a difference, and its degrees of freedom: (k - 1) (n - 1) without gaps.

    Without gaps it is twice the residual mean square of the two-way table.
    """
    weight = np.where(both, n - 1.0, 0.0)
    freedom = weight.sum((-1, -2))
    pool = (weight * variance).sum((-1, -2)) / np.where(freedom > 0, freedom, 1.0)
    return pool, freedom / np.maximum(size, 1)


def _outer(mask: Mask) -> Mask:
    return mask[..., :, None] & mask[..., None, :]
