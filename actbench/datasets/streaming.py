"""Samples that are not held in memory: rows of an array on disk, read and scaled when a batch asks for them.

Which rows a batch has is drawn as for samples in memory, and each is scaled by the same arithmetic, so training sees
the same bits. No worker processes are needed: what was read lately stays in the system's cache of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rows = Any  # a slice, or an array of row numbers


class Stored:
    """Some rows of an array, most of which may be on disk (`numpy.memmap`); as much of an array as is needed of it.

    Args:
        array: (M, ...), never written to.
        why: it is not in memory, or not on the device: for whoever asks what training did.
        rows: numbers of the rows (N,), in their order; None for all of them.
    """

    def __init__(self, array: np.ndarray, why: str, rows: np.ndarray | None = None) -> None:
        self.why = why
        self.array, self.rows = array, np.arange(len(array)) if rows is None else rows

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape (N, ...)."""
        return (len(self.rows), *self.array.shape[1:])

    @property
    def size(self) -> int:
        """How many numbers there are in all."""
        return int(np.prod(self.shape))

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        """Their type."""
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Rows) -> np.ndarray:
        """A copy of some rows in memory."""
        return np.asarray(self.array[self.rows[rows]])

    def take(self, rows: Rows) -> Stored:
        """Some of the rows, which are not read."""
        return Stored(self.array, self.why, self.rows[rows])


def taken(x: np.ndarray | Stored, rows: Rows) -> Any:
    """Some rows of either."""
    return x.take(rows) if isinstance(x, Stored) else x[rows]


class Streamed:
    """What `Splits` has in the place of a tensor: samples (N, ...) in float32 that are made when they are asked for.

    Args:
        stored: the numbers before they are scaled.
        scaled: makes a tensor in float32 of some rows of these.
        device: on which samples are returned.
    """

    dtype = torch.float32

    def __init__(
        self, stored: Stored, scaled: Callable[[np.ndarray], Tensor], device: torch.device | str = "cpu"
    ) -> None:
        self.stored, self.scaled, self.device = stored, scaled, torch.device(device)

    @property
    def shape(self) -> torch.Size:
        """The shape (N, ...)."""
        return torch.Size(self.stored.shape)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.stored.ndim

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """The samples of a slice or of row numbers (n,)."""
        chosen = rows if isinstance(rows, slice) else rows.cpu().numpy()
        return self.scaled(self.stored[chosen]).to(self.device)

    def split(self, size: int) -> Iterator[Tensor]:
        """All samples in their order, `size` at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def to(self, device: torch.device) -> Streamed:
        """The same samples, returned on another device."""
        return Streamed(self.stored, self.scaled, device)


def streamed(x: Tensor | Streamed, why: str) -> Streamed:
    """Samples that stay in the machine's memory, for a device that has no room for them."""
    return x if isinstance(x, Streamed) else Streamed(Stored(x.numpy(), why), torch.from_numpy)
