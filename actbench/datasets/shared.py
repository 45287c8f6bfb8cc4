"""Data that several jobs of a process share, and whether one of them has written to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from actbench.datasets.splits import Splits


@dataclass(frozen=True)
class _Seal:
    """What a tensor was when it was loaded: torch's counter of operations in place, and the sum of its bits."""

    version: int
    bits: int | None  # None: not taken


_SEALS: WeakIdKeyDictionary = WeakIdKeyDictionary()  # Splits -> name of a tensor -> its seal


def seal(splits: Splits, *, thorough: bool) -> Splits:
    """Remembers how the tensors of `splits` are now; returns `splits`.

    With `thorough` also their bits, which are changed past torch's counter through `.data` or `.numpy()`: a few
    milliseconds, due where code that is not ours gets to them.
    """
    _SEALS[splits] = {name: _Seal(x._version, _bits(x) if thorough else None) for name, x in _tensors(splits).items()}
    return splits


def is_untouched(splits: Splits) -> bool:
    """Whether the tensors of sealed splits are as they were; true of those that were never sealed."""
    seals = _SEALS.get(splits, {})
    return all(_holds(seals[name], x) for name, x in _tensors(splits).items() if name in seals)


def _holds(seal: _Seal, x: Tensor) -> bool:
    return x._version == seal.version and (seal.bits is None or seal.bits == _bits(x))


def _tensors(splits: Splits) -> dict[str, Tensor]:
    return {name: value for name, value in vars(splits).items() if isinstance(value, Tensor)}


def _bits(x: Tensor) -> int:
    """The sum of the bits, eight bytes at a time, modulo 2^64."""
    plain = x.detach().contiguous().flatten().view(torch.uint8)
    whole = len(plain) // 8 * 8
    return int(plain[:whole].view(torch.int64).sum()) + int(plain[whole:].sum())
