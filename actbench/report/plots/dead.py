"""Dead units of each layer over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.measures.layers import LayerRecord
from actbench.report.configurations import Configuration
from actbench.report.plots.style import COLOURS, DASHES, cut, legend_columns, panel_grid
from actbench.store import reader


def dead_units(one: Configuration) -> dict[str, tuple[list[int], list[float]]]:
    """Layer -> epochs, and the mean share of dead units over seeds in each."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    for run in one.runs:
        for record in reader.records(run.folder / "layers.csv", LayerRecord):
            if record.seed not in one.diverged and math.isfinite(record.dead):
                found.setdefault(record.layer, {}).setdefault(record.epoch, {})[record.seed] = record.dead
    return {
        layer: (sorted(epochs), [math.fsum(epochs[e].values()) / len(epochs[e]) for e in sorted(epochs)])
        for layer, epochs in found.items()
    }


DeadUnits = Mapping[str, Mapping[str, tuple[list[int], list[float]]]]  # configuration, layer -> epochs, shares


def dead_overlay(layers: DeadUnits) -> Figure:
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


def dead_panels(layers: DeadUnits) -> Figure:
    """A panel for each configuration, a line for each layer; many layers are shaded from light to dark."""
    figure, panels = panel_grid(list(layers), "epoch", "dead units (%)")
    names = list(dict.fromkeys(name for of_layers in layers.values() for name in of_layers))
    few, shades = len(names) <= len(COLOURS), matplotlib.colormaps["cividis_r"]
    for of_layers, axes in zip(layers.values(), panels, strict=True):
        for name, (epochs, dead) in of_layers.items():
            number = names.index(name)
            colour = COLOURS[number] if few else shades(0.1 + 0.9 * number / (len(names) - 1))
            dash = DASHES[number] if few else "-"
            axes.plot(epochs, [100 * share for share in dead], color=colour, linestyle=dash, linewidth=1.5, label=name)
    panels[0].set_ylim(-2, 102)
    if not few:
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(1, len(names)), "cividis_r")
        figure.colorbar(scale, ax=panels, label="layer", shrink=0.8)
    elif len(names) > 1:
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        handles = [lines[name] for name in names]
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=3.2)
    return figure
