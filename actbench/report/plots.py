"""The comparison as pictures. Colours are told apart by colour-blind people too (Okabe & Ito 2008), and never alone."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from actbench import naming, stored
from actbench.records import EpochRecord, Estimate, LayerRecord
from actbench.report.comparison import METRIC, Comparison, Row
from actbench.report.configurations import Configuration

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#999999",
)
_COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
_MARKERS = ("o", "s", "^", "D", "v")  # five beside six colours: the first thirty pairs differ
_OVERLAID = len(_COLOURS)  # more curves than that get a panel each
SHOWN = 20  # configurations in a picture; the tables have all
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "legend.frameon": False,
    "svg.hashsalt": "actbench",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a name with dollars in it is a name
}


@dataclass(frozen=True)
class Picture:
    """A plot as SVG and PNG, with what it shows in a sentence."""

    name: str
    caption: str
    svg: bytes
    png: bytes


def pictures(comparison: Comparison) -> Iterator[Picture]:
    """Every plot that the block has data for."""
    shown, left_out = _shown(comparison)
    if not shown:
        return
    histories = {one.name: _history(one) for one in shown}
    layers = {one.name: _dead(one) for one in shown}
    few = f" The best {len(shown)} of {len(shown) + left_out} configurations." if left_out else ""
    band = "Bands: 95 % interval of the mean over seeds."
    several = len(histories) > _OVERLAID
    yield _picture("curves", f"Learning curves. {band}{few}", _panels if several else _overlay, histories)
    caption = f"Test accuracy: mean with 95 % interval, and every seed as a dot.{few}"
    yield _picture("accuracy", caption, _intervals, shown, comparison.ranking.baseline)
    rows = [row for row in comparison.ranking.rows if row.against and row.configuration in shown]
    if rows and comparison.ranking.baseline:
        caption = f"Difference from {comparison.ranking.baseline.name}, paired seed by seed, with 95 % interval.{few}"
        yield _picture("differences", caption, _differences, rows, comparison.ranking.baseline.name)
    if len(shown) > 1:
        yield _picture("cost", f"Test accuracy against the time of an epoch.{few}", _cost, shown)
    layers = {name: of_layers for name, of_layers in layers.items() if of_layers}
    if layers:
        caption = f"Dead units of each layer over epochs (0: before training), mean over seeds.{few}"
        plain = len(layers) <= _OVERLAID and all(len(of_layers) == 1 for of_layers in layers.values())
        yield _picture("dead", caption, _dead_overlay if plain else _dead_panels, layers)
    axes = _axes_of(comparison)
    if axes:
        grid = _grid(comparison, *axes)
        more = " Of further settings the one with the best validation accuracy." if grid.chosen else ""
        yield _picture("heatmap", f"Mean test accuracy (%) over {axes[0]} and {axes[1]}.{more}", _heatmap, grid)


def _shown(comparison: Comparison) -> tuple[list[Configuration], int]:
    """The best configurations, and the baseline among them."""
    usable = [row.configuration for row in comparison.ranking.rows if row.configuration.n]
    shown, baseline = usable[:SHOWN], comparison.ranking.baseline
    if baseline is not None and baseline not in shown:
        shown[-1] = baseline
    return shown, len(usable) - len(shown)


def _picture(name: str, caption: str, draw: Callable[..., Figure], *arguments: Any) -> Picture:
    with matplotlib.rc_context(_STYLE):
        figure = draw(*arguments)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Title": caption})
        figure.savefig(png, format="png", metadata={"Title": caption})
    return Picture(name, caption, svg.getvalue(), png.getvalue())


# ---------------------------------------------------------------- learning curves

Curves = Mapping[str, np.ndarray]  # "epoch" (E), and for each column mean, low and high (3, E)


def _history(one: Configuration) -> Curves:
    """Mean and interval over seeds of each epoch."""
    by_epoch: dict[int, dict[int, EpochRecord]] = {}
    for run in one.runs:  # of one seed, the newer run counts
        for record in stored.records(run.folder / "history.csv", EpochRecord):
            by_epoch.setdefault(record.epoch, {})[record.seed] = record
    epochs = sorted(by_epoch)
    curves = {"epoch": np.array(epochs)}
    for column in ("val_accuracy", "train_loss"):
        curves[column] = _bands([[getattr(r, column) for r in by_epoch[epoch].values()] for epoch in epochs])
    return curves


def _bands(by_epoch: Sequence[Sequence[float]]) -> np.ndarray:
    """(3, E): the mean, and the ends of its interval."""
    estimates = [Estimate.of(values) for values in by_epoch]
    rows = [(e.mean, *(e.ci95 or (e.mean, e.mean))) for e in estimates]
    return np.array(rows, dtype=float).reshape(-1, 3).T


def _curve(axes: Axes, epochs: np.ndarray, band: np.ndarray, colour: str, dash: Any = "-", label: str = "") -> None:
    mean, low, high = band
    marker = "o" if len(epochs) == 1 else ""
    axes.plot(epochs, mean, color=colour, linestyle=dash, linewidth=1.8, label=label, marker=marker, markersize=4)
    axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


def _overlay(histories: Mapping[str, Curves]) -> Figure:
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, curves), colour, dash in zip(histories.items(), _COLOURS, _DASHES, strict=False):
        _curve(left, curves["epoch"], curves["val_accuracy"], colour, dash, name)
        _curve(right, curves["epoch"], np.maximum(curves["train_loss"], 1e-12), colour, dash)
    left.set_ylabel("validation accuracy (%)")
    right.set_ylabel("training loss (nats)")
    right.set_yscale("log")
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.yaxis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, handlelength=3.2)
    return figure


def _panels(histories: Mapping[str, Curves]) -> Figure:
    """A panel each, the others in grey behind it."""
    figure, panels = _panel_grid(list(histories), "epoch", "validation accuracy (%)")
    ends = [band[0][-1] for curves in histories.values() if len(band := curves["val_accuracy"]) and band.size]
    starts = [curves["val_accuracy"][1][0] for curves in histories.values()]
    low = max(min(starts), np.nanmedian(ends) - 3 * (np.nanmedian(ends) - np.nanmedian(starts) + 0.5))
    for (name, curves), axes in zip(histories.items(), panels, strict=True):
        for other, theirs in histories.items():
            if other != name:
                axes.plot(theirs["epoch"], theirs["val_accuracy"][0], color="0.82", linewidth=0.7)
        _curve(axes, curves["epoch"], curves["val_accuracy"], BLUE)
    panels[0].set_ylim(bottom=low)
    return figure


def _panel_grid(names: Sequence[str], x: str, y: str) -> tuple[Figure, list[Axes]]:
    """Small panels with shared axes, as wide as a page."""
    columns = min(len(names), 4)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(10 if columns > 2 else 5 * columns, 0.8 + 1.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for number, axes in enumerate(grid):
        if number < len(names):
            axes.set_title(_cut(names[number], 26 if columns > 2 else 40), fontsize=9)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=8, labelbottom=number + columns >= len(names))
        else:
            axes.set_visible(False)
    figure.supxlabel(x, fontsize=10)
    figure.supylabel(y, fontsize=10)
    return figure, list(grid[: len(names)])


# ---------------------------------------------------------------- intervals


def _rows_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """One line for each name, the first on top."""
    figure = Figure(figsize=(9, 1.3 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [_cut(name, 44) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _interval_row(axes: Axes, y: int, estimate: Estimate, dots: Sequence[float], colour: str, marker: str) -> None:
    axes.scatter(dots, [y + 0.2] * len(dots), s=14, facecolors="none", edgecolors=colour, linewidths=0.9, zorder=2)
    if estimate.ci95:
        axes.plot(estimate.ci95, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    axes.scatter([estimate.mean or 0.0], [y], s=40, color=colour, marker=marker, zorder=4)


def _keep_in_view(axes: Axes, values: Sequence[float], ends: Sequence[float]) -> None:
    """From the smallest to the largest dot: the interval of two seeds may be wider than any accuracy, and is cut."""
    span = max(values) - min(values) or 0.1
    low, high = max(min(ends), min(values) - span), min(max(ends), max(values) + span)
    axes.set_xlim(min(low, min(values)) - 0.05 * span, max(high, max(values)) + 0.05 * span)


def _intervals(shown: Sequence[Configuration], baseline: Configuration | None) -> Figure:
    figure, axes = _rows_figure([one.name for one in shown])
    values: list[float] = []
    ends: list[float] = []
    for y, one in enumerate(shown):
        estimate, dots = one.estimate(METRIC), list(one.values[METRIC].values())
        is_baseline = one is baseline
        _interval_row(axes, y, estimate, dots, ORANGE if is_baseline else BLUE, "s" if is_baseline else "o")
        values += dots
        ends += estimate.ci95 or ()
    _keep_in_view(axes, values, ends or values)
    axes.set_xlabel("test accuracy (%); filled: mean, bar: 95 % interval, rings: seeds" + _square(baseline))
    return figure


def _square(baseline: Configuration | None) -> str:
    return f"; square: {_cut(baseline.name, 30)}, the baseline" if baseline else ""


_VERDICTS = {"better": (BLUE, "^"), "worse": (ORANGE, "v"), "unclear": ("#666666", "o")}


def _differences(rows: Sequence[Row], baseline: str) -> Figure:
    figure, axes = _rows_figure([row.name for row in rows])
    values: list[float] = [0.0]
    ends: list[float] = []
    for y, row in enumerate(rows):
        assert row.against is not None
        estimate = row.against.difference
        dots = [value for value in estimate.values if value is not None]
        if dots:
            _interval_row(axes, y, estimate, dots, *_VERDICTS[row.verdict])
        values += dots
        ends += estimate.ci95 or ()
    axes.axvline(0, color="0.3", linewidth=1)
    _keep_in_view(axes, values, ends or values)
    axes.set_xlabel(f"test accuracy minus that of {_cut(baseline, 40)}, same seed (percentage points)")
    present = [verdict for verdict in _VERDICTS if any(row.verdict == verdict for row in rows)]
    for verdict in present:
        colour, marker = _VERDICTS[verdict]
        label = "no difference shown" if verdict == "unclear" else f"{verdict} (p ≤ 0.05 after Holm)"
        axes.scatter([], [], color=colour, marker=marker, s=40, label=label)
    figure.legend(loc="outside upper right", ncols=3, fontsize=9)
    return figure


# ---------------------------------------------------------------- cost


def _cost(shown: Sequence[Configuration]) -> Figure:
    """Points, with their names in a column beside them, so that none covers another."""
    figure = Figure(figsize=(9, max(4.2, 1.4 + 0.26 * len(shown))), layout="constrained")
    axes = figure.subplots()
    points = [(one.seconds_per_epoch, one.mean(METRIC), one) for one in shown if math.isfinite(one.seconds_per_epoch)]
    halves = []
    for x, _, one in points:
        interval = one.estimate(METRIC).ci95
        if interval:
            axes.plot([x, x], interval, color="0.75", linewidth=1.2, zorder=1)
            halves.append((interval[1] - interval[0]) / 2)
    times, heights = [x for x, _, _ in points], [y for _, y, _ in points]
    room = max(0.15 * (max(heights) - min(heights)), 1.2 * statistics.median(halves or [0.1]), 0.01)
    axes.set_ylim(min(heights) - room, max(heights) + room)
    aside = max(0.08 * (max(times) - min(times)), 0.05 * max(times))  # a difference of 1 % is not to look like a gulf
    axes.set_xlim(min(times) - aside, max(times) + aside)
    order = sorted(points, key=lambda point: -point[1])
    for place, (x, y, one) in enumerate(order):
        height, colour = 1 - (place + 0.5) / len(order), _COLOURS[place % len(_COLOURS)]
        axes.scatter([x], [y], s=40, color=colour, marker=_MARKERS[place % len(_MARKERS)], zorder=3)
        axes.annotate(
            _cut(one.name, 34), (x, y), xytext=(1.06, height), textcoords="axes fraction", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "alpha": 0.7, "relpos": (0, 0.5)},
        )  # fmt: skip
    axes.set_xlabel("seconds per epoch and seed (training and validation)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.25)
    return figure


# ---------------------------------------------------------------- dead units


def _dead(one: Configuration) -> dict[str, tuple[list[int], list[float]]]:
    """Layer -> epochs, and the mean share of dead units over seeds in each."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    for run in one.runs:
        for record in stored.records(run.folder / "layers.csv", LayerRecord):
            if record.seed not in one.diverged and math.isfinite(record.dead):
                found.setdefault(record.layer, {}).setdefault(record.epoch, {})[record.seed] = record.dead
    return {
        layer: (sorted(epochs), [math.fsum(epochs[e].values()) / len(epochs[e]) for e in sorted(epochs)])
        for layer, epochs in found.items()
    }


