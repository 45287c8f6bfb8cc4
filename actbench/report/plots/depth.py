"""Test accuracy over the depth of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.report.configurations import METRIC, Configuration
from actbench.report.depths import TRAINED, Series
from actbench.report.plots.style import BLUE, COLOURS, DASHES, OVERLAID, cut, legend_columns, panel_grid


def over_depth(series: Series) -> Figure:
    """One line for each combination of the other settings; a panel each where they are many, the others in grey."""
    depths = sorted({depth for of in series.values() for depth in of})
    if len(series) > OVERLAID:
        figure, panels = panel_grid(list(series), "model.depth", "test accuracy (%)")
        for (name, of), axes in zip(series.items(), panels, strict=True):
            for other, theirs in series.items():
                if other != name:
                    axes.plot(list(theirs), _means(theirs), color="0.82", linewidth=0.7)
            _draw(axes, of, BLUE)
    else:
        figure = Figure(figsize=(7.5, 4.6), layout="constrained")
        panels = [figure.subplots()]
        aside = 0.008 * (depths[-1] - depths[0])  # bars beside each other, not on top
        for place, (name, of) in enumerate(series.items()):
            shift = (place - (len(series) - 1) / 2) * aside
            _draw(panels[0], of, COLOURS[place], DASHES[place], cut(name, 60), shift)
        panels[0].set_xlabel("model.depth")
        panels[0].set_ylabel("test accuracy (%)")
        panels[0].grid(alpha=0.25)
        figure.legend(loc="outside lower center", ncols=legend_columns(list(series), 7.5), handlelength=3.2)
    for axes in panels:
        axes.axhline(TRAINED, color="0.4", linewidth=1, linestyle=":")
        axes.set_ylim(-2, 102)
        axes.set_xticks(depths if len(depths) <= 8 else depths[:: len(depths) // 6])
    return figure


def _draw(
    axes: Axes, of: dict[int, Configuration], colour: str, dash: Any = "-", label: str = "", shift: float = 0.0
) -> None:
    """Means joined by a line, their intervals, a ring for each seed, and a cross where all of them diverged."""
    places = [depth + shift for depth in of]
    axes.plot(places, _means(of), color=colour, linestyle=dash, marker="o", markersize=5, linewidth=1.8, label=label)
    for place, one in zip(places, of.values(), strict=True):
        interval, seeds = one.estimate(METRIC).ci95, list(one.values.get(METRIC, {}).values())
        if interval:
            axes.plot([place, place], interval, color=colour, linewidth=1.2, alpha=0.6)
        axes.scatter([place] * len(seeds), seeds, s=22, facecolors="none", edgecolors=colour, linewidths=0.9)
        if not seeds:
            axes.scatter([place], [0.0], color=colour, marker="x", s=40)


def _means(of: dict[int, Configuration]) -> np.ndarray:
    """NaN, a gap in the line, where every seed diverged."""
    return np.array([one.mean(METRIC) if one.n else np.nan for one in of.values()])
