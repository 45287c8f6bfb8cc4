"""The share of dead units of each layer over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.measures.layers import LayerRecord
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import (
    COLOURS,
    DASHES,
    OVERLAID,
    Drawing,
    cut,
    legend_columns,
    panel_grid,
    shown_configurations,
)
from actbench.report.seed_records import read_each
from actbench.store import reader

SECTION = "units"
ORDER = 60
DeadUnits = Mapping[str, Mapping[str, tuple[list[int], list[float]]]]  # configuration, layer -> epochs, shares


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """One panel for networks of one layer, else a panel for each configuration."""
    shown, selection = shown_configurations(comparison)
    layers = {name: of_layers for name, of_layers in read_each(shown, dead_units, problems).items() if of_layers}
    if not layers:
        return None
    overlaid = len(layers) <= OVERLAID and all(len(of_layers) == 1 for of_layers in layers.values())
    caption = f"Dead units of each layer over epochs (0: before training), mean over seeds.{selection}"
    return Drawing(overlay(layers) if overlaid else panels(layers), caption)


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


def overlay(layers: DeadUnits) -> Figure:
    """Networks of one layer, in one panel."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, of_layers), colour, dash in zip(layers.items(), COLOURS, DASHES, strict=False):
        ((epochs, dead),) = of_layers.values()
        axes.plot(
            epochs, [100 * share for share in dead], color=colour, linestyle=dash, linewidth=1.8, label=cut(name, 60)
        )
    axes.set_ylim(bottom=min(-1, -0.02 * axes.get_ylim()[1]))
    axes.set_xlabel("epoch")
    axes.set_ylabel("dead units (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=legend_columns(list(layers), 7), handlelength=3.2)
    return figure


def panels(layers: DeadUnits) -> Figure:
    """A panel for each configuration, a line for each layer; many layers are shaded from light to dark."""
    figure, all_axes = panel_grid(list(layers), "epoch", "dead units (%)")
    names = list(dict.fromkeys(name for of_layers in layers.values() for name in of_layers))
    few, shades = len(names) <= len(COLOURS), matplotlib.colormaps["cividis_r"]
    for of_layers, axes in zip(layers.values(), all_axes, strict=True):
        for name, (epochs, dead) in of_layers.items():
            number = names.index(name)
            colour = COLOURS[number] if few else shades(0.1 + 0.9 * number / (len(names) - 1))
            dash = DASHES[number] if few else "-"
            axes.plot(epochs, [100 * share for share in dead], color=colour, linestyle=dash, linewidth=1.5, label=name)
    all_axes[0].set_ylim(-2, 102)
    if not few:
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(1, len(names)), "cividis_r")
        figure.colorbar(scale, ax=all_axes, label="layer", shrink=0.8)
    elif len(names) > 1:
        lines = {line.get_label(): line for axes in all_axes for line in axes.get_lines()}
        handles = [lines[name] for name in names]
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=3.2)
    return figure
