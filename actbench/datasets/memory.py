"""Whether samples fit into the machine's memory, before they are read."""

from __future__ import annotations

import os
from math import prod

from actbench.errors import UserError

_SHARE = 0.8  # of the memory: the system and the training need some as well


def check_fits(samples: int, shape: tuple[int, ...], where: str) -> None:
    """Raises a UserError if so many samples, as float32 and once more as they were read, are more than there is."""
    memory = _memory()
    needed = samples * prod(shape) * (4 + 1)
    if memory is not None and needed > _SHARE * memory:
        what = (
            f"{samples:,} samples of {' × '.join(map(str, shape))} take {needed / 1e9:,.1f} GB, "
            f"and this machine has {memory / 1e9:,.1f}"
        )
        how = "data are held in memory: a smaller dataset.size, or fewer samples"
        raise UserError(what, where=where, how=how)


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
