"""Critical values of simultaneous intervals of all pairs of k configurations: Tukey's studentized range.

Tukey 1953, "The Problem of Multiple Comparisons". It assumes differences of equal variance, of which one estimate is
shared. Computed by fixed quadrature, so that the same data give the same digits. t here is a difference ÷ its standard
error: the studentized range ÷ √2. With k = 2 it is Student's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
import scipy  # whose parts are imported once they are asked for: many a report needs none
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]

_Z, _Z_WEIGHT = np.polynomial.legendre.leggauss(96)  # for the largest mean, in standard deviations
_Z = 8 * _Z
_Z_WEIGHT = _Z_WEIGHT * np.exp(-(_Z**2) / 2) / (_Z_WEIGHT @ np.exp(-(_Z**2) / 2))
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
    each = k * _power(_below() - scipy.special.ndtr(_Z - edge), k - 1)
    inside = np.clip(each @ _Z_WEIGHT, 0.0, 1.0)  # (64,): given s
    return float(np.clip(weight @ (1 - inside), 0.0, 1.0))


@cache
def _below() -> Array:
    """The distribution function of one mean at the nodes."""
    return np.asarray(scipy.special.ndtr(_Z))


def _power(base: Array, exponent: int) -> Array:
    """A whole power by repeated squaring, which is five times as fast as that of NumPy."""
    result, square = np.ones_like(base), base
    while exponent:
        if exponent % 2:
            result = result * square
        exponent //= 2
        square = square * square
    return result


@lru_cache(maxsize=4096)
def _scale(df: float) -> tuple[Array, Array]:
    """Nodes and weights for sqrt(chi² / df), over the logarithm of chi² between its extreme quantiles."""
    low, high = (
        math.log(2 * scipy.special.gammaincinv(df / 2, 1e-9)),
        math.log(2 * scipy.special.gammainccinv(df / 2, 1e-13)),
    )
    x = low + (high - low) * (_U + 1) / 2
    density = np.exp(df / 2 * x - np.exp(x) / 2 - df / 2 * math.log(2) - scipy.special.gammaln(df / 2))  # of log chi²
    weight = _U_WEIGHT * density
    return np.exp(x / 2) / math.sqrt(df), weight / weight.sum()


@lru_cache(maxsize=256)
def _table(level: float, k: int) -> Callable[[Array], Array]:
    """log of the critical value as a function of 1 / df, which is smooth."""
    inverse = (1 - np.cos(np.linspace(0, math.pi, _NODES))) / 2  # from 0 to 1, dense at both ends
    inverse = np.maximum(inverse, 1 / _LARGEST)
    logarithms: list[float] = []
    for x in inverse:
        near = math.exp(float(np.polyval(np.polyfit(range(-3, 0), logarithms[-3:], 2), 0))) if logarithms[2:] else None
        logarithms.append(math.log(_exact(level, k, 1 / x, near)))
    return _spline(inverse, np.array(logarithms))


def _spline(x: Array, y: Array) -> Callable[[Array], Array]:
    """The cubic spline through some points, "not-a-knot": its third derivative is continuous at the last but one."""
    h, slope, n = np.diff(x), np.diff(y) / np.diff(x), len(x)
    equations, right = np.zeros((n, n)), np.zeros(n)  # of the second derivatives
    for i in range(1, n - 1):
        equations[i, i - 1 : i + 2] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        right[i] = 6 * (slope[i] - slope[i - 1])
    equations[0, :3] = h[1], -(h[0] + h[1]), h[0]
    equations[-1, -3:] = h[-1], -(h[-2] + h[-1]), h[-2]
    second = np.linalg.solve(equations, right)
    first = slope - h * (2 * second[:-1] + second[1:]) / 6
    third = np.diff(second) / h

    def value(at: Array) -> Array:
        i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, n - 2)
        d = at - x[i]
        return np.asarray(y[i] + d * (first[i] + d * (second[i] / 2 + d * third[i] / 6)))

    return value


def _exact(level: float, k: int, df: float, near: float | None = None) -> float:
    """Between the critical values of one comparison and of Bonferroni's inequality for all of them.

    Args:
        near: about where it is, if that is known, which saves half the time.
    """
    low, high = (float(scipy.special.stdtrit(df, 1 - level / 2 / number)) for number in (1, k * (k - 1) / 2))
    if k == 2:
        return low

    def above(t: float) -> float:
        return math.log(max(_exceedance(t, k, df), 1e-300) / level)

    if near is not None:
        ends = (0.999 * near, above(0.999 * near)), (1.001 * near, above(1.001 * near))
        if ends[0][1] > 0 > ends[1][1]:
            return _root(above, *ends)
    return _root(above, (0.99 * low, above(0.99 * low)), (1.01 * high, above(1.01 * high)))


def _root(function: Callable[[float], float], low: tuple[float, float], high: tuple[float, float]) -> float:
    """Where a falling function is 0, between two points, to 1e-10: by the Illinois method (Dowell & Jarratt 1971)."""
    (a, of_a), (b, of_b) = low, high
    last, side = math.inf, 0
    while True:
        x = (a * of_b - b * of_a) / (of_b - of_a)
        of_x = function(x)
        if abs(x - last) < 1e-10 or of_x == 0:
            return x
        last = x
        if of_x > 0:
            a, of_a = x, of_x
            of_b, side = (of_b / 2, 1) if side == 1 else (of_b, 1)
        else:
            b, of_b = x, of_x
            of_a, side = (of_a / 2, -1) if side == -1 else (of_a, -1)
