"""Critical values of simultaneous intervals: of several |t| with one control (Dunnett), or of all pairs (Tukey).

Dunnett 1955, "A Multiple Comparison Procedure for Comparing Several Treatments with a Control"
(doi:10.1080/01621459.1955.10501294); Tukey 1953, the studentized range. Both assume differences of equal variance, of
which one estimate is shared. Computed by fixed quadrature, so that the same data give the same digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, optimize, special

Array = NDArray[np.floating[Any]]

_Z, _Z_WEIGHT = np.polynomial.hermite_e.hermegauss(64)  # for the mean that comparisons have in common
_Z_WEIGHT = _Z_WEIGHT / math.sqrt(2 * math.pi)
_U, _U_WEIGHT = np.polynomial.legendre.leggauss(64)  # for the estimate of the standard deviation
_LARGEST = 1e6  # degrees of freedom: the normal distribution
_NODES = 48  # of the table of critical values


class Family(NamedTuple):
    """The comparisons whose intervals hold together: `size` with each control, or all pairs of `size` configurations.

    With several controls, those with one and those with another are taken as independent. The probability that all hold
    is at least that (the Gaussian correlation inequality, Royen 2014, arXiv:1408.1028).
    """

    kind: Literal["control", "pairs"]
    size: int
    controls: int = 1

    @property
    def comparisons(self) -> int:
        """Their number; a pair of two controls counts once."""
        if self.kind == "pairs":
            return self.size * (self.size - 1) // 2
        return self.controls * self.size - self.controls * (self.controls - 1) // 2


def exceedance(t: ArrayLike, family: Family, df: ArrayLike) -> Array:
    """The probability that the largest |t| of the family is above t, if all true differences are 0; elementwise.

    >>> float(exceedance(2.57058, Family("control", 1), 5).round(4))  # Student's t
    0.05
    >>> float(exceedance(2.73, Family("control", 5), 20).round(2))  # Dunnett 1964, table II
    0.05
    """
    values, freedom = np.broadcast_arrays(np.asarray(t, dtype=float), np.minimum(np.asarray(df, dtype=float), _LARGEST))
    pairs = zip(values.ravel(), freedom.ravel(), strict=True)
    return np.array([_exceedance(float(x), family, float(f)) for x, f in pairs]).reshape(values.shape)


def critical(level: float, family: Family, df: ArrayLike) -> Array:
    """The value that the largest |t| of the family exceeds with probability `level`; elementwise over `df` (1 or more).

    >>> float(critical(0.05, Family("control", 5), 20).round(2))  # Dunnett 1964, table II
    2.73
    >>> float(critical(0.05, Family("pairs", 6), 20).round(3))  # Tukey's 4.445 / √2
    3.143
    """
    inverse = 1 / np.clip(np.asarray(df, dtype=float), 1.0, _LARGEST)
    return np.asarray(np.exp(_table(level, family)(inverse)))


def matching_df(edge: ArrayLike, level: float, family: Family) -> Array:
    """The degrees of freedom at which `critical` is `edge`; elementwise, between 1 and infinitely many."""
    df = 1 / np.maximum(np.linspace(0, 1, 4097), 1 / _LARGEST)
    return np.asarray(1 / np.interp(np.asarray(edge), critical(level, family, df), 1 / df))


def narrowest(level: float, families: Sequence[Family]) -> Family:
    """Of families that have the comparisons in question, the one with the smallest critical value."""
    return min(families, key=lambda family: _exact(level, family, 100.0))


def _exceedance(t: float, family: Family, df: float) -> float:
    """The expectation over s, the estimated ÷ the true standard deviation."""
    if not t > 0:
        return 1.0
    s, weight = _scale(df)
    edge = math.sqrt(2) * t * s[:, None]  # (64, 1): in standard deviations of one mean
    if family.kind == "control":  # given the control's mean z, the other means are independent
        each = (special.ndtr(edge - _Z) - special.ndtr(-edge - _Z)) ** family.size
    else:  # one mean is the largest, z, and all others are within the range below it
        each = family.size * (special.ndtr(_Z) - special.ndtr(_Z - edge)) ** (family.size - 1)
    inside = np.clip(each @ _Z_WEIGHT, 0.0, 1.0) ** family.controls  # (64,): given s
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
def _table(level: float, family: Family) -> interpolate.CubicSpline:
    """log of the critical value as a function of 1 / df, which is smooth."""
    inverse = (1 - np.cos(np.linspace(0, math.pi, _NODES))) / 2  # from 0 to 1, dense at both ends
    inverse = np.maximum(inverse, 1 / _LARGEST)
    return interpolate.CubicSpline(inverse, np.log([_exact(level, family, 1 / x) for x in inverse]))


def _exact(level: float, family: Family, df: float) -> float:
    """Between the critical values of one comparison and of Bonferroni's inequality, which bounds any number of them."""
    if family.comparisons == 1:
        return float(special.stdtrit(df, 1 - level / 2))
    most = family.controls * family.size if family.kind == "control" else family.comparisons
    low, high = (float(special.stdtrit(df, 1 - level / 2 / number)) for number in (1, most))
    return float(optimize.brentq(lambda t: _exceedance(t, family, df) - level, 0.99 * low, 1.01 * high, xtol=1e-10))
