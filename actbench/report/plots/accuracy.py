"""Test accuracies: mean, interval, and every seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import (
    BLUE,
    ORANGE,
    Drawing,
    cut,
    interval_row,
    keep_in_view,
    rows_figure,
    shown_configurations,
)

SECTION = "results"
ORDER = 20


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A row for each configuration."""
    shown, selection = shown_configurations(comparison)
    baseline = comparison.baseline.configuration if comparison.baseline else None
    caption = f"Test accuracy: mean with 95 % interval, and every seed as a ring.{selection}"
    return Drawing(accuracies(shown, baseline), caption)


def accuracies(shown: Sequence[Configuration], baseline: Configuration | None) -> Figure:
    """The mean of each configuration with its interval, and its seeds as rings."""
    figure, axes = rows_figure([configuration.name for configuration in shown])
    values: list[float] = []
    ends: list[float] = []
    for y, configuration in enumerate(shown):
        estimate, seeds = configuration.estimate(METRIC), list(configuration.values[METRIC].values())
        colour, marker = (ORANGE, "s") if configuration is baseline else (BLUE, "o")
        interval_row(axes, y, estimate, seeds, colour, marker)
        values += seeds
        ends += estimate.ci95 or ()
    keep_in_view(axes, values, ends or values)
    _keep_possible(axes)
    square = f"\nsquare: {cut(baseline.name, 60)}, the baseline" if baseline else ""
    axes.set_xlabel("test accuracy (%); filled: mean, bar: 95 % interval, rings: seeds" + square)
    return figure


def _keep_possible(axes: Axes) -> None:
    """No accuracy is below 0 or above 100 %, whatever an interval says; markers at the very end stay whole."""
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, -1.0), min(right, 101.0))
