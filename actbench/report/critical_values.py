"""Critical values of simultaneous intervals of all pairs of k configurations: Tukey's studentized range.

Tukey 1953, "The Problem of Multiple Comparisons". It assumes differences of equal variance, of which one estimate is
shared. Computed by fixed quadrature, so that the same data give the same digits. t here is a difference ÷ its standard
error: the studentized range ÷ √2. With k = 2 it is Student's.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, optimize, special

Array = NDArray[np.floating[Any]]

_Z, _Z_WEIGHT = np.polynomial.legendre.leggauss(96)  # for the largest mean, in standard deviations
_Z = 8 * _Z
_Z_WEIGHT = _Z_WEIGHT * np.exp(-(_Z**2) / 2) / (_Z_WEIGHT @ np.exp(-(_Z**2) / 2))
_BELOW = special.ndtr(_Z)
_U, _U_WEIGHT = np.polynomial.legendre.leggauss(64)  # for the estimate of the standard deviation
_LARGEST = 1e6  # degrees of freedom: the normal distribution
_NODES = 48  # of the table of critical values


def exceedance(t: ArrayLike, k: int, df: ArrayLike) -> Array:
    """The probability that the largest |t| of all pairs of `k` is above t, if all true means are equal; elementwise.

    >>> float(exceedance(2.57058, 2, 5).round(4))  # Student's t
    0.05
    """
    values, freedom = np.broadcast_arrays(np.asarray(t, dtype=float), np.minimum(np.asarray(df, dtype=float), _LARGEST))
    pairs = zip(values.ravel(), freedom.ravel(), strict=True)
    return np.array([_exceedance(float(x), k, float(f)) for x, f in pairs]).reshape(values.shape)


def critical(level: float, k: int, df: ArrayLike) -> Array:
    """The value that the largest |t| of all pairs of `k` exceeds with probability `level`; elementwise over `df` >= 1.

    >>> float(critical(0.05, 6, 20).round(3))  # Tukey's 4.445 / √2
    3.143
    """
    inverse = 1 / np.clip(np.asarray(df, dtype=float), 1.0, _LARGEST)
    return np.asarray(np.exp(_table(level, k)(inverse)))


def matching_df(edge: ArrayLike, level: float, k: int) -> Array:
    """The degrees of freedom at which `critical` is `edge`; elementwise, between 1 and infinitely many."""
    df = 1 / np.maximum(np.linspace(0, 1, 4097), 1 / _LARGEST)
    return np.asarray(1 / np.interp(np.asarray(edge), critical(level, k, df), 1 / df))


def _exceedance(t: float, k: int, df: float) -> float:
    """The expectation over s, the estimated ÷ the true standard deviation."""
    if not t > 0:
        return 1.0
    s, weight = _scale(df)
    edge = math.sqrt(2) * t * s[:, None]  # (64, 1): in standard deviations of one mean
    # One mean is the largest, z, and all others are within the range below it.
    each = k * (_BELOW - special.ndtr(_Z - edge)) ** (k - 1)
    inside = np.clip(each @ _Z_WEIGHT, 0.0, 1.0)  # (64,): given s
    return float(np.clip(weight @ (1 - inside), 0.0, 1.0))


@lru_cache(maxsize=4096)
def _scale(df: float) -> tuple[Array, Array]:
    """Nodes and weights for sqrt(chi² / df), over the logarithm of chi² between its extreme quantiles."""
    low, high = math.log(2 * special.gammaincinv(df / 2, 1e-9)), math.log(2 * special.gammainccinv(df / 2, 1e-13))
    x = low + (high - low) * (_U + 1) / 2
    density = np.exp(df / 2 * x - np.exp(x) / 2 - df / 2 * math.log(2) - special.gammaln(df / 2))  # of log chi²
    weight = _U_WEIGHT * density
    return np.exp(x / 2) / math.sqrt(df), weight / weight.sum()


@lru_cache(maxsize=256)
def _table(level: float, k: int) -> interpolate.CubicSpline:
    """log of the critical value as a function of 1 / df, which is smooth."""
    inverse = (1 - np.cos(np.linspace(0, math.pi, _NODES))) / 2  # from 0 to 1, dense at both ends
    inverse = np.maximum(inverse, 1 / _LARGEST)
    logarithms: list[float] = []
    for x in inverse:
        near = math.exp(float(np.polyval(np.polyfit(range(-3, 0), logarithms[-3:], 2), 0))) if logarithms[2:] else None
        logarithms.append(math.log(_exact(level, k, 1 / x, near)))
    return interpolate.CubicSpline(inverse, logarithms)


def _exact(level: float, k: int, df: float, near: float | None = None) -> float:
    """Between the critical values of one comparison and of Bonferroni's inequality for all of them.

    Args:
        near: about where it is, if that is known, which saves half the time.
    """
    low, high = (float(special.stdtrit(df, 1 - level / 2 / number)) for number in (1, k * (k - 1) / 2))
    if k == 2:
        return low

    def above(t: float) -> float:
        return _exceedance(t, k, df) - level

    ends = (0.99 * low, 1.01 * high)
    if near is not None and above(0.998 * near) > 0 > above(1.002 * near):
        ends = (0.998 * near, 1.002 * near)
    return float(optimize.brentq(above, *ends, xtol=1e-10))
