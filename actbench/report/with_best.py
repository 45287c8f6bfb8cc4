"""Multiple comparisons with the best (Hsu 1984, doi:10.1214/aos/1176346733), from simultaneous intervals.

On one event of probability 1 - level, with b the configuration that is truly best,

    |D[b, j] - (θ_b - θ_j)| ≤ h[b, j] for all j

where D[i, j] is the mean difference of i and j, paired by seed, and h[i, j] the half-width of its interval. Then

- b is in G, those that may be the best: {i: D[i, j] + h[i, j] > 0 for all j ≠ i};
- i minus the best of the others is at least min {D[i, b] - h[i, b]: b in G, b ≠ i}; where G is {i}, so that i is b, it
  is at least 0 and at least min {D[i, j] - h[i, j]: j ≠ i};
- it is at most max {min(0, D[i, b] + h[i, b]): b in G} where i is not in G, and for i in G at most
  min {D[i, j] + h[i, j]: j ≠ i}, which is above 0: if i is not b, the truth is below 0 anyway.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actbench.report.simultaneous import Differences

Floats = NDArray[np.float64]


def with_the_best(d: Differences) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """For each of k ≥ 2 configurations: its mean minus that of the best of the others, the ends of its interval, and
    whether it may be the best; each (k,), in percentage points.

    Gaps in the seeds make it possible that each is worse than another one: then any may be the best.
    """
    known = vars(d)  # each undecided configuration asks again, and of 300 that takes longer than the verdict
    if "_with_the_best" not in known:
        known["_with_the_best"] = _with_the_best(d)
    found: tuple[Floats, Floats, Floats, NDArray[np.bool_]] = known["_with_the_best"]
    return found


def _with_the_best(d: Differences) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    others = ~np.eye(len(d.mean), dtype=bool)  # (k, k)
    difference = np.where(others, d.mean, np.inf).min(1)
    upper, lower = np.where(others, d.high, np.inf), np.where(others, d.low, np.inf)
    best = np.logical_and.reduce(upper > 0, axis=1)  # (k,)
    if not best.any():
        best[:] = True
    rivals = others & best  # [i, b]: b may be the best of the others
    low = np.where(rivals.any(1), np.where(rivals, lower, np.inf).min(1), np.maximum(lower.min(1), 0))
    high = np.where(best, upper.min(1), np.where(rivals, np.minimum(upper, 0), -np.inf).max(1))
    return difference, np.minimum(low, difference), np.maximum(high, difference), best