DeadUnits = Mapping[str, Mapping[str, tuple[list[int], list[float]]]]  # configuration, layer -> epochs, shares


def _dead_overlay(layers: DeadUnits) -> Figure:
    """Networks of one layer, in one panel."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, of_layers), colour, dash in zip(layers.items(), _COLOURS, _DASHES, strict=False):
        ((epochs, dead),) = of_layers.values()
        axes.plot(epochs, [100 * share for share in dead], color=colour, linestyle=dash, linewidth=1.8, label=name)
    axes.set_ylim(bottom=min(-1, -0.02 * axes.get_ylim()[1]))
    axes.set_xlabel("epoch")
    axes.set_ylabel("dead units (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, handlelength=3.2)
    return figure


def _dead_panels(layers: DeadUnits) -> Figure:
    """A panel for each configuration, a line for each layer; many layers are shaded from light to dark."""
    figure, panels = _panel_grid(list(layers), "epoch", "dead units (%)")
    names = max((list(of_layers) for of_layers in layers.values()), key=len)
    few, shades = len(names) <= len(_COLOURS), matplotlib.colormaps["cividis_r"]
    for of_layers, axes in zip(layers.values(), panels, strict=True):
        for number, (epochs, dead) in enumerate(of_layers.values()):
            colour = _COLOURS[number] if few else shades(0.1 + 0.9 * number / (len(names) - 1))
            dash = _DASHES[number] if few else "-"
            axes.plot(epochs, [100 * share for share in dead], color=colour, linestyle=dash, linewidth=1.5)
    panels[0].set_ylim(-2, 102)
    if not few:
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(1, len(names)), "cividis_r")
        figure.colorbar(scale, ax=panels, label="layer", shrink=0.8)
    elif len(names) > 1:
        longest = max(panels, key=lambda axes: len(axes.get_lines()))
        figure.legend(longest.get_lines(), names, loc="outside upper center", ncols=len(names), handlelength=3.2)
    return figure


# ---------------------------------------------------------------- heat map


@dataclass(frozen=True)
class _Grid:
    rows: list[str]
    columns: list[str]
    values: np.ndarray  # (rows, columns), NaN where there is no result
    chosen: bool  # other keys vary too
    labels: tuple[str, str]


def _axes_of(comparison: Comparison) -> tuple[str, str] | None:
    """The two keys with most values that vary independently: a group stands for its parameters."""
    varying = [
        one
        for one in comparison.block.varying
        if "." not in one or one.partition(".")[0] not in comparison.block.varying
    ]
    if "activation" in varying and "upper_activation" in varying:
        varying.remove("upper_activation")
    counts = {}
    for key in varying:
        counts[key] = len(
            {naming.shown(one.settings.flat().get(key)) for one in comparison.block.configurations if one.n}
        )
    most = sorted((key for key in varying if counts[key] > 1), key=lambda key: -counts[key])[:2]
    return (most[0], most[1]) if len(most) == 2 else None


def _grid(comparison: Comparison, first: str, second: str) -> _Grid:
    best: dict[tuple[str, str], Configuration] = {}
    chosen = False
    values: dict[str, dict[str, Any]] = {first: {}, second: {}}
    for one in comparison.block.configurations:
        flat = one.settings.flat()
        if not one.n or first not in flat or second not in flat:
            continue
        cell = (naming.shown(flat[first]), naming.shown(flat[second]))
        for key, word in zip((first, second), cell, strict=True):
            values[key][word] = flat[key]
        chosen |= cell in best
        if cell not in best or one.mean("val_accuracy") > best[cell].mean("val_accuracy"):
            best[cell] = one
    rows, columns = (_ordered(values[key]) for key in (first, second))
    grid = np.array([[best[r, c].mean(METRIC) if (r, c) in best else math.nan for c in columns] for r in rows])
    return _Grid(rows, columns, grid, chosen, (first, second))


def _ordered(values: Mapping[str, Any]) -> list[str]:
    """Numbers by size, words as they come (the best first)."""
    if all(isinstance(value, (int, float)) for value in values.values()):
        return sorted(values, key=lambda word: values[word])
    return list(values)


def _heatmap(grid: _Grid) -> Figure:
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
                axes.text(
                    c, r, text, ha="center", va="center", fontsize=8, color="black" if value > middle else "white"
                )
    every, each = math.ceil(rows / 40), math.ceil(columns / 40)  # labels that have room
    axes.set_yticks(range(0, rows, every), [_cut(word, 30) for word in grid.rows[::every]])
    labels = [_cut(word, 20) for word in grid.columns[::each]]
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


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
