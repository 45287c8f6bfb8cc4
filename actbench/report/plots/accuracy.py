"""Test accuracies: mean, interval, and every seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import (
    TIPS,
    Drawing,
    LineStyle,
    Tip,
    arrow_heads,
    cut,
    heading,
    interval_row,
    line_style,
    line_styles,
    of_series,
    rows_figure,
    shown_configurations,
    tips_of_line,
)
from actbench.report.score_axes import accuracy_axis

SECTION = "results"
ORDER = 20


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A row for each configuration."""
    shown, selection = shown_configurations(comparison)
    baseline = comparison.baseline.configuration if comparison.baseline else None
    caption = f"Test accuracy: mean with 95 % interval, and every seed as a ring.{selection}"
    figure = accuracies(shown, baseline, line_styles(comparison))
    heading(figure, comparison, "Test accuracy", "marker: mean over seeds; bar: its 95 % interval; rings: seeds")
    return Drawing(figure, caption, tuple(_tips(figure.axes[0], shown)))


def accuracies(
    shown: Sequence[Configuration], baseline: Configuration | None, styles: Mapping[str, LineStyle] | None = None
) -> Figure:
    """The mean of each configuration with its interval, and its seeds as rings."""
    styles = styles or {configuration.name: line_style(k) for k, configuration in enumerate(shown)}
    figure, axes = rows_figure([configuration.name for configuration in shown])
    values: list[float] = []
    ends: list[float] = []
    for y, configuration in enumerate(shown):
        estimate, seeds = configuration.estimate(METRIC), list(configuration.values[METRIC].values())
        marker = "s" if configuration is baseline else "o"
        row = interval_row(axes, y, estimate, seeds, styles[configuration.name].colour, marker)
        of_series(configuration.name, *row, axes.get_yticklabels()[y])
        values += seeds
        ends += estimate.ci95 or ()
    square = f"\nsquare: {cut(baseline.name, 60)}, the baseline" if baseline else ""
    accuracy_axis(axes, np.array(values), np.array(ends), "test accuracy (%)", "x")
    for y, configuration in enumerate(shown):
        if interval := configuration.estimate(METRIC).ci95:
            colour = styles[configuration.name].colour
            of_series(configuration.name, *arrow_heads(axes, y, *interval, colour))
    axes.set_xlabel(axes.get_xlabel() + square)
    return figure


def _tips(axes: Axes, shown: Sequence[Configuration]) -> list[Tip]:
    """`relu: 97.81 % (97.60 to 98.02)`, and of each seed as far as there is room."""
    tips = []
    for y, configuration in enumerate(shown):
        estimate, of_seeds = configuration.estimate(METRIC), configuration.values[METRIC]
        interval = f" ({estimate.ci95[0]:.2f} to {estimate.ci95[1]:.2f})" if estimate.ci95 else ""
        name = configuration.name
        tips.append(Tip(axes, estimate.mean or 0.0, y, f"{name}: {estimate.mean:.2f} %{interval}", name))
        texts = [f"{name}, seed {seed}: {value:.2f} %" for seed, value in of_seeds.items()]
        heights = [y + 0.2] * len(of_seeds)
        tips += tips_of_line(axes, of_seeds.values(), heights, texts, name, max(2, min(24, TIPS // len(shown) - 1)))
    return tips
