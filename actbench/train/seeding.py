"""One random generator for each seed and purpose, so that no use of randomness disturbs another.

That is what makes comparisons paired: for one seed number every activation starts from the same draws and sees the same
batches, whether or not something else (dropout, augmentation) draws as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch

Purpose = Literal["init", "order", "dropout", "augment"]


def derive(seed: int, purpose: Purpose) -> int:
    """A 63-bit seed that depends on both arguments; neighbours in `seed` are as unrelated as any two."""
    digest = hashlib.sha256(f"actbench/{purpose}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: Purpose, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one seed for one purpose, on `device`."""
    return torch.Generator(device).manual_seed(derive(seed, purpose))


def generators(seeds: Sequence[int], purpose: Purpose, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """One generator for each of `seeds`."""
    return [generator(seed, purpose, device) for seed in seeds]


@contextmanager
def global_seed(seed: int, purpose: Purpose) -> Iterator[None]:
    """Within the block torch's global CPU generator starts from the seed; afterwards it is what it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, purpose))
        yield
