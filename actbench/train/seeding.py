"""A random generator for each seed and purpose, so that no use of random numbers affects another.

This is what makes comparisons paired: for a given seed, every activation starts from the same random numbers and sees
the same batches, whether or not something else (dropout, augmentation) uses random numbers as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch

Purpose = Literal["init", "order", "dropout", "augment"]


def derive(seed: int, purpose: Purpose) -> int:
    """A 63-bit seed that depends on both arguments. Those of consecutive seeds are as unrelated as any two."""
    digest = hashlib.sha256(f"actbench/{purpose}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: Purpose, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one seed and purpose, on `device`."""
    return torch.Generator(device).manual_seed(derive(seed, purpose))


def generators(seeds: Sequence[int], purpose: Purpose, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """One generator for each of `seeds`, all for one purpose."""
    return [generator(seed, purpose, device) for seed in seeds]


@contextmanager
def global_seed(seed: int, purpose: Purpose) -> Iterator[None]:
    """Within the block, torch's global CPU generator starts from the seed; afterwards its state is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, purpose))
        yield
