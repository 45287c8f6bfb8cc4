"""What activations learned: their parameters over epochs, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.measures.shapes import ShapeRecord
from actbench.records import Estimate
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import COLOURS, DASHES, SHOWN, Drawing, in_lines
from actbench.report.seed_records import read_each, records_by_seed

SECTION = "learned"
ORDER = 80
PANELS = 20
_CAPTION = (
    "Learned parameters of the activations (0: before training), mean over each layer's units. Bands: 95 % interval of "
    "the mean over seeds."
)

# parameter -> layer -> epochs (E,) and mean over seeds with its interval (3, E)
Shapes = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """None where no activation learns anything."""
    usable = [configuration for configuration in comparison.block.configurations if configuration.n]
    panels = shape_panels(read_each(usable[:SHOWN], shapes, problems))
    return Drawing(learned(panels), _CAPTION) if panels else None


def shapes(configuration: Configuration) -> Shapes:
    """The means over units of each learned parameter, and over the seeds that did not diverge.

    Raises:
        UserError: a file cannot be read.
    """
    values: dict[str, dict[str, dict[int, list[float]]]] = {}
    for records in records_by_seed(configuration, ShapeRecord).values():
        for record in records:
            of_layer = values.setdefault(record.parameter, {}).setdefault(record.layer, {})
            of_layer.setdefault(record.epoch, []).append(record.mean)
    return {name: {layer: _curve(epochs) for layer, epochs in layers.items()} for name, layers in values.items()}


def _curve(by_epoch: Mapping[int, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    epochs = sorted(by_epoch)
    estimates = [Estimate.of(by_epoch[epoch]) for epoch in epochs]
    rows = [(e.mean, *(e.ci95 or (e.mean, e.mean))) for e in estimates]
    return np.array(epochs), np.array(rows, dtype=float).reshape(-1, 3).T


def shape_panels(
    of_configurations: Mapping[str, Shapes],
) -> list[tuple[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]]:
    """A title and the layers of each panel: `prelu: weight`; at most `PANELS`."""
    panels = [
        (f"{name}: {parameter}", layers)
        for name, learned_by in of_configurations.items()
        for parameter, layers in learned_by.items()
    ]
    return panels[:PANELS]


def learned(panels: Sequence[tuple[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]]) -> Figure:
    """A panel for each configuration and parameter, a line for each layer; many are shaded from light to dark."""
    columns = min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    size = (7.0, 4.2) if len(panels) == 1 else (10 if columns > 2 else 5 * columns, 1.2 + 2.0 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    names = list(dict.fromkeys(layer for _, layers in panels for layer in layers))
    few, shades = len(names) <= len(COLOURS), matplotlib.colormaps["cividis_r"]
    for number, ((title, layers), axes) in enumerate(zip(panels, grid, strict=False)):
        for layer, (epochs, band) in layers.items():
            place = names.index(layer)
            colour = COLOURS[place] if few else shades(0.1 + 0.9 * place / (len(names) - 1))
            dash = DASHES[place] if few else "-"
            marker = "o" if len(epochs) == 1 else ""
            axes.plot(epochs, band[0], color=colour, linestyle=dash, linewidth=1.5, label=layer, marker=marker)
            axes.fill_between(epochs, band[1], band[2], color=colour, alpha=0.18 if few else 0.06, linewidth=0)
        _keep_in_view(axes, [band for _, band in layers.values()])
        axes.set_title(in_lines(title, 28 if columns > 2 else 44), fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8, labelbottom=number + columns >= len(panels))
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("learned parameter", fontsize=10)
    if not few:
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(1, len(names)), "cividis_r")
        figure.colorbar(scale, ax=list(grid[: len(panels)]), label="layer", shrink=0.8)
    elif len(names) > 1:
        lines = {str(line.get_label()): line for axes in grid for line in axes.get_lines()}
        figure.legend(
            [lines[name] for name in names], names, loc="outside upper center", ncols=len(names), handlelength=3.2
        )
    return figure


def _keep_in_view(axes: Axes, bands: Sequence[np.ndarray]) -> None:
    """Shows the means, and intervals up to the span of the means on either side: those of two seeds may be wider."""
    means = np.concatenate([band[0] for band in bands])
    means = means[np.isfinite(means)]
    if not len(means):
        return
    span = float(np.ptp(means)) or 0.1 * abs(float(means[0])) or 0.1
    ends = np.concatenate([band[1:].ravel() for band in bands])
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    axes.set_ylim(max(low, means.min() - span) - 0.05 * span, min(high, means.max() + span) + 0.05 * span)
