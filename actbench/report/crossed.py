"""What other test images would change: the images' part of the variance of a difference in accuracy.

Each seed classifies the same images, so seeds and images are crossed, and the variance of a mean over both is that of a
two-way table with random rows and columns (Owen 2007, "The pigeonhole bootstrap", doi:10.1214/07-AOAS122).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def image_variance(correct: NDArray[np.bool_], common: NDArray[np.bool_]) -> Array:
    """The variance that the choice of the test images adds to each difference, in squared percentage points.

    For the difference d[s, x] of two configurations at seed s and image x, with the mean squares of columns (images)
    and residuals of the two-way table of n seeds and m images: max(0, MS_images - MS_residual) / (n m). Together with
    the seeds' MS_seeds / (n m) this is an unbiased estimate of the variance of the mean difference for new seeds and
    new images.

    Args:
        correct: (..., k, n, m), whether each seed of each of k configurations classified each image correctly.
        common: (..., k, k, n), the seeds that both of two configurations have.

    Returns:
        (..., k, k); 0 where two have fewer than two seeds or there are fewer than two images.
    """
    n, m = common.sum(-1), correct.shape[-1]  # (..., k, k)
    total = np.zeros(common.shape[:-1])  # sum of squares of d over seeds and images
    by_seed = np.zeros(common.shape[:-1])  # sum of squares over seeds of the sum of d over images
    overall = np.zeros(common.shape[:-1])  # sum of d
    for seed in range(correct.shape[-2]):
        x = correct[..., seed, :]  # (..., k, m)
        of_pair, right = _squared_distances(x), x.sum(-1, dtype=float)
        gap = right[..., :, None] - right[..., None, :]
        counted = common[..., seed]
        total += counted * of_pair
        by_seed += counted * gap**2
        overall += counted * gap
    by_image = _sums_over_seeds(correct, common)  # sum of squares over images of the sum of d over seeds
    rows, columns = np.maximum(n, 1), m
    correction = overall**2 / (rows * columns)
    ss_images, ss_seeds = by_image / rows - correction, by_seed / columns - correction
    ss_residual = np.maximum(total - correction - ss_images - ss_seeds, 0.0)
    usable = (n >= 2) & (m >= 2)
    ms_images = ss_images / max(m - 1, 1)
    ms_residual = ss_residual / np.maximum((n - 1) * (m - 1), 1)
    return np.where(usable, 1e4 * np.maximum(ms_images - ms_residual, 0.0) / (rows * columns), 0.0)


def _sums_over_seeds(correct: NDArray[np.bool_], common: NDArray[np.bool_]) -> Array:
    """(..., k, k): the squared distance of two configurations, each summed over the seeds that they have in common."""
    result = np.zeros(common.shape[:-1])
    for seeds in np.unique(common.reshape(-1, common.shape[-1]), axis=0):  # mostly one: all have all seeds
        summed = correct[..., seeds, :].sum(-2, dtype=np.float32)  # (..., k, m)
        result = np.where((common == seeds).all(-1), _squared_distances(summed), result)
    return result


def _squared_distances(x: NDArray[Any]) -> Array:
    """(..., k, m) -> (..., k, k): the squared Euclidean distances, exact for the small integers here."""
    x = x.astype(np.float32 if x.dtype == bool and x.shape[-1] < 2**24 else float)
    products = (x @ np.swapaxes(x, -1, -2)).astype(float)
    squares = np.diagonal(products, axis1=-2, axis2=-1)
    return squares[..., :, None] + squares[..., None, :] - 2 * products
