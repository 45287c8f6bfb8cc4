"""Test accuracy against the time of an epoch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import COLOURS, MARKERS, Drawing, cut, shown_configurations

SECTION = "cost"
ORDER = 40


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A point for each configuration; None for a single one."""
    shown, selection = shown_configurations(comparison)
    if len(shown) < 2:
        return None
    return Drawing(cost(shown), f"Test accuracy against the time of an epoch.{selection}")


def cost(shown: Sequence[Configuration]) -> Figure:
    """Points, with their names in a column beside them, so that no name covers another."""
    figure = Figure(figsize=(9, max(4.2, 1.4 + 0.26 * len(shown))), layout="constrained")
    axes = figure.subplots()
    timed = [configuration for configuration in shown if math.isfinite(configuration.seconds_per_epoch)]
    points = [(configuration.seconds_per_epoch, configuration.mean(METRIC), configuration) for configuration in timed]
    halves = []
    for x, _, configuration in points:
        interval = configuration.estimate(METRIC).ci95
        if interval:
            axes.plot([x, x], interval, color="0.75", linewidth=1.2, zorder=1)
            halves.append((interval[1] - interval[0]) / 2)
    times, heights = [x for x, _, _ in points], [y for _, y, _ in points]
    room = max(0.15 * (max(heights) - min(heights)), 1.2 * statistics.median(halves or [0.1]), 0.01)
    axes.set_ylim(min(heights) - room, max(heights) + room)
    margin = max(0.08 * (max(times) - min(times)), 0.05 * max(times))  # so that a difference of 1 % looks small
    axes.set_xlim(min(times) - margin, max(times) + margin)
    order = sorted(points, key=lambda point: -point[1])
    for place, (x, y, configuration) in enumerate(order):
        height, colour = 1 - (place + 0.5) / len(order), COLOURS[place % len(COLOURS)]
        axes.scatter([x], [y], s=40, color=colour, marker=MARKERS[place % len(MARKERS)], zorder=3)
        axes.annotate(
            cut(configuration.name, 48), (x, y), xytext=(1.06, height), textcoords="axes fraction", va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "alpha": 0.7, "relpos": (0, 0.5)},
        )  # fmt: skip
    axes.set_xlabel("seconds per epoch and seed (training and validation)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    return figure
