"""The share of dead units over epochs, in the layers in which something happens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.measures.layers import LayerRecord
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import (
    Drawing,
    LineStyle,
    Tip,
    cut,
    heading,
    line_styles,
    of_series,
    panel_grid,
    shown_configurations,
    tips_each,
    tips_of_line,
)
from actbench.report.formatting import listed
from actbench.report.line_labels import End, column_height, column_width, label_ends, placed, shortened
from actbench.report.seed_records import read_each
from actbench.store import reader

SECTION = "units"
ORDER = 60
PANELS = 12
_WIDTH, _LEFT, _TOP, _BOTTOM = 10.0, 0.58, 0.45, 0.32  # inches of the figure; left of axes, above all, below each row
_TITLE, _NARROWEST = 0.34, 1.2  # inches above each panel, and of its axes

OfLayers = Mapping[str, tuple[list[int], list[float]]]  # layer -> epochs, shares
DeadUnits = Mapping[str, OfLayers]  # by configuration


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """A panel for each layer in which units died; of many layers one for each configuration. None where none died."""
    shown, selection = shown_configurations(comparison)
    everything = {name: found for name, found in read_each(shown, dead_units, problems).items() if found}
    units = {name: found for name, found in everything.items() if any(any(dead) for _, dead in found.values())}
    if not units:
        return None
    layers = [layer for layer in _layers(everything) if any(any(of[layer][1]) for of in units.values() if layer in of)]
    caption = "Dead units over epochs (0: before training), mean over seeds"
    if len(layers) <= PANELS / 3 * _columns(units, layers):
        figure, tips = by_layer(units, layers, line_styles(comparison))
        caption += ", in the layers in which any died. No line: none died there."
    else:
        most = sorted(units, key=lambda name: -max(max(dead) for _, dead in units[name].values()))[:PANELS]
        figure, tips = by_configuration({name: units[name] for name in units if name in most})
        caption += ", layer by layer. White: none."
        caption += f" The {PANELS} of {len(units)} configurations with most." if len(units) > PANELS else ""
    heading(figure, comparison, "Dead units", "share of each layer's units, mean over seeds; epoch 0: before training")
    alive = [name for name in everything if name not in units]
    caption += f" No unit was ever dead in {listed(alive, len(alive))}." if alive else ""
    return Drawing(figure, caption + selection, tuple(tips))


def dead_units(configuration: Configuration) -> dict[str, tuple[list[int], list[float]]]:
    """Layer -> epochs, and the mean share of dead units over seeds in each.

    Raises:
        UserError: a file cannot be read.
    """
    shares: dict[str, dict[int, dict[int, float]]] = {}
    for run in configuration.runs:
        for record in reader.table(run.folder, LayerRecord):
            if record.seed not in configuration.diverged and math.isfinite(record.dead):
                shares.setdefault(record.layer, {}).setdefault(record.epoch, {})[record.seed] = record.dead
    return {
        layer: (sorted(epochs), [math.fsum(epochs[e].values()) / len(epochs[e]) for e in sorted(epochs)])
        for layer, epochs in shares.items()
    }


def _layers(units: DeadUnits) -> list[str]:
    return list(dict.fromkeys(layer for of_layers in units.values() for layer in of_layers))


def percent(share: float) -> str:
    """`53 %`, `0.8 %`: whole numbers from 10 % on, else two digits that are not 0.

    >>> percent(0.5312), percent(0.0078), percent(0.0), percent(0.9999)
    ('53 %', '0.78 %', '0 %', '99.99 %')
    """
    value = 100 * share
    if 10 <= value < 99.5 or value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.2f} %" if value >= 99.5 else f"{value:.2g} %"


# ---------------------------------------------------------------- a panel for each layer


def by_layer(units: DeadUnits, layers: Sequence[str], styles: Mapping[str, LineStyle]) -> tuple[Figure, list[Tip]]:
    """Panels with a common axis from 0; a line for each configuration with dead units there, named at its end."""
    columns, texts = _columns(units, layers), _texts(units, layers)
    drawn = {layer: list(of) for layer, of in texts.items()}
    column = max(column_width(list(of.values())) for of in texts.values())
    total = _WIDTH if columns > 1 or column > 2.5 else 7.5
    width = total / columns - _LEFT - column
    rows = [layers[k : k + columns] for k in range(0, len(layers), columns)]
    heights = [max(1.5 if len(rows) > 1 else 2.6, *(column_height(len(drawn[layer])) for layer in row)) for row in rows]
    figure = Figure(figsize=(total, _TOP + sum(height + _TITLE + _BOTTOM for height in heights) + 0.22))
    top = 1.05 * max(share for of in units.values() for _, dead in of.values() for share in dead)
    tips: list[Tip] = []
    each = tips_each(sum(map(len, drawn.values())))
    y = figure.get_figheight() - _TOP
    for row, height in zip(rows, heights, strict=True):
        y -= _TITLE + height
        for place, layer in enumerate(row):
            axes = placed(figure, _LEFT + place * total / columns, y, width, height)
            axes.set_title(cut(layer, 40), loc="left", fontsize=9)
            tips += _panel(
                axes, layer, {name: units[name][layer] for name in drawn[layer]}, styles, min(1.0, top), each
            )
            label_ends(axes, [
                End(name, texts[layer][name], units[name][layer][0][-1], 100 * units[name][layer][1][-1], styles[name])
                for name in drawn[layer]
            ])  # fmt: skip
            if place == 0:
                axes.set_ylabel("dead units (%)", fontsize=9)
            if row is rows[-1] or (row is rows[-2] and place >= len(rows[-1])):
                axes.set_xlabel("epoch", fontsize=9)
        y -= _BOTTOM
    return figure, tips


def _columns(units: DeadUnits, layers: Sequence[str]) -> int:
    """As many columns of panels, up to three, as leave the lines room beside the names."""
    room = _LEFT + _NARROWEST + max(column_width(list(of.values())) for of in _texts(units, layers).values())
    return max(1, min(len(layers), 3, int(_WIDTH / room)))


def _texts(units: DeadUnits, layers: Sequence[str]) -> dict[str, dict[str, str]]:
    """What is written at the ends of the lines: layer -> name -> the name with the share after training."""
    return {
        layer: {
            name: f"{shortened(name, 0.4 * _WIDTH)} {_last(of[layer][1])}"
            for name, of in units.items()
            if layer in of and any(of[layer][1])
        }
        for layer in layers
    }


def _last(dead: Sequence[float]) -> str:
    """The share after training; where that is none, how many there were meanwhile."""
    return percent(dead[-1]) if dead[-1] else f"0 % (max {percent(max(dead))})"


def _panel(
    axes: Axes, layer: str, lines: OfLayers, styles: Mapping[str, LineStyle], top: float, each: int
) -> list[Tip]:
    last = max(epochs[-1] for epochs, _ in lines.values())
    axes.set_xlim((0, last) if last else (-0.5, 0.5))
    axes.set_ylim(0, 100 * top)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    tips = []
    for name, (epochs, dead) in lines.items():
        style, shares = styles[name], [100 * share for share in dead]
        marker = "o" if len(epochs) == 1 else ""
        line = axes.plot(epochs, shares, color=style.colour, linestyle=style.dash, linewidth=1.6, marker=marker,
                         clip_on=False)  # fmt: skip
        of_series(name, *line)
        texts = [
            f"{name}, {layer}, epoch {epoch}: {percent(share)} dead" for epoch, share in zip(epochs, dead, strict=True)
        ]
        tips += tips_of_line(axes, epochs, shares, texts, name, each)
    return tips


# ---------------------------------------------------------------- a panel for each configuration


def by_configuration(units: DeadUnits) -> tuple[Figure, list[Tip]]:
    """Layers from above, epochs to the right, shares as shades; those far below 1 % can be told from none."""
    layers = _layers(units)
    figure, all_axes = panel_grid(list(units), "epoch", "layer")
    shades = matplotlib.colormaps["cividis_r"].with_extremes(bad="white")
    norm = PowerNorm(0.5, 0, 100 * max(max(dead) for of in units.values() for _, dead in of.values()))
    every = math.ceil(len(layers) / 10)
    tips = []
    for (name, of_layers), axes in zip(units.items(), all_axes, strict=True):
        epochs = sorted({epoch for of in of_layers.values() for epoch in of[0]})
        grid = np.full((len(layers), len(epochs)), np.nan)
        for layer, (own, dead) in of_layers.items():
            grid[layers.index(layer), np.searchsorted(epochs, own)] = np.array(dead) * 100
        pixels = np.ma.masked_where(~(grid > 0), grid)
        image = axes.imshow(pixels, cmap=shades, norm=norm, aspect="auto", interpolation="nearest",
                            extent=(epochs[0] - 0.5, epochs[-1] + 0.5, len(layers) - 0.5, -0.5))  # fmt: skip
        of_series(name, image, axes.title)
        axes.set_yticks(range(0, len(layers), every), [cut(layer, 14) for layer in layers[::every]])
        axes.grid(visible=False)
        tips += _cells(axes, name, layers, epochs, grid, tips_each(len(units) * 12))
    figure.colorbar(image, ax=all_axes, label="dead units (%)", shrink=0.8)
    return figure, tips


def _cells(
    axes: Axes, name: str, layers: Sequence[str], epochs: Sequence[int], grid: np.ndarray, each: int
) -> list[Tip]:
    """Tips in a dozen of the layers."""
    tips = []
    for row in dict.fromkeys(np.linspace(0, len(layers) - 1, 12).round().astype(int).tolist()):
        known = {epoch: share for epoch, share in zip(epochs, grid[row], strict=True) if math.isfinite(share)}
        texts = [f"{name}, {layers[row]}, epoch {epoch}: {percent(known[epoch] / 100)} dead" for epoch in known]
        tips += tips_of_line(axes, known, [row] * len(known), texts, name, each)
    return tips
