"""Test accuracy against the time of an epoch, both with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from actbench.errors import Problem
from actbench.report import labels
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.cost import Cost, costs
from actbench.report.drawing import BLUE, Drawing, Tip, cut, heading, of_series, shown_configurations
from actbench.report.formatting import listed

SECTION = "cost"
ORDER = 40

Point = tuple[Configuration, Cost]


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A point for each configuration whose cost can be compared; None for fewer than two: the table says why."""
    shown, selection = shown_configurations(comparison)
    of = list(zip(shown, costs(shown), strict=True))
    points = [(configuration, cost) for configuration, cost in of if cost.comparable]
    left_out = [configuration.name for configuration, cost in of if not cost.comparable]
    if len(points) < 2:
        return None
    caption = (
        "Test accuracy (95 % interval of the mean over seeds) against the time of an epoch (median, with the middle "
        f"half of the epochs).{selection}"
    )
    if left_out:
        caption += f" Not drawn, since their times cannot be compared: {listed(left_out)}."
    figure, tips = cost_figure(points, comparison)
    return Drawing(figure, caption, tuple(tips))


def cost_figure(points: Sequence[Point], comparison: Comparison) -> tuple[Figure, list[Tip]]:
    """Points with their intervals, and their names where they cover nothing."""
    figure = Figure(figsize=(9, 4.4 if len(points) < 9 else 6), layout="constrained")
    heading(figure, comparison, "Test accuracy and cost", "grey: 95 % interval over seeds, middle half of the epochs")
    axes = figure.subplots()
    axes.set_xlabel("seconds per epoch and seed (training and validation)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    _set_limits(axes, points)
    names = [_draw_point(axes, configuration, cost) for configuration, cost in points]
    _place(figure, axes, points, names)
    return figure, [_tip(axes, configuration, cost) for configuration, cost in points]


def _set_limits(axes: Axes, points: Sequence[Point]) -> None:
    """Shows all times, and all accuracies but those that lie far below the others."""
    heights = [configuration.mean(METRIC) for configuration, _ in points]
    halves = [(e.ci95[1] - e.ci95[0]) / 2 for one, _ in points if (e := one.estimate(METRIC)).ci95]
    bottom, top = min(heights), max(heights)
    if len(heights) > 4:
        low, _, high = statistics.quantiles(heights, n=4, method="inclusive")
        bottom = max(bottom, low - 3 * (high - low) - 0.1)
    room = max(0.15 * (top - bottom), 1.2 * min(statistics.median(halves or [0.1]), top - bottom), 0.01)
    axes.set_ylim(bottom - room, top + room)
    left, right = min(cost.low for _, cost in points), max(cost.high for _, cost in points)
    margin = max(0.08 * (right - left), 0.05 * right)  # so that a difference of 1 % looks small
    axes.set_xlim(left - margin, right + margin)


def _where(axes: Axes, configuration: Configuration, cost: Cost) -> tuple[float, float, bool]:
    """A point's place, and whether it belongs below the axes and is drawn on their edge."""
    bottom, top = axes.get_ylim()
    height = configuration.mean(METRIC)
    below = height < bottom
    return cost.median, bottom + 0.03 * (top - bottom) if below else height, below


def _draw_point(axes: Axes, configuration: Configuration, cost: Cost) -> Annotation:
    x, y, below = _where(axes, configuration, cost)
    artists: list[Artist] = []
    interval = configuration.estimate(METRIC).ci95
    if not below:
        artists += axes.plot([cost.low, cost.high], [y, y], color="0.7", linewidth=1.2, zorder=1)
        artists += axes.plot([x, x], interval, color="0.7", linewidth=1.2, zorder=1) if interval else []
    artists.append(axes.scatter([x], [y], s=36, color=BLUE, marker="v" if below else "o", zorder=3))
    text = cut(configuration.name, 40) + (f" ({configuration.mean(METRIC):.2f})" if below else "")
    name = axes.annotate(text, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=9, ha="center", va="center")
    name.set_in_layout(False)
    of_series(configuration.name, *artists, name)
    return name


def _place(figure: Figure, axes: Axes, points: Sequence[Point], names: Sequence[Annotation]) -> None:
    """Moves the names to where they cover nothing."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what is measured now holds
    places = [
        tuple(map(float, axes.transData.transform(_where(axes, configuration, cost)[:2])))
        for configuration, cost in points
    ]
    renderer = FigureCanvasAgg(figure).get_renderer()
    extents = [name.get_window_extent(renderer) for name in names]
    sizes = [(extent.width + 4, extent.height + 2) for extent in extents]
    lines = []
    for configuration, cost in points:
        x, y, below = _where(axes, configuration, cost)
        ends = configuration.estimate(METRIC).ci95 or (y, y)
        if not below:
            corners = ((x, ends[0]), (x, ends[1]), (cost.low, y), (cost.high, y))
            a, b, c, d = axes.transData.transform(np.array(corners))
            lines += [(*a, *b), (*c, *d)]
    inside = axes.get_window_extent(renderer)
    area = (inside.x0 + 2, inside.y0 + 2, inside.x1 - 2, inside.y1 - 2)
    centres = labels.place(places, sizes, lines, area)  # type: ignore[arg-type]
    for (configuration, _), name, point, centre, (width, height) in zip(
        points, names, places, centres, sizes, strict=True
    ):
        points_per_pixel = 72 / figure.dpi
        name.set_position((points_per_pixel * (centre[0] - point[0]), points_per_pixel * (centre[1] - point[1])))
        box = (centre[0] - width / 2, centre[1] - height / 2, centre[0] + width / 2, centre[1] + height / 2)
        end = labels.nearest(point, box)  # type: ignore[arg-type]
        if np.hypot(end[0] - point[0], end[1] - point[1]) > labels.LEADER:
            line = axes.transData.inverted().transform(np.array([point, end]))
            (leader,) = axes.plot(*line.T, color="0.5", linewidth=0.7, zorder=2, scalex=False, scaley=False)
            of_series(configuration.name, leader)


def _tip(axes: Axes, configuration: Configuration, cost: Cost) -> Tip:
    x, y, _ = _where(axes, configuration, cost)
    accuracy = configuration.estimate(METRIC).plus_minus()
    return Tip(axes, x, y, f"{configuration.name}: {accuracy} %, {cost.cell} s per epoch", configuration.name)
