"""The axes of accuracies and of losses: what was measured is in view, and one that trains badly squashes no other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

_LINEAR = 3.0  # with errors (or losses) further apart, as a ratio, the axis is logarithmic
_BEYOND = 300.0  # losses so many times beyond the usual extremes are off the axis


def accuracy_axis(
    axes: Axes, values: np.ndarray, ends: np.ndarray, label: str = "validation accuracy (%)",
    which: Literal["x", "y"] = "y",
) -> None:  # fmt: skip
    """Limits, scale, ticks and label of an axis of accuracies in percent.

    All `values` are in view, the `ends` of intervals as far as useful. Where some are much worse than others (at the
    start, or because they never learn), the axis is logarithmic in the error 100 - accuracy: from 90 to 99 % is as far
    as from 0 to 90 %. Where some have no error, half of the smallest error is added to all.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    values, limits = values[np.isfinite(values)], getattr(axes, f"set_{which}lim")
    axis.set_label_text(label)
    if not len(values):
        limits(0, 100)
        return
    low, high = _ends(ends, float(values.min()), float(values.max()))
    errors = 100 - values
    positive, perfect = errors[errors > 1e-9], bool(errors.min() <= 1e-9)
    if not len(positive) or errors.max() < _LINEAR * positive.min():
        span = max(float(np.ptp(values)), 0.1)
        reach = span if which == "x" else 0.35 * span  # an interval of a row is all that there is to see
        low, high = max(low, values.min() - reach), min(high, values.max() + reach)
        limits(max(0.0, low - 0.04 * span), min(100 + 0.03 * span, high + 0.04 * span))
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
        return
    best = max(float(positive.min()) / 1.25, min(float(positive.min()), 100 - high)) / 1.03
    worst = min(100.0, 1.03 * min(1.25 * float(errors.max()), max(float(errors.max()), 100 - low)))
    shift, top = (best / 2, 100 + 0.05 * best) if perfect else (0.0, 100 - best)
    least = shift + 100 - top
    getattr(axes, f"set_{which}scale")(
        "function",
        functions=(
            lambda y: -np.log10(np.maximum(100 + shift - np.asarray(y, dtype=float), least)),
            lambda v: 100 + shift - 10 ** -np.asarray(v, dtype=float),
        ),
    )
    limits(100 - worst, top)
    ticks = [
        *(100 - error for error in log_ticks(best, worst, 0.14 if perfect else 0.05)),
        *([100.0] if perfect else []),
    ]
    axis.set_ticks(ticks, [f"{tick:.10g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())
    axis.set_label_text(
        f"{label}\n(logarithmic in the error)" if which == "y" else f"{label}, logarithmic in the error"
    )


def loss_axis(axes: Axes, of_lines: Sequence[np.ndarray], label: str = "training loss (nats)") -> list[bool]:
    """A logarithmic axis for lines of losses; which of them leave it, upwards or downwards.

    A line leaves it that is some hundred times above or below the extremes of three quarters of the lines.
    """
    axes.set_ylabel(label)
    usable = [line[np.isfinite(line) & (line > 0)] for line in of_lines]
    ends = np.array([(line.min(), line.max()) for line in usable if len(line)])
    if not len(ends):
        axes.set_ylim(0, 1)
        return [False] * len(of_lines)
    low = max(ends[:, 0].min(), np.quantile(ends[:, 0], 0.25) / _BEYOND)
    high = min(ends[:, 1].max(), np.quantile(ends[:, 1], 0.75) * _BEYOND)
    room = max((high / low) ** 0.05, 1.1)
    axes.set_yscale("log")
    axes.set_ylim(low / room, high * room)
    ticks = log_ticks(*axes.get_ylim())
    axes.set_yticks(ticks, [f"{tick:.10g}" if 1e-4 <= tick < 1e5 else f"{tick:.0e}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    return [bool(len(line) and (line.min() < low or line.max() > high)) for line in usable]


def log_ticks(low: float, high: float, gap: float = 0.05) -> list[float]:
    """About five to ten round numbers within the limits of a logarithmic axis, at least `gap` of its length apart.

    >>> log_ticks(0.9, 35)
    [1.0, 2.0, 5.0, 10.0, 20.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, (last - first) // 8)
    found: list[float] = []
    for digits in ((1,), (1, 2, 5), (1, 2, 3, 5, 7), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [float(f"{digit * 10.0**power:.3g}") for power in range(first, last + 1, step) for digit in digits]
        found = [tick for tick in ticks if low <= tick <= high]
        if len(found) >= 5:
            break
    else:
        found = [float(tick) for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    apart: list[float] = []
    for tick in found:
        if not apart or math.log(tick / apart[-1]) >= gap * math.log(high / low):
            apart.append(tick)
    return apart


def _ends(bands: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """The lowest and the highest end of the bands, at least as far as the means."""
    finite = bands[np.isfinite(bands)]
    return (min(low, float(finite.min())), max(high, float(finite.max()))) if len(finite) else (low, high)
