"""Numbers and lists as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from actbench.records import Estimate, decimal


def mean(estimate: Estimate, digits: int, scale: float = 1.0) -> str:
    """`98.07`; a dash where there is no value."""
    return "–" if estimate.mean is None else decimal(scale * estimate.mean, digits)


def minus(text: str) -> str:
    """The same with a typographic minus: `−0.02 ± 0.01`."""
    return text.replace("-", "−")


def signed(value: float | None) -> str:
    """`+0.21`, with a typographic minus; `0.00` has no sign.

    >>> signed(0.214), signed(-0.004)
    ('+0.21', '0.00')
    """
    if value is None:
        return "–"
    text = minus(decimal(value, 2))
    return text if value < 0 or not text.strip("0.") else f"+{text}"


def ends(low: float, high: float) -> str:
    """`+0.10 to +0.32`, rounded outwards; an end that is not finite is a dash.

    With more digits next to 0, so that the text excludes 0 exactly if the interval does:

    >>> ends(-0.104, 0.021), ends(-0.2, -0.0034), ends(-0.2, 0.0)
    ('−0.11 to +0.03', '−0.20 to −0.003', '−0.20 to 0.00')
    """
    return f"{_outwards(low, math.floor)} to {_outwards(high, math.ceil)}"


def _outwards(value: float, rounded: Callable[[float], int]) -> str:
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0.00"
    digits = 2
    while not rounded(round(value * 10**digits, 6)) and digits < 9:
        digits += 1
    return minus(f"{rounded(round(value * 10**digits, 6)) / 10**digits:+.{digits}f}")


def p_value(p: float | None) -> str:
    """Three digits; `< 0.001` below."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def seconds(value: float) -> str:
    """`1.25`, or two significant digits below a tenth of a second."""
    return "–" if not math.isfinite(value) else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def thousands(value: float) -> str:
    """`407k`: three significant digits."""
    if not math.isfinite(value):
        return "–"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def seed_range(seeds: Sequence[int]) -> str:
    """`0–4`, or `3` for one seed alone."""
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"


def listed(names: Sequence[str], at_most: int = 8) -> str:
    """`a, b and c`; beyond `at_most` the rest is counted."""
    if len(names) > at_most:
        return ", ".join(names[:at_most]) + f" and {len(names) - at_most} more"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def count(number: int, noun: str) -> str:
    """`1 setting`, `2 settings`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def points(value: float) -> str:
    """`0.1 points`, `1 point`: percentage points in as few digits as they have."""
    return f"{value:g} point{'' if value == 1 else 's'}"


def duration(seconds: float) -> str:
    """Roughly how long something takes: `40 seconds`, `2 minutes`, `3 hours`, `2 days`."""
    for size, noun in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return count(round(seconds / size), noun)
    return count(max(1, round(seconds)), "second")
