"""Accuracy against cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.figure import Figure

from actbench.report.configurations import Configuration
from actbench.report.plots.style import COLOURS, MARKERS, cut
from actbench.report.ranking import METRIC


def cost(shown: Sequence[Configuration]) -> Figure:
    """Points, with their names in a column beside them, so that none covers another."""
    figure = Figure(figsize=(9, max(4.2, 1.4 + 0.26 * len(shown))), layout="constrained")
    axes = figure.subplots()
    points = [(one.seconds_per_epoch, one.mean(METRIC), one) for one in shown if math.isfinite(one.seconds_per_epoch)]
    halves = []
    for x, _, one in points:
        interval = one.estimate(METRIC).ci95
        if interval:
            axes.plot([x, x], interval, color="0.75", linewidth=1.2, zorder=1)
            halves.append((interval[1] - interval[0]) / 2)
    times, heights = [x for x, _, _ in points], [y for _, y, _ in points]
    room = max(0.15 * (max(heights) - min(heights)), 1.2 * statistics.median(halves or [0.1]), 0.01)
    axes.set_ylim(min(heights) - room, max(heights) + room)
    aside = max(0.08 * (max(times) - min(times)), 0.05 * max(times))  # a difference of 1 % is not to look like a gulf
    axes.set_xlim(min(times) - aside, max(times) + aside)
    order = sorted(points, key=lambda point: -point[1])
    for place, (x, y, one) in enumerate(order):
        height, colour = 1 - (place + 0.5) / len(order), COLOURS[place % len(COLOURS)]
        axes.scatter([x], [y], s=40, color=colour, marker=MARKERS[place % len(MARKERS)], zorder=3)
        axes.annotate(
            cut(one.name, 48), (x, y), xytext=(1.06, height), textcoords="axes fraction", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "alpha": 0.7, "relpos": (0, 0.5)},
        )  # fmt: skip
    axes.set_xlabel("seconds per epoch and seed (training and validation)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    return figure
