"""What plots share: colours and styles, grids of panels, rows of intervals, and which configurations are drawn.

The colours can be told apart by colour-blind readers (Okabe & Ito 2008), and no line differs by its colour alone.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.records import Estimate
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration

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
MARKERS = ("o", "s", "^", "D", "v")  # five, with six colours: the first thirty pairs differ
OVERLAID = len(COLOURS)  # with more curves than that, each gets a panel
SHOWN = 20  # configurations in a plot; the tables have all
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


@dataclass(frozen=True)
class Tip:
    """What is told of the point (x, y), in the data coordinates of `axes`, to a reader who points at it.

    `series` is the name of the configuration that the point belongs to, or empty.
    """

    axes: Axes
    x: float
    y: float
    text: str
    series: str = ""


@dataclass(frozen=True)
class Drawing:
    """What a plot module returns: the figure, and what it shows in a sentence.

    The artists of one configuration, which the page switches on and off together, are marked by `of_series`.
    """

    figure: Figure
    caption: str
    tips: tuple[Tip, ...] = ()


_SERIES = "series"
_NUMBERS = itertools.count()


def of_series(name: str, *artists: Artist) -> None:
    """Marks artists as those of the configuration `name`."""
    for artist in artists:
        artist.set_gid(f"{_SERIES}:{next(_NUMBERS)}:{name}")  # ids have to differ in one file


def shown_configurations(comparison: Comparison) -> tuple[list[Configuration], str]:
    """The best configurations with the baseline among them, and a sentence that says so where some are left out."""
    usable = [configuration for configuration in comparison.block.configurations if configuration.n]
    shown, baseline = usable[:SHOWN], comparison.baseline
    if baseline is not None and baseline.configuration not in shown:
        shown[-1] = baseline.configuration
    left_out = len(usable) - len(shown)
    return shown, f" The best {len(shown)} of {len(usable)} configurations." if left_out else ""


# ---------------------------------------------------------------- panels


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
    """How many columns a legend has room for, at most three: about twelve letters to an inch."""
    return max(1, min(3, int(12 * inches / (max(map(len, names)) + 9))))


def cut(name: str, length: int) -> str:
    """A name, shortened to `length` letters."""
    return name if len(name) <= length else name[: length - 1] + "…"


def in_lines(name: str, width: int) -> str:
    """A name on two lines where it is too long for one: the names of panels often differ only in their ends.

    >>> in_lines("tanh residual=false clip=norm", 20)
    'tanh residual=false\\nclip=norm'
    """
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder="…", break_on_hyphens=False))


# ---------------------------------------------------------------- rows of intervals


def rows_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """Axes with one row for each name, the first on top."""
    figure = Figure(figsize=(9, 1.3 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [cut(name, 44) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def interval_row(axes: Axes, y: int, estimate: Estimate, seeds: Sequence[float], colour: str, marker: str) -> None:
    """The mean with its interval as a bar, and every seed as a ring."""
    axes.scatter(seeds, [y + 0.2] * len(seeds), s=14, facecolors="none", edgecolors=colour, linewidths=0.9, zorder=2)
    if estimate.ci95:
        axes.plot(estimate.ci95, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    axes.scatter([estimate.mean or 0.0], [y], s=40, color=colour, marker=marker, zorder=4)


def keep_in_view(axes: Axes, values: Sequence[float], ends: Sequence[float]) -> None:
    """Shows all values, and intervals up to the span of the values on either side: those of two seeds may be wider."""
    span = max(values) - min(values) or 0.1
    low, high = max(min(ends), min(values) - span), min(max(ends), max(values) + span)
    axes.set_xlim(min(low, min(values)) - 0.05 * span, max(high, max(values)) + 0.05 * span)
