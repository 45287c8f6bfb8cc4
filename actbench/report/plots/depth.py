"""Test accuracy over the depth of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import BLUE, COLOURS, DASHES, OVERLAID, SHOWN, Drawing, cut, legend_columns, panel_grid
from actbench.report.trainable_depth import TRAINED, DepthSeries, depth_series

SECTION = "depth"
ORDER = 50
_CAPTION = (
    "Test accuracy over depth: mean with 95 % interval, and every seed as a ring. Above the dotted line a seed counts "
    "as trained; a cross at the bottom means that all seeds diverged."
)


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """None where the depth does not vary."""
    series = dict(list(depth_series(comparison.block).items())[:SHOWN])
    return Drawing(over_depth(series), _CAPTION) if series else None


def over_depth(series: DepthSeries) -> Figure:
    """A line for each combination of the other settings; where these are many, a panel each with the others in grey."""
    depths = sorted({depth for by_depth in series.values() for depth in by_depth})
    if len(series) > OVERLAID:
        figure, panels = panel_grid(list(series), "model.depth", "test accuracy (%)")
        for (name, by_depth), axes in zip(series.items(), panels, strict=True):
            for other, theirs in series.items():
                if other != name:
                    axes.plot(list(theirs), _means(theirs), color="0.82", linewidth=0.7)
            _line(axes, by_depth, BLUE)
    else:
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        panels = [figure.subplots()]
        step = 0.008 * (depths[-1] - depths[0])  # draws bars beside each other, not on top of each other
        for place, (name, by_depth) in enumerate(series.items()):
            shift = (place - (len(series) - 1) / 2) * step
            _line(panels[0], by_depth, COLOURS[place], DASHES[place], cut(name, 60), shift)
        panels[0].set_xlabel("model.depth")
        panels[0].set_ylabel("test accuracy (%)")
        panels[0].grid(alpha=0.25)
        figure.legend(loc="outside lower center", ncols=legend_columns(list(series), 7.5), handlelength=3.2)
    for axes in panels:
        axes.axhline(TRAINED, color="0.4", linewidth=1, linestyle=":")
        axes.set_ylim(-2, 102)
        axes.set_xticks(depths if len(depths) <= 8 else depths[:: len(depths) // 6])
    return figure


def _line(
    axes: Axes, by_depth: dict[int, Configuration], colour: str, dash: Any = "-", label: str = "", shift: float = 0.0
) -> None:
    """Means joined by a line, their intervals, a ring for each seed, and a cross where all of them diverged."""
    places = [depth + shift for depth in by_depth]
    axes.plot(
        places, _means(by_depth), color=colour, linestyle=dash, marker="o", markersize=5, linewidth=1.8, label=label
    )
    for place, configuration in zip(places, by_depth.values(), strict=True):
        interval = configuration.estimate(METRIC).ci95
        seeds = list(configuration.values.get(METRIC, {}).values())
        if interval:
            axes.plot([place, place], interval, color=colour, linewidth=1.2, alpha=0.6)
        axes.scatter([place] * len(seeds), seeds, s=22, facecolors="none", edgecolors=colour, linewidths=0.9)
        if not seeds:
            axes.scatter([place], [0.0], color=colour, marker="x", s=40)


def _means(by_depth: dict[int, Configuration]) -> np.ndarray:
    """(depths,); NaN, which leaves a gap in the line, where every seed diverged."""
    return np.array([c.mean(METRIC) if c.n else np.nan for c in by_depth.values()])
