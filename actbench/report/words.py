"""Numbers and lists as a person would write them."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.records import Estimate


def signed(value: float | None) -> str:
    """`+0.21`, with a real minus."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def interval(estimate: Estimate) -> str:
    """`+0.10 to +0.32`."""
    return "–" if estimate.ci95 is None else f"{signed(estimate.ci95[0])} to {signed(estimate.ci95[1])}"


def p_value(p: float | None) -> str:
    """Three digits; `< 0.001` below."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_equals(p: float | None) -> str:
    """`p = 0.012`."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def listed(words: Sequence[str], at_most: int = 8) -> str:
    """`a, b and c`; the rest is counted."""
    if len(words) > at_most:
        return ", ".join(words[:at_most]) + f" and {len(words) - at_most} more"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def count(number: int, what: str) -> str:
    """`1 setting`, `2 settings`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
