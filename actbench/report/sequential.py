"""At which level each look at the results is made, so that looking again after more seeds is paid for."""

from __future__ import annotations

TOTAL = 0.05  # probability that any interval of any look excludes the truth
FIRST = 0.04
LATER = 0.006


def level(look: int) -> float:
    """The level of the intervals of a look: 1 for the first, 2 for the one after more seeds, and so on without end.

    >>> level(1)
    0.04
    """
    if look < 1:
        raise ValueError(f"looks are counted from 1, not {look}")
    return FIRST if look == 1 else LATER * (2 / look) ** 1.5
