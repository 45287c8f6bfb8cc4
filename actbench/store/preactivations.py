"""`preactivations.npz`: what each activation saw before and after training, and its curve.

Shape letters: L layers, S seeds, P points of a curve. In front are the two moments, before and after training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.files.reading import MB
from actbench.store import npz

FILE = "preactivations.npz"
LARGEST = 64 * MB  # that is read: 20 seeds of 4,000 layers
POINTS = 161

_LARGEST_Z = np.finfo(np.float64).max / 4  # of which there are differences, too

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Preactivations:
    """The pre-activations z of each layer over samples of the validation split, and the activations' curves.

    Attributes:
        layers: names of the L layers.
        seeds: the S seeds, none of which diverged.
        ends: (2, L, S, 2), the least and the greatest z; NaN where there is no histogram.
        counts: (2, L, S, bins), values of z in bins of equal width between them.
        shares: (2, L, S, 2), the share of z with f'(z) = 0, and that with |f'(z)| < 0.01 of the steepest slope; NaN
            where f is not elementwise.
        axes: (L, 2), the first z of a layer's curves, and the step from one to the next.
        curves: (2, L, 2, P), f and f' before training, and as learned: the median over seeds and units. NaN where the
            activation has no curve, or learns nothing.
    """

    layers: tuple[str, ...]
    seeds: tuple[int, ...]
    ends: Floats
    counts: NDArray[np.unsignedinteger[Any]]
    shares: Floats
    axes: Floats
    curves: Floats

    def z(self, layer: int) -> Floats:
        """The values of z of a layer's curves: (P,)."""
        first, step = self.axes[layer]
        return first + step * np.arange(self.curves.shape[-1])


def write(folder: Path, seen: Preactivations) -> None:
    """Writes `preactivations.npz`."""
    arrays = {
        "layers": np.array(seen.layers, dtype=np.str_),
        "seeds": np.array(seen.seeds, dtype=np.int64),
        "ends": seen.ends.astype(np.float64),
        "counts": seen.counts.astype(np.uint32),
        "shares": seen.shares.astype(np.float64),
        "axes": seen.axes.astype(np.float64),
        "curves": seen.curves.astype(np.float32),
    }
    npz.write(folder / FILE, arrays)


def read(folder: Path) -> Preactivations | None:
    """The content of `preactivations.npz`; None where there is no such file.

    Raises:
        UserError: the file is damaged, or was not written by actbench.
    """
    return npz.read(folder / FILE, LARGEST, _checked)


def _checked(content: npz.Arrays) -> Preactivations:
    names, seeds = content["layers"], content["seeds"]
    ends, counts, shares, axes, curves = (content[key] for key in ("ends", "counts", "shares", "axes", "curves"))
    floats = (ends, shares, axes, curves)
    if names.dtype.kind != "U" or seeds.dtype.kind not in "iu" or counts.dtype.kind != "u":
        raise ValueError("its arrays are of other types than actbench writes")
    if any(array.dtype.kind != "f" for array in floats) or names.ndim != 1 or seeds.ndim != 1:
        raise ValueError("its arrays are of other types than actbench writes")
    shape = (2, len(names), len(seeds))
    fit = ends.shape == shares.shape == (*shape, 2) and counts.shape[:-1] == shape and axes.shape == (len(names), 2)
    if not fit or curves.shape[:-1] != (2, len(names), 2) or min(counts.shape[-1], curves.shape[-1]) < 2:
        raise ValueError("its arrays do not fit together")
    layers = tuple(map(str, names))
    if len({*layers}) != len(layers) or len({*seeds.tolist()}) != len(seeds) or not all(map(str.isprintable, layers)):
        raise ValueError("a layer or a seed that cannot be")
    _check_numbers(ends, shares, axes)
    return Preactivations(layers, tuple(map(int, seeds)), ends, counts, shares, axes, curves)


def _check_numbers(ends: Floats, shares: Floats, axes: Floats) -> None:
    """Raises where there is a number that cannot be; z itself may be large: of a network that grows it is 1e30."""
    known = ~np.isnan(ends).all(-1)
    low, high = ends[known].T
    if not ((low < high).all() and (np.abs(ends[known]) < _LARGEST_Z).all()):
        raise ValueError("bounds of a histogram that cannot be")
    if not (np.isnan(shares) | ((shares >= 0) & (shares <= 1))).all():
        raise ValueError("a share that cannot be")
    if not ((np.abs(axes) < _LARGEST_Z).all() and (axes[:, 0] <= 0).all() and (axes[:, 1] > 1e-30).all()):
        raise ValueError("an axis that cannot be")
