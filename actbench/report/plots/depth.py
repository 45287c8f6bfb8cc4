"""Test accuracy over the depth of the network."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import (
    COLOURS,
    SHOWN,
    Drawing,
    LineStyle,
    Tip,
    heading,
    line_style,
    of_series,
    tips_each,
    tips_of_line,
)
from actbench.report.line_labels import End, column_height, column_width, label_ends, placed, shortened
from actbench.report.trainable_depth import TRAINED, DepthSeries, depth_series

SECTION = "depth"
ORDER = 50
_FEW = len(COLOURS)  # lines with room for the seeds beside them
_WIDTH, _LEFT, _TOP, _BOTTOM = 9.0, 0.7, 0.62, 0.55  # inches
_CAPTION = (
    "Test accuracy over depth: mean over seeds{how}. Above the dotted line a seed counts as trained; a cross at the "
    "bottom means that all seeds diverged."
)


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """None where the depth does not vary."""
    series = dict(list(depth_series(comparison.block).items())[:SHOWN])
    if not series:
        return None
    figure = over_depth(series)
    few = len(series) <= _FEW
    marks = "marker: mean over seeds" + ("; bar: its 95 % interval; rings: seeds" if few else "")
    heading(figure, comparison, "Test accuracy over depth", f"{marks}; dotted: above it a seed counts as trained")
    how = " with 95 % interval, and every seed as a ring" if few else ""
    return Drawing(figure, _CAPTION.format(how=how), tuple(_tips(figure.axes[0], series)))


def over_depth(series: DepthSeries) -> Figure:
    """A line for each combination of the other settings; few lines have the intervals and seeds beside them."""
    depths = sorted({depth for by_depth in series.values() for depth in by_depth})
    texts = {name: shortened(name, 0.4 * _WIDTH) for name in series}
    height = max(3.6, column_height(len(series)))
    figure = Figure(figsize=(_WIDTH, height + _TOP + _BOTTOM))
    axes = placed(figure, _LEFT, _BOTTOM, _WIDTH - _LEFT - column_width(list(texts.values())), height)
    step = 0.008 * (depths[-1] - depths[0])  # draws bars beside each other, not on top of each other
    axes.set_xlim(depths[0] - 4 * step, depths[-1] + 4 * step)
    axes.set_ylim(0, 100)
    axes.set_xticks(depths if len(depths) <= 8 else depths[:: math.ceil(len(depths) / 8)])
    axes.set_xlabel("model.depth")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    axes.axhline(TRAINED, color="0.4", linewidth=1, linestyle=":")
    ends = []
    for place, (name, by_depth) in enumerate(series.items()):
        style = line_style(place)
        shift = (place - (len(series) - 1) / 2) * step if len(series) <= _FEW else 0.0
        _line(axes, name, by_depth, style, shift, seeds=len(series) <= _FEW)
        known = [(depth + shift, configuration.mean(METRIC)) for depth, configuration in by_depth.items()
                 if configuration.n]  # fmt: skip
        ends += [End(name, texts[name], *known[-1], style)] if known else [End(name, texts[name], depths[-1], 0, style)]
    label_ends(axes, ends)
    return figure


def _line(
    axes: Axes, name: str, by_depth: dict[int, Configuration], style: LineStyle, shift: float, *, seeds: bool
) -> None:
    """Means joined by a line, a cross where every seed diverged; with `seeds` the intervals, and a ring for each."""
    colour, places = style.colour, [depth + shift for depth in by_depth]
    of_series(name, *axes.plot(
        places, _means(by_depth), color=colour, linestyle=style.dash, marker=style.marker, markersize=5, linewidth=1.8,
        label=name, clip_on=False,
    ))  # fmt: skip
    for place, configuration in zip(places, by_depth.values(), strict=True):
        interval = configuration.estimate(METRIC).ci95
        values = list(configuration.values.get(METRIC, {}).values())
        if interval and seeds:
            within = [min(max(end, 0.0), 100.0) for end in interval]
            of_series(name, *axes.plot([place, place], within, color=colour, linewidth=1.2, alpha=0.6))
        if values and seeds:
            of_series(name, axes.scatter([place] * len(values), values, s=22, facecolors="none", edgecolors=colour,
                                         linewidths=0.9, clip_on=False))  # fmt: skip
        if not values:
            of_series(name, axes.scatter([place], [0.0], color=colour, marker="x", s=40, clip_on=False, zorder=4))


def _means(by_depth: dict[int, Configuration]) -> np.ndarray:
    """(depths,); NaN, which leaves a gap in the line, where every seed diverged."""
    return np.array([c.mean(METRIC) if c.n else np.nan for c in by_depth.values()])


def _tips(axes: Axes, series: DepthSeries) -> list[Tip]:
    """`relu, depth 20: 97.81 % (97.60 to 98.02)`."""
    tips = []
    for name, by_depth in series.items():
        texts = [f"{name}, depth {depth}: {_result(configuration)}" for depth, configuration in by_depth.items()]
        heights = [configuration.mean(METRIC) if configuration.n else 0.0 for configuration in by_depth.values()]
        tips += tips_of_line(axes, by_depth, heights, texts, name, tips_each(len(series)))
    return tips


def _result(configuration: Configuration) -> str:
    estimate = configuration.estimate(METRIC)
    if estimate.mean is None:
        return "all seeds diverged"
    interval = f" ({estimate.ci95[0]:.2f} to {estimate.ci95[1]:.2f})" if estimate.ci95 else ""
    return f"{estimate.mean:.2f} %{interval}"
