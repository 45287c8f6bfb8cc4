"""What samples are scaled by, from those of training; chunk by chunk, so that they need not be in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actbench.datasets.splits import Scaling
from actbench.datasets.streaming import Stored, Streamed

_CHUNK = 4_000_000  # values that are scaled at a time, in float64
_LEVELS = np.arange(256, dtype=np.float64)

Raw = np.ndarray | Stored  # images (N, C, H, W), sequences (N, T, F) or features (N, F)


@dataclass(frozen=True)
class Scale:
    """What is subtracted, and by what the rest is divided, in float64: (C, 1, 1) for images, else (F,)."""

    shift: np.ndarray
    divisor: np.ndarray

    def applied(self, x: Raw) -> Tensor | Streamed:
        """(x - shift) / divisor in float32; of what is not in memory, whenever it is asked for."""
        return Streamed(x, self._now) if isinstance(x, Stored) else self._now(x)

    def _now(self, x: np.ndarray) -> Tensor:
        """Computed in float64, so that large features keep their digits."""
        out = np.empty(x.shape, dtype=np.float32)
        if is_of_pixels(x):  # from a table: a third of the time for a batch; all at once takes as long either way
            levels = ((_LEVELS - self.shift[:, 0]) / self.divisor[:, 0]).astype(np.float32)  # (C, 256)
            for c in range(x.shape[1]):
                out[:, c] = levels[c][x[:, c]]
            return torch.from_numpy(out)
        start = 0
        with np.errstate(over="ignore"):
            for part in chunks(x):
                out[start : start + len(part)] = (part - self.shift) / self.divisor
                start += len(part)
        return torch.from_numpy(out)


def scale_of(x: Raw, scaling: Scaling) -> Scale:
    """What makes mean 0 and variance 1 (`standard`) or 0..1 (`unit`) of training samples, or leaves them (`none`).

    For `unit`, levels of 0..255 are divided by 255, whatever the training samples have of them, and anything else by
    what the training samples have. What is not finite was too large for `standard`.
    """
    over = (0, 2, 3) if x.ndim == 4 else tuple(range(x.ndim - 1))
    zero = np.zeros((x.shape[1], 1, 1) if x.ndim == 4 else x.shape[-1:])
    if scaling == "none":
        return Scale(zero, zero + 1)
    if scaling == "unit":
        if x.dtype == np.uint8 and extremes(x)[1] > 1:
            return Scale(zero, zero + 255)
        low, high = (end.astype(np.float64).reshape(zero.shape) for end in extremes(x, over))
        return Scale(low, np.where(high > low, high - low, 1.0))
    mean, std = _moments(x, over)
    return Scale(mean.reshape(zero.shape), np.where(std > 0, std, 1.0).reshape(zero.shape))


def extremes(x: Raw, over: tuple[int, ...] | None = None) -> tuple[Any, Any]:
    """The least and the greatest value over some axes, the first among them, or over all."""
    low, high = zip(*((part.min(axis=over), part.max(axis=over)) for part in chunks(x)), strict=True)
    return np.min(low, axis=0), np.max(high, axis=0)


def _moments(x: Raw, over: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over some axes."""
    if is_of_pixels(x):  # from how often there is each level, which is exact
        counts = sum(
            np.stack([np.bincount(part[:, c].ravel(), minlength=256) for c in range(x.shape[1])]) for part in chunks(x)
        )
        share = counts / (x.size // x.shape[1])
        mean = share @ _LEVELS  # (C,)
        return mean, np.sqrt((share * (_LEVELS - mean[:, None]) ** 2).sum(1))
    number = x.size // np.prod([side for axis, side in enumerate(x.shape) if axis not in over])
    with np.errstate(over="ignore"):
        mean = sum(np.sum(part, axis=over, dtype=np.float64) for part in chunks(x)) / number
    along = np.expand_dims(mean, over) if x.ndim == 4 else mean
    with np.errstate(over="ignore"):
        square = sum(np.sum((part - along) ** 2, axis=over) for part in chunks(x)) / number
    return np.asarray(mean), np.sqrt(square)


def is_of_pixels(x: Raw) -> bool:
    """Whether these are images of 8 bits."""
    return x.ndim == 4 and x.dtype == np.uint8


def chunks(x: Raw) -> Iterator[np.ndarray]:
    """The samples, some at a time."""
    size = max(1, _CHUNK * len(x) // max(1, x.size))
    return (x[start : start + size] for start in range(0, len(x), size))
