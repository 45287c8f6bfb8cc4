"""What plots share: colours and styles, what readers point at, panels, rows of intervals, who is drawn.

The colours can be told apart by colour-blind readers (Okabe & Ito 2008), and no line differs by its colour alone.
Names at the ends of lines are in `report.line_labels`, axes of accuracies and losses in `report.score_axes`.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from actbench.records import Estimate, decimal
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.formatting import minus
from actbench.report.verdict import Verdict

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
SHOWN = 24  # configurations in a plot: all activations; the tables have all configurations
TIPS, TIPS_OF_A_LINE = 1500, 25  # at most: every tip is an element of the page
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.formatter.useoffset": False,
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


def zero_line(axes: Axes) -> None:
    """The line of no difference, which a small screen shows first."""
    axes.axvline(0, color="0.3", linewidth=1).set_gid(f"zero:{next(_NUMBERS)}")


def tips_of_line(
    axes: Axes, xs: Iterable[float], ys: Iterable[float], texts: Iterable[str], series: str = "",
    at_most: int = TIPS_OF_A_LINE,
) -> list[Tip]:  # fmt: skip
    """Tips at the points of a line, evenly thinned out to `at_most` with the first and the last among them.

    Points outside the limits of the axes, which have to be set before, have none.
    """
    (left, right), (bottom, top) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    tips = [
        Tip(axes, float(x), float(y), text, series)
        for x, y, text in zip(xs, ys, texts, strict=True)
        if left <= x <= right and bottom <= y <= top
    ]
    kept = {round(place) for place in np.linspace(0, len(tips) - 1, min(len(tips), at_most))}
    return [tips[k] for k in sorted(kept)]


def tips_each(lines: int) -> int:
    """How many tips each of so many lines may have."""
    return max(2, min(TIPS_OF_A_LINE, TIPS // max(lines, 1)))


# ---------------------------------------------------------------- configurations


@dataclass(frozen=True)
class LineStyle:
    """How a configuration looks in all line plots of a page."""

    colour: str
    dash: Any
    marker: str


def line_style(place: int) -> LineStyle:
    """The style of the configuration at a place in the block's order; the first 36 differ.

    Neither the six colours nor the six dashes repeat within six places.
    """
    turn = place // len(COLOURS)
    return LineStyle(
        COLOURS[place % len(COLOURS)], DASHES[(place + turn) % len(DASHES)], MARKERS[(place + turn) % len(MARKERS)]
    )


def line_styles(comparison: Comparison) -> dict[str, LineStyle]:
    """The style of each configuration of the block, by its name; those that are drawn differ from each other."""
    drawn, _ = shown_configurations(comparison, diverged=True)
    names = dict.fromkeys(one.name for one in (*drawn, *comparison.block.configurations))
    return {name: line_style(k) for k, name in enumerate(names)}


def heading(figure: Figure, comparison: Comparison, what: str, how: str = "") -> None:
    """Writes over a figure what it shows, of whom, and on which data; `how` to read it is the second line.

    Pictures are passed on without their page. Where axes are placed by hand, 0.6 inches above them are enough.
    """
    configurations = comparison.block.configurations
    noun = "activations" if comparison.block.varying == ("activation",) else "configurations"
    whose = configurations[0].name if len(configurations) == 1 else f"{len(configurations)} {noun}"
    text = f"{what} of {whose} ({comparison.block.title})"
    width = int(11.5 * figure.get_figwidth())
    shortened = cut if figure.get_layout_engine() is None else in_lines  # a layout makes room for a second line
    lines = [shortened(line, width) for line in (text, how) if line]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10)


def shown_configurations(
    comparison: Comparison, *, diverged: bool = False, compared: bool = False
) -> tuple[list[Configuration], str]:
    """The best configurations and those that are not decided, with the baseline among them, and a sentence on them.

    It is empty where all are shown. With `diverged`, also those of which every seed diverged; they come last. With
    `compared`, only those that the verdict has an interval of.
    """
    verdict, what = comparison.verdict, "configurations that are compared" if compared else "configurations"
    usable = [configuration for configuration in comparison.block.configurations if configuration.n or diverged]
    if compared:
        usable = [one for one in usable if (decision := verdict.of(one)) is not None and decision.low is not None]
    shown, baseline = _best_and_undecided(usable, verdict), comparison.baseline and comparison.baseline.configuration
    if baseline is not None and baseline in usable and baseline not in shown:
        shown[-1] = baseline
    if len(shown) == len(usable):
        return shown, ""
    best = next((k for k, (one, other) in enumerate(zip(shown, usable, strict=False)) if one is not other), len(shown))
    if best >= len(shown) - 1:  # the last one may be the baseline
        return shown, f" The best {len(shown)} of {len(usable):,} {what}."
    others = f"the best {len(shown) - best} of the others that may be the best or are as good"
    return shown, f" {len(shown)} of {len(usable):,} {what}: the best {best}, and {others}."


def names_in_pictures(comparison: Comparison) -> list[str]:
    """The configurations that plots show where they do not show all, in the order of the block."""
    kinds: tuple[dict[str, bool], ...] = ({}, {"diverged": True}, {"compared": True})
    chosen = {id(one) for kind in kinds for one in shown_configurations(comparison, **kind)[0]}
    return [one.name for one in comparison.block.configurations if id(one) in chosen]


def _best_and_undecided(usable: Sequence[Configuration], verdict: Verdict) -> list[Configuration]:
    """At most `SHOWN` in their order: half of them the best, then those that are not shown to be worse."""
    words = ("best", "as good", "undecided")
    close = [one for one in usable if (decision := verdict.of(one)) is not None and decision.word in words]
    chosen: dict[int, Configuration] = {}
    for one in (*usable[: SHOWN // 2], *close, *usable):
        if len(chosen) < SHOWN:
            chosen.setdefault(id(one), one)
    return [one for one in usable if id(one) in chosen]


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


def plain_ticks(*axes: Axis) -> None:
    """Writes `2e6` at a tick: Matplotlib's own `1e6` at the end of an axis covers its label."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: minus(decimal(value, None))))


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
    figure = Figure(figsize=(9, 1.5 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [cut(name, 44) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0, pad=8)  # room for arrow heads
    return figure, axes


def interval_row(
    axes: Axes, y: int, estimate: Estimate, seeds: Sequence[float], colour: str, marker: str
) -> list[Artist]:
    """The mean with its interval as a bar, and every seed as a ring."""
    ring: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": 0.9}
    artists: list[Artist] = [axes.scatter(seeds, [y + 0.2] * len(seeds), s=14, zorder=2, **ring)]
    if estimate.ci95:
        artists += axes.plot(estimate.ci95, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    return [*artists, axes.scatter([estimate.mean or 0.0], [y], s=40, color=colour, marker=marker, zorder=4)]


def arrow_heads(axes: Axes, y: float, low: float, high: float, colour: str) -> list[Artist]:
    """A head at each edge of the axes beyond which an interval goes on."""
    left, right = axes.get_xlim()
    heads = [(x, head) for x, head, leaves in ((left, "<", low < left), (right, ">", high > right)) if leaves]
    how: dict[str, Any] = {"color": colour, "markersize": 7, "clip_on": False, "zorder": 5}
    return [line for x, head in heads for line in axes.plot([x], [y], head, **how)]


def keep_in_view(axes: Axes, values: Sequence[float], ends: Sequence[float]) -> None:
    """Shows all values, and intervals up to the span of the values on either side: those of two seeds may be wider."""
    span = max(values) - min(values) or 0.1
    low, high = max(min(ends), min(values) - span), min(max(ends), max(values) + span)
    axes.set_xlim(min(low, min(values)) - 0.05 * span, max(high, max(values)) + 0.05 * span)
