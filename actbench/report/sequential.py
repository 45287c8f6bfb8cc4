"""At which level each look at the results is made, so that looking again after more seeds is paid for."""

from __future__ import annotations

FIRST = 0.02
SECOND = 0.011


def level(look: int) -> float:
    """The level of the intervals of a look: 1 for the first, 2 for the one after more seeds, and so on without end.

    Where configurations vary alike, the probability that the interval of any pair excludes the truth at any look is 5 %
    at most, whenever one stops; where they do not and few seeds hide that, up to 7 % (`report.pooling`). The
    first look has as little of it as it can spare: of six configurations with five seeds each, one that is 2 standard
    deviations worse than the others is still seen in 6 of 10 studies. (Paired t-tests with Holm's correction see a
    difference of that size in 3 of 10, but between one pair; so would these intervals.) From the second look on it is
    0.011 (2 / look)^(3/4), for any number of looks, at numbers of seeds that need not be planned. Among powers from 0
    to 1.5, each with as large a factor as the 5 % allow, that one has races over the reference of BENCHMARKS.md decided
    most often, after about the fewest trainings (`scripts/simulate.py --only race` simulates them).

    That looks share their seeds is used: the levels add up to more than 5 %, but their errors largely coincide. Held by
    simulation (`--only looks`) for schedules whose steps are small (5, 6, 7, ..., 40), even (5, 10, ..., 40) or growing
    (by 1.5, 1.6, 2 and 3), with two and with six configurations: 4 to 5 %.

    Why not one of the published ones: spending functions (Lan & DeMets 1983, doi:10.1093/biomet/70.3.659) need the
    largest number of seeds in advance, Pocock's constant level (1977, doi:10.1093/biomet/64.2.191) the number of looks
    (six at 1.4 %), and the rule of Haybittle and Peto saves the level for a last look that is not known here to be the
    last. Confidence sequences (Wang & Ramdas, arXiv:2310.03722, for the t) need neither, but cost at each look what
    allows for infinitely many: a normal mixture at its best near ten seeds has a half-width of 3.0 to 3.1 standard
    errors from 5 to 40 seeds, against 2.3 at the first look here and 2.5 to 2.8 at the next five.

    >>> level(1), level(2), round(level(5), 6)
    (0.02, 0.011, 0.005533)
    """
    if look < 1:
        raise ValueError(f"looks are counted from 1, not {look}")
    return FIRST if look == 1 else SECOND * (2 / look) ** 0.75
