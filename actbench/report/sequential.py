"""At which level each look at the results is made, so that looking again after more seeds is paid for."""

from __future__ import annotations

FIRST = 0.04
SECOND = 0.005


def level(look: int) -> float:
    """The level of the intervals of a look: 1 for the first, 2 for the one after more seeds, and so on without end.

    The probability that any interval of any look excludes the truth is 5 % at most, whenever one stops. The first look
    gets most of it, since most studies are looked at once, and nobody should pay for a race that is not run; from the
    second on it is 0.005 (2 / look)^1.5, for any number of looks, at numbers of seeds that need not be planned. That
    looks share their seeds is used: the levels add up to more than 5 %, but their errors largely coincide. Held by
    simulation (`scripts/simulate.py --only looks`) for schedules whose steps are small (5, 6, 7, ..., 40), even
    (5, 10, ..., 40) or growing (by 1.5, 2 and 3), with two and with six configurations, where it is 4 to 5 %.

    Why not one of the published ones: spending functions (Lan & DeMets 1983, doi:10.1093/biomet/70.3.659) need the
    largest number of seeds in advance, Pocock's constant level (1977, doi:10.1093/biomet/64.2.191) the number of looks
    (six at 1.4 %), and the rule of Haybittle and Peto saves the level for a last look that is not known here to be the
    last. Confidence sequences (Wang & Ramdas, arXiv:2310.03722, for the t) need neither, but cost at each look what
    allows for infinitely many: a normal mixture at its best near ten seeds has a half-width of 3.0 to 3.1 standard
    errors from 5 to 40 seeds, against 2.05 at the first look here and 2.8 to 3.3 at the next five.

    >>> level(1), level(2), round(level(5), 6)
    (0.04, 0.005, 0.001265)
    """
    if look < 1:
        raise ValueError(f"looks are counted from 1, not {look}")
    return FIRST if look == 1 else SECOND * (2 / look) ** 1.5
