"""How pictures look: colours that colour-blind people tell apart too (Okabe & Ito 2008), and are never alone."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#999999",
)
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v")  # five beside six colours: the first thirty pairs differ
OVERLAID = len(COLOURS)  # more curves than that get a panel each
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "legend.frameon": False,
    "svg.hashsalt": "actbench",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a name with dollars in it is a name
}


def panel_grid(names: Sequence[str], x: str, y: str) -> tuple[Figure, list[Axes]]:
    """Small panels with shared axes, as wide as a page."""
    columns = min(len(names), 4)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(10 if columns > 2 else 5 * columns, 0.8 + 2.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for number, axes in enumerate(grid):
        if number < len(names):
            axes.set_title(in_lines(names[number], 28 if columns > 2 else 44), fontsize=9)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=8, labelbottom=number + columns >= len(names))
        else:
            axes.set_visible(False)
    figure.supxlabel(x, fontsize=10)
    figure.supylabel(y, fontsize=10)
    return figure, list(grid[: len(names)])


def legend_columns(names: Sequence[str], inches: float) -> int:
    """How many columns of a legend fit beside each other, three at most: about twelve letters to an inch."""
    return max(1, min(3, int(12 * inches / (max(map(len, names)) + 9))))


def cut(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def in_lines(name: str, width: int) -> str:
    """A name in two lines where one is too short for it: panels often differ in its end alone.

    >>> in_lines("tanh residual=false clip=norm", 20)
    'tanh residual=false\\nclip=norm'
    """
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder="…", break_on_hyphens=False))
