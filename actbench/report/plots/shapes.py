"""What activations learned: their parameters over epochs, layer by layer; over layers in deep networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.measures.shapes import ShapeRecord, symbol
from actbench.records import Estimate
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import (
    DASHES,
    SHOWN,
    Drawing,
    LineStyle,
    Tip,
    heading,
    line_style,
    line_styles,
    of_series,
    tips_each,
    tips_of_line,
)
from actbench.report.formatting import minus
from actbench.report.line_labels import End, column_height, column_width, label_ends, placed, shortened
from actbench.report.seed_records import read_each, records_by_seed

SECTION = "learned"
ORDER = 80
PANELS = 12
_WIDTH, _LEFT, _TOP, _TITLE, _BOTTOM = 10.0, 0.85, 0.5, 0.34, 0.5  # inches
_NARROWEST, _LONGEST = 1.2, 2.0  # inches of axes, and of a layer's name
_CAPTION = (
    "Learned parameters of the activations, mean over each layer's units{how}. Bands: 95 % interval of the mean over "
    "seeds.{left_out}"
)

# the parameter as formulas call it -> layer -> epochs (E,) and mean over seeds with its interval (3, E)
Shapes = Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Panel:
    """One parameter of one configuration."""

    name: str
    parameter: str
    layers: Mapping[str, tuple[np.ndarray, np.ndarray]]

    @property
    def title(self) -> str:
        """`swish: β`."""
        return f"{self.name}: {self.parameter}"

    @property
    def deep(self) -> bool:
        """Whether the layers are too many for a line each."""
        return len(self.layers) > len(DASHES)


@dataclass(frozen=True)
class Line:
    """What is drawn in a panel: a name, where its points lie and are, in words, and their values (3, points)."""

    text: str
    x: np.ndarray
    words: Sequence[str]
    band: np.ndarray
    style: LineStyle


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """None where no activation learns anything."""
    usable = [configuration for configuration in comparison.block.configurations if configuration.n]
    panels = shape_panels(read_each(usable[:SHOWN], shapes, problems))
    if not panels:
        return None
    shown = panels[:PANELS]
    figure, tips = learned(shown, line_styles(comparison))
    how = " over epochs (0: before training)" if not any(panel.deep for panel in shown) else ""
    left_out = f" The first {PANELS} of {len(panels)}." if len(panels) > PANELS else ""
    heading(figure, comparison, "Learned parameters", "mean over a layer's units and over seeds; bands: 95 % interval")
    return Drawing(figure, _CAPTION.format(how=how, left_out=left_out), tuple(tips))


def shapes(configuration: Configuration) -> Shapes:
    """The means over units of each learned parameter, and over the seeds that did not diverge.

    Raises:
        UserError: a file cannot be read.
    """
    settings = configuration.settings
    targets = (settings.activation.target, settings.upper_activation.target)
    values: dict[str, dict[str, dict[int, list[float]]]] = {}
    for records in records_by_seed(configuration, ShapeRecord).values():
        for record in records:
            of_layer = values.setdefault(symbol(record.parameter, targets), {}).setdefault(record.layer, {})
            of_layer.setdefault(record.epoch, []).append(record.mean)
    return {name: {layer: _curve(epochs) for layer, epochs in layers.items()} for name, layers in values.items()}


def _curve(by_epoch: Mapping[int, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    epochs = sorted(by_epoch)
    estimates = [Estimate.of(by_epoch[epoch]) for epoch in epochs]
    rows = [(e.mean, *(e.ci95 or (e.mean, e.mean))) for e in estimates]
    return np.array(epochs), np.array(rows, dtype=float).reshape(-1, 3).T


def shape_panels(of_configurations: Mapping[str, Shapes]) -> list[Panel]:
    """A panel for each parameter of each configuration."""
    return [
        Panel(name, parameter, layers)
        for name, learned_by in of_configurations.items()
        for parameter, layers in learned_by.items()
    ]


def learned(panels: Sequence[Panel], styles: Mapping[str, LineStyle] | None = None) -> tuple[Figure, list[Tip]]:
    """Panels in rows, each with its own axis: the parameters of one activation differ in size."""
    styles = styles or {panel.name: line_style(k) for k, panel in enumerate(panels)}
    lines = [_lines(panel, styles[panel.name].colour) for panel in panels]
    texts = [shortened(line.text, _LONGEST) for of_panel in lines for line in of_panel]
    column = column_width(texts)
    columns = max(1, min(len(panels), 3, int(_WIDTH / (_LEFT + _NARROWEST + column))))
    rows = -(-len(panels) // columns)
    total, height = (_WIDTH if columns > 1 else 7.5), max(1.5 if rows > 1 else 2.6, column_height(len(DASHES)))
    step = _TITLE + height + _BOTTOM
    figure = Figure(figsize=(total, _TOP + rows * step))
    tips: list[Tip] = []
    for number, (panel, of_panel) in enumerate(zip(panels, lines, strict=True)):
        left = _LEFT + (number % columns) * total / columns
        bottom = figure.get_figheight() - _TOP - (number // columns + 1) * step + _BOTTOM
        axes = placed(figure, left, bottom, total / columns - _LEFT - column, height)
        tips += _draw_panel(axes, panel, of_panel, tips_each(sum(map(len, lines))))
    return figure, tips


def _lines(panel: Panel, colour: str) -> list[Line]:
    """A line over epochs for each layer; of many layers one over the layers, before, amid and after training."""
    if not panel.deep:
        return [
            Line(layer, epochs, [f"{layer}, epoch {epoch}" for epoch in epochs], band, LineStyle(colour, dash, ""))
            for (layer, (epochs, band)), dash in zip(panel.layers.items(), DASHES, strict=False)
        ]
    by_epoch: dict[int, dict[int, np.ndarray]] = {}  # epoch -> place of the layer -> mean and interval
    for place, (epochs, band) in enumerate(panel.layers.values()):
        for epoch, values in zip(epochs.tolist(), band.T, strict=True):
            by_epoch.setdefault(epoch, {})[place] = values
    order, names = sorted(by_epoch), list(panel.layers)
    looks = {order[len(order) // 2]: "--", order[0]: ":", order[-1]: "-"}
    return [
        Line(
            "before training" if epoch == 0 else f"epoch {epoch}", np.array(sorted(by_epoch[epoch])) + 1,
            [f"{names[place]}, epoch {epoch}" for place in sorted(by_epoch[epoch])],
            np.array([by_epoch[epoch][place] for place in sorted(by_epoch[epoch])]).T,
            LineStyle(colour if epoch == order[-1] else "0.5", dash, ""),
        )
        for epoch, dash in looks.items()
    ]  # fmt: skip


def _draw_panel(axes: Axes, panel: Panel, lines: Sequence[Line], each: int) -> list[Tip]:
    """Lines, bands, names and tips."""
    first, last = min(float(line.x[0]) for line in lines), max(float(line.x[-1]) for line in lines)
    axes.set_xlim(first if first < last else first - 1, last)
    _keep_in_view(axes, [line.band for line in lines])
    tips: list[Tip] = []
    for line in lines:
        mean, low, high = line.band
        marker = "o" if len(line.x) == 1 else ""
        drawn = axes.plot(
            line.x, mean, color=line.style.colour, linestyle=line.style.dash, linewidth=1.5, marker=marker
        )
        band = axes.fill_between(line.x, low, high, color=line.style.colour, alpha=0.13, linewidth=0)
        of_series(panel.name, *drawn, band)
        tips += tips_of_line(axes, line.x, mean, _texts(panel, line), panel.name, each)
    label_ends(axes, [end for line in lines for end in _end(panel, line)])
    axes.set_title(shortened(panel.title, 3.2), loc="left", fontsize=9)
    of_series(panel.name, axes.title)
    axes.set_ylabel(panel.parameter, fontsize=9)
    axes.set_xlabel(f"layer (1: {next(iter(panel.layers))})" if panel.deep else "epoch", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    return tips


def _texts(panel: Panel, line: Line) -> list[str]:
    """`swish, hidden1, epoch 3: β = 0.8123 (0.79 to 0.834)`."""
    texts = []
    for words, mean, low, high in zip(line.words, *line.band, strict=True):
        interval = f" ({low:.3g} to {high:.3g})" if low < high else ""
        texts.append(minus(f"{panel.name}, {words}: {panel.parameter} = {mean:.4g}{interval}"))
    return texts


def _end(panel: Panel, line: Line) -> list[End]:
    """The last point that is a number, if there is one."""
    known = np.flatnonzero(np.isfinite(line.band[0]))[-1:]
    text = shortened(line.text, _LONGEST)
    return [End(panel.name, text, float(line.x[k]), float(line.band[0][k]), line.style) for k in known]


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
