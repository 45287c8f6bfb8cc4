"""Dunnett's distribution: the largest of several |t| that share one control and one estimate of the variance.

Dunnett 1955, "A Multiple Comparison Procedure for Comparing Several Treatments with a Control"
(doi:10.1080/01621459.1955.10501294). Computed by fixed quadrature, so that the same data give the same digits each time.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, optimize, special, stats

Array = NDArray[np.floating[Any]]

_Z, _Z_WEIGHT = np.polynomial.hermite_e.hermegauss(64)  # for the control's share, which all comparisons have in common
_Z_WEIGHT = _Z_WEIGHT / math.sqrt(2 * math.pi)
_U, _U_WEIGHT = np.polynomial.legendre.leggauss(64)  # for the estimate of the standard deviation
_LARGEST = 1e6  # degrees of freedom: the normal distribution
_NODES = 48  # of the table of critical values


def exceedance(t: ArrayLike, comparisons: int, df: ArrayLike) -> Array:
    """The probability that any of the `comparisons` |t| is above t, while all true differences are 0; elementwise.

    The means of equally many results with equal variances, whose differences to the control correlate with 1/2.

    >>> exceedance(2.57058, 1, 5).round(4)  # Student's t
    array(0.05)
    >>> exceedance(2.73, 5, 20).round(3)  # Dunnett 1964, table II
    array(0.05)
    """
    t, df = np.broadcast_arrays(np.asarray(t, dtype=float), np.minimum(np.asarray(df, dtype=float), _LARGEST))
    flat = [_exceedance(float(x), comparisons, float(f)) for x, f in zip(t.ravel(), df.ravel(), strict=True)]
    return np.array(flat).reshape(t.shape)


def critical(level: float, comparisons: int, df: ArrayLike) -> Array:
    """The value that the largest of the |t| exceeds with probability `level`; elementwise over `df` (1 or more).

    >>> critical(0.05, 5, 20).round(2)  # Dunnett 1964, table II
    array(2.73)
    """
    df = np.clip(np.asarray(df, dtype=float), 1.0, _LARGEST)
    return np.exp(_table(level, comparisons)(1 / df))


def _exceedance(t: float, comparisons: int, df: float) -> float:
    """The expectation over s (estimated ÷ true standard deviation) and the control's z, given which all are independent."""
    if not t > 0:
        return 1.0
    s, weight = _scale(df)
    edge = math.sqrt(2) * t * s[:, None]  # (64, 1)
    below = special.ndtr(edge - _Z) - special.ndtr(-edge - _Z)  # (64, 64): of one |t|, given s and z
    return float(np.clip(weight @ (1 - below**comparisons) @ _Z_WEIGHT, 0.0, 1.0))


@lru_cache(maxsize=4096)
def _scale(df: float) -> tuple[Array, Array]:
    """Nodes and weights for sqrt(chi² / df), over the logarithm of chi² between its extreme quantiles."""
    low, high = (math.log(x) for x in (stats.chi2.ppf(1e-9, df), stats.chi2.isf(1e-13, df)))
    x = low + (high - low) * (_U + 1) / 2
    density = np.exp(df / 2 * x - np.exp(x) / 2 - df / 2 * math.log(2) - special.gammaln(df / 2))  # of log chi²
    weight = _U_WEIGHT * density
    return np.exp(x / 2) / math.sqrt(df), weight / weight.sum()


@lru_cache(maxsize=256)
def _table(level: float, comparisons: int) -> interpolate.CubicSpline:
    """log of the critical value as a function of 1 / df, which is smooth."""
    inverse = (1 - np.cos(np.linspace(0, math.pi, _NODES))) / 2  # from 0 to 1, dense at both ends
    inverse = np.maximum(inverse, 1 / _LARGEST)
    # Between one comparison and Bonferroni's inequality, which holds for all of them.
    exact = []
    for x in inverse:
        low, high = (float(special.stdtrit(1 / x, 1 - tail)) for tail in (level / 2, level / 2 / comparisons))
        exact.append(low if comparisons == 1 else optimize.brentq(
            lambda t, df=1 / x: _exceedance(t, comparisons, df) - level, 0.99 * low, 1.01 * high, xtol=1e-10
        ))  # fmt: skip
    return interpolate.CubicSpline(inverse, np.log(exact))
