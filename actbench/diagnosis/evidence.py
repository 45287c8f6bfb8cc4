"""Formats the figures of a finding: `74.8 % (seeds 70.1–78.3 %)`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from actbench.records import decimal


def finite(values: Iterable[float]) -> list[float]:
    """Those of `values` that are neither infinite nor NaN."""
    return [value for value in values if math.isfinite(value)]


def mean(values: Iterable[float]) -> float:
    """The mean of the finite values; NaN if there are none."""
    kept = finite(values)
    return math.fsum(kept) / len(kept) if kept else math.nan


def layers_from(values: Mapping[str, Sequence[float]], limit: float) -> list[str]:
    """The layers whose mean over seeds is `limit` or more, the worst first.

    >>> layers_from({"hidden1": [0.2, 0.4], "hidden2": [0.9], "hidden3": [0.5]}, 0.4)
    ['hidden2', 'hidden3']
    """
    means = {layer: mean(of_seeds) for layer, of_seeds in values.items()}
    return sorted((layer for layer in means if means[layer] >= limit), key=lambda layer: -means[layer])


def layer_named(name: str) -> str:
    """A layer as a sentence begins with it; those of a `Sequential` have numbers for names.

    >>> layer_named("hidden1"), layer_named("3")
    ('hidden1', 'layer 3')
    """
    return f"layer {name}" if name.isdigit() else name


def percent(share: float) -> str:
    """
    >>> percent(0.7478)
    '74.8 %'
    """
    return f"{100.0 * share:.1f} %"


def seeds_span(values: Sequence[float], form: str = "{:.1f}", unit: str = "") -> str:
    """The smallest and the largest over seeds; an empty string for one seed.

    >>> seeds_span([70.12, 78.3, 75.0], unit=" %")
    'seeds 70.1–78.3 %'
    """
    if len(values) < 2:
        return ""
    return f"seeds {form.format(min(values))}–{form.format(max(values))}{unit}"


def in_parentheses(*parts: str) -> str:
    """The parts that say something: ` (a; b)`, or an empty string.

    >>> in_parentheses("a", "", "b")
    ' (a; b)'
    """
    kept = [part for part in parts if part]
    return f" ({'; '.join(kept)})" if kept else ""


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "layer"), counted(3, "layer")
    ('1 layer', '3 layers')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def figure(value: float) -> str:
    """Two digits and zeros; a power of ten for what is very small, and from 100,000 on.

    >>> figure(0.0000417), figure(0.704), figure(93.7), figure(1093.7), figure(1.1e16)
    ('4.2e-05', '0.7', '94', '1,100', '1.1e16')
    """
    if 1e5 <= float(f"{abs(value):.2g}") < math.inf:
        return decimal(float(f"{value:.2g}"), None)
    return f"{float(f'{value:.2g}'):,.0f}" if 100 <= abs(value) < math.inf else f"{value:.2g}"
