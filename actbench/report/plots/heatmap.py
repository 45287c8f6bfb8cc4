"""Mean test accuracy over two swept keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench import naming
from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import TIPS, Drawing, Tip, cut, heading, of_series

SECTION = "tuning"
ORDER = 90


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """None where no two keys vary independently of each other."""
    keys = axes_of(comparison)
    if keys is None:
        return None
    grid = grid_of(comparison, *keys)
    caption = f"Mean test accuracy (%) over {keys[0]} and {keys[1]}."
    if grid.chosen:
        caption += " Where other settings vary too, the one with the best validation accuracy is shown."
    figure = heatmap(grid)
    how = "mean over seeds; of several settings the one with the best validation accuracy" if grid.chosen else ""
    heading(figure, comparison, "Test accuracy", how or "mean over seeds")
    return Drawing(figure, caption, tuple(_tips(figure.axes[0], grid)))


@dataclass(frozen=True)
class Grid:
    """What the heat map shows: a value for each pair of the words on its axes."""

    rows: list[str]
    columns: list[str]
    values: np.ndarray  # (rows, columns), NaN where there is no result
    chosen: bool  # other keys vary too, and each value is that of one of their settings
    labels: tuple[str, str]
    names: Mapping[tuple[int, int], str] = field(default_factory=dict)  # of the configuration in each cell


def axes_of(comparison: Comparison) -> tuple[str, str] | None:
    """The two keys with most values, of those that vary independently of each other."""
    usable = [configuration for configuration in comparison.block.configurations if configuration.n]
    flats = [configuration.settings.flat() for configuration in usable]
    values = {key: {naming.shown(flat[key]) for flat in flats if key in flat} for key in comparison.block.varying}
    crossed = [key for key in values if len(values[key]) > 1 and _crossed(key, flats)]
    most = sorted(crossed, key=lambda key: -len(values[key]))[:2]
    return (most[0], most[1]) if len(most) == 2 else None


def _crossed(key: str, flats: Sequence[Mapping[str, Any]]) -> bool:
    """A group, or a parameter that takes several values with every choice of its group."""
    group, _, parameter = key.partition(".")
    if not parameter or group not in flats[0]:
        return True
    of_choice: dict[str, set[str]] = {}
    for flat in flats:
        of_choice.setdefault(flat[group], set()).add(naming.shown(flat.get(key)))
    return all(len(values) > 1 for values in of_choice.values())


def grid_of(comparison: Comparison, first: str, second: str) -> Grid:
    """The mean test accuracy of each pair of values; of several configurations the one with the best validation."""
    best: dict[tuple[str, str], Configuration] = {}
    chosen = False
    values: dict[str, dict[str, Any]] = {first: {}, second: {}}
    for configuration in comparison.block.configurations:
        flat = configuration.settings.flat()
        if not configuration.n or first not in flat or second not in flat:
            continue
        cell = (naming.shown(flat[first]), naming.shown(flat[second]))
        for key, word in zip((first, second), cell, strict=True):
            values[key][word] = flat[key]
        chosen |= cell in best
        if cell not in best or configuration.mean("val_accuracy") > best[cell].mean("val_accuracy"):
            best[cell] = configuration
    rows, columns = (_ordered(values[key]) for key in (first, second))
    grid = np.array([[best[r, c].mean(METRIC) if (r, c) in best else math.nan for c in columns] for r in rows])
    names = {
        (r, c): best[row, column].name
        for r, row in enumerate(rows) for c, column in enumerate(columns) if (row, column) in best
    }  # fmt: skip
    return Grid(rows, columns, grid, chosen, (first, second), names)


def _ordered(values: Mapping[str, Any]) -> list[str]:
    """Numbers by size, words in the order in which they came (the best first)."""
    if all(isinstance(value, (int, float)) for value in values.values()):
        return sorted(values, key=lambda word: values[word])
    return list(values)


def heatmap(grid: Grid) -> Figure:
    """A cell for each pair of values, with its number where there is room."""
    rows, columns = grid.values.shape
    figure = Figure(figsize=(min(16, 3.2 + 0.75 * columns), min(14, 1.6 + 0.34 * rows)), layout="constrained")
    axes = figure.subplots()
    finite = grid.values[np.isfinite(grid.values)]
    low = max(finite.min(), np.median(finite) - 4 * (finite.max() - np.median(finite) + 0.05))
    image = axes.imshow(grid.values, cmap="cividis", aspect="auto", vmin=low, vmax=finite.max())
    middle = (low + finite.max()) / 2
    for r in range(rows):
        for c in range(columns):
            value = grid.values[r, c]
            if columns <= 20 and rows <= 40:
                text = f"{value:.2f}" if math.isfinite(value) else "–"
                colour = "black" if value > middle else "white"
                number = axes.text(c, r, text, ha="center", va="center", fontsize=8, color=colour)
                if (r, c) in grid.names:
                    of_series(grid.names[r, c], number)
    every, each = math.ceil(rows / 40), math.ceil(columns / 40)  # labels that have room
    axes.set_yticks(range(0, rows, every), [cut(word, 30) for word in grid.rows[::every]])
    labels = [cut(word, 20) for word in grid.columns[::each]]
    axes.set_xticks(range(0, columns, each), labels, rotation=45 if columns > 6 else 0)
    if columns > 6:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_ylabel(grid.labels[0])
    axes.set_xlabel(grid.labels[1])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, label="test accuracy (%)", extend="min" if low > finite.min() else "neither")
    return figure


def _tips(axes: Axes, grid: Grid) -> list[Tip]:
    """In each cell; of very many cells evenly thinned out."""
    every = math.ceil(len(grid.names) / TIPS) if grid.names else 1
    return [
        Tip(axes, c, r, f"{name}: {grid.values[r, c]:.2f} %", name)
        for (r, c), name in list(grid.names.items())[::every]
    ]  # fmt: skip
