"""Names at the ends of lines: a column beside the axes, in the order of the ends, so that no connector crosses another.

The axes need their limits and their place in the figure (`placed`) before: where names go depends on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from actbench.report.drawing import LineStyle, of_series

SIZE = 8.0  # points
GAP = 0.155  # inches from one name to the next
_SLANT, _HANDLE, _PAD = 0.22, 0.40, 0.05  # inches: from the end of a line to its row, a piece of the line, a space
_SLACK = 1.08  # browsers set the text of an SVG in another font


@dataclass(frozen=True)
class End:
    """The last point (x, y) of a line, in data coordinates, and what is written beside it; a cross where it `broke`."""

    series: str
    text: str
    x: float
    y: float
    style: LineStyle
    broke: bool = False


def text_width(text: str, size: float = SIZE) -> float:
    """Inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)
    return _SLACK * float(width) / 72


def column_width(texts: Sequence[str]) -> float:
    """Inches that a column of names takes, with the pieces of line before them."""
    return _SLANT + _HANDLE + 2 * _PAD + max((text_width(text) for text in texts), default=0.0)


def column_height(names: int) -> float:
    """Inches that so many names need."""
    return GAP * names


def shortened(text: str, inches: float) -> str:
    """A name without its middle where it is too long: names of one sweep differ at both ends.

    >>> shortened("leaky_relu lr=0.003 clip=norm", 1.2)
    'leaky_re…lip=norm'
    """
    kept = len(text)
    while kept > 4 and text_width(text if kept == len(text) else _without_middle(text, kept)) > inches:
        kept -= 1
    return text if kept == len(text) else _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def placed(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place that is given in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def spread(wanted: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Places at least `gap` apart within `low` to `high`, in the order of those wanted and as near as possible to them.

    Where there is not room enough they have the same distances. Least squares: positions minus their number times the
    gap must not decrease, so neighbours that violate this are pooled (isotonic regression), and cut at both ends.

    >>> spread([0.5, 0.1, 0.5], 0.2)
    [0.4, 0.1, 0.6]
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    pools: list[list[float]] = []  # sum and number
    for rank, k in enumerate(order):
        pools.append([wanted[k] - rank * gap, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, number = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += number
    level = [total / number for total, number in pools for _ in range(int(number))]
    top = high - (len(wanted) - 1) * gap
    found = [0.0] * len(wanted)
    for rank, k in enumerate(order):
        found[k] = round(min(max(level[rank], low), max(top, low)) + rank * gap, 9)
    return found


def label_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Writes the names beside the axes, each behind a piece of its line. A line that ends early is joined by dots."""
    across, up = axes.get_position().size * axes.figure.get_size_inches()  # type: ignore[union-attr]
    in_axes = axes.transData + axes.transAxes.inverted()
    ends = list(reversed(ends))  # of ends at the same height the first is on top
    points = in_axes.transform([(end.x, end.y) for end in ends]) if ends else np.empty((0, 2))
    right = max((x for x, _ in points), default=0.0)
    rows = spread([min(max(y, 0.0), 1.0) for _, y in points], GAP / up)
    for end, (x, y), row in zip(ends, points, rows, strict=True):
        handle = 1 + _SLANT / across, 1 + (_SLANT + _HANDLE) / across
        style = {"transform": axes.transAxes, "clip_on": False, "color": end.style.colour, "linestyle": end.style.dash}
        line = Line2D(handle, (row, row), linewidth=1.6, **style)
        slant = Line2D((x, handle[0]), (y, row), linewidth=0.7, **(style | {"linestyle": "-", "alpha": 0.7}))
        text = axes.text(handle[1] + _PAD / across, row, end.text, transform=axes.transAxes, va="center", fontsize=SIZE)
        artists = [line, slant, text]
        if x < right - 0.05:
            slant.set(color="0.6", linestyle=":", zorder=1)
        if end.broke:
            artists += axes.plot([end.x], [end.y], "x", color=end.style.colour, markersize=7, zorder=4)
        axes.add_line(line)
        axes.add_line(slant)
        of_series(end.series, *artists)
