"""Each activation's curve and slope above the pre-activations that it saw: what shows why units die."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import BLUE, ORANGE, SKY, Drawing, Tip, cut, of_series, plain_ticks
from actbench.report.formatting import listed, minus
from actbench.report.preactivations import AFTER, BEFORE, LayerSeen, seen
from actbench.report.seed_records import read_each

SECTION = "activations"
ORDER = 58
CONFIGURATIONS, LAYERS, BEST = 6, 4, 2  # that are drawn at most, and the best ones among them
_BINS = 70
_STEPS = (1, 2, 5, 10)  # between ticks
_TIPS = 7  # places of a panel that a reader may point at
_DEAD = 0.01  # a smaller share of dead units is no reason to draw a configuration
_MANY = 0.8  # a larger share of z where f' vanishes is unusual: ReLU begins with a half
_FLAT, _SEEN = "0.88", SKY
_PALE = 0.45  # of the filled histogram: the outline on it has to stand out on a dark page, too


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """None where no run has kept what its activations saw (`probe=false`, or an earlier version)."""
    usable = [configuration for configuration in comparison.block.configurations if configuration.n]
    layers = {name: found for name, found in read_each(_selected(usable), seen, problems).items() if found}
    if not layers:
        return None
    shown = {name: _chosen(of_layers) for name, of_layers in layers.items()}
    figure, tips = activations(shown)
    return Drawing(figure, _caption(shown, layers, usable), tuple(tips))


def _selected(usable: Sequence[Configuration]) -> list[Configuration]:
    """The best ones, and those in which most units died, in the order in which they came."""
    if len(usable) <= CONFIGURATIONS:
        return [*usable]
    troubled = sorted(usable[BEST:], key=lambda one: -_trouble(one))  # stable
    chosen = {id(one) for one in (*usable[:BEST], *troubled[: CONFIGURATIONS - BEST])}
    return [configuration for configuration in usable if id(configuration) in chosen]


def _trouble(configuration: Configuration) -> float:
    """Dead units count most, then saturated ones, then any finding; 0 where nothing is wrong."""
    findings = any(run.summary is not None and run.summary.findings for run in configuration.runs)
    dead, saturated = (max(configuration.mean(key), 0.0) for key in ("dead_ratio", "saturated_ratio"))
    return (2 * dead if dead > _DEAD else 0.0) + (saturated if saturated > _DEAD else 0.0) + (0.001 if findings else 0)


def _chosen(layers: Sequence[LayerSeen]) -> list[LayerSeen]:
    """At most `LAYERS` in their order: the first and the last, and those in which most z lie where f' vanishes."""
    if len(layers) <= LAYERS:
        return [*layers]
    inner = range(1, len(layers) - 1)
    even = [round(k * (len(layers) - 1) / (LAYERS - 1)) for k in range(1, LAYERS - 1)]
    shares = [layer.shares()[AFTER] for layer in layers]
    worst = sorted((k for k in inner if shares[k] > _MANY), key=lambda k: -shares[k])
    places = [0, len(layers) - 1, *dict.fromkeys([*worst, *even])][:LAYERS]
    return [layers[k] for k in sorted(places)]


def _caption(
    shown: Mapping[str, Sequence[LayerSeen]], layers: Mapping[str, Sequence[LayerSeen]], usable: Sequence[Configuration]
) -> str:
    words = (
        "Each activation f and its slope f', and below them the pre-activations z that it saw in validation samples "
        "before and after training, over all seeds; histograms are drawn equally high. Shaded: f' is 0, or less than "
        "1 % of its steepest, so that hardly any gradient passes. Dead: the share of units after training."
    )
    if len(shown) < len(usable):
        words += (
            f" {len(shown)} of {len(usable)} configurations: the best, and those with most dead or saturated units."
        )
    many = [name for name, of_layers in layers.items() if len(of_layers) > len(shown[name])]
    if many:
        words += (
            f" Of {listed(many, 3)}, {LAYERS} of {max(len(layers[name]) for name in many)} layers: the first, the "
            "last, and those with most z there."
        )
    return words


# ---------------------------------------------------------------- drawing


def activations(shown: Mapping[str, Sequence[LayerSeen]]) -> tuple[Figure, list[Tip]]:
    """A row of panels for each configuration; where each has one layer, the panels of all side by side."""
    panels = [(name, layer) for name, layers in shown.items() for layer in layers]
    columns = max(len(layers) for layers in shown.values())
    if columns == 1:
        columns = len(panels) if len(panels) < 5 else 3
        places = list(range(len(panels)))
    else:
        places = [row * columns + k for row, layers in enumerate(shown.values()) for k in range(len(layers))]
    rows = 1 + max(places) // columns
    width, height = 10 if columns > 2 else 5 * columns, 1.0 + 2.5 * rows
    figure = Figure(figsize=(width, height))
    # With so many axes, a layout engine takes longer than everything else.
    edges = {"left": 0.42 / width, "right": 1 - 0.1 / width, "bottom": 0.9 / height, "top": 1 - 0.3 / height}
    grid = figure.add_gridspec(rows, columns, **edges, hspace=0.26, wspace=0.16)
    tips: list[Tip] = []
    for (name, layer), place in zip(panels, places, strict=True):
        row, column = divmod(place, columns)
        halves = grid[row, column].subgridspec(2, 1, hspace=0.08)
        above = figure.add_subplot(halves[0])
        below = figure.add_subplot(halves[1], sharex=above)
        _draw_curve(above, layer)
        _draw_seen(below, layer)
        above.set_title(_title(name, layer, 100 // columns), fontsize=10)
        if place + columns not in places:
            below.set_xlabel("pre-activation z", fontsize=9, labelpad=2)
        of_series(name, above, below)
        tips += _tips(below, name, layer)
    figure.legend(handles=_legend(panels), loc="lower center", ncols=3, fontsize=9, handlelength=2.6)
    return figure, tips


def _title(name: str, layer: LayerSeen, letters: int) -> str:
    """`relu: hidden1, 74 % dead`."""
    title = f"{name}: {layer.layer}" if layer.layer else name
    dead = f", {_percent(layer.dead)} dead" if layer.dead >= _DEAD else ""
    return cut(title, letters - len(dead)) + dead


def _draw_curve(axes: Axes, layer: LayerSeen) -> None:
    low, high = layer.range()
    inside = (layer.z >= low) & (layer.z <= high)
    axes.set_xlim(low, high)
    axes.tick_params(labelbottom=False, bottom=False, labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=_STEPS))
    plain_ticks(axes.xaxis, axes.yaxis)
    if not np.isfinite(layer.now[:, inside]).any():
        axes.set_yticks([])
        words = "no curve: units depend on each\nother, or have different ones"
        axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=9, color="0.35", transform=axes.transAxes)
        return
    _shade(axes, layer)
    axes.axhline(0, color="0.6", linewidth=0.6)
    if layer.learned:
        for values, colour in zip(layer.curves[0], (BLUE, ORANGE), strict=True):
            axes.plot(layer.z, values, color=colour, linewidth=0.8, linestyle=":")
    axes.plot(layer.z, layer.now[0], color=BLUE, linewidth=1.8)
    axes.plot(layer.z, layer.now[1], color=ORANGE, linewidth=1.8, linestyle="--")
    _limit(axes, layer.now[:, inside])


def _limit(axes: Axes, values: np.ndarray) -> None:
    """Shows f' as a whole, and as much of f as leaves f' visible: f may reach far higher."""
    f, slope = (of[np.isfinite(of)] for of in values)
    low, high = min(0.0, *slope), max(1.0, *slope)
    span = high - low
    low, high = max(min(low, *f), low - 1.2 * span), min(max(high, *f), high + 1.2 * span)
    axes.set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def _shade(axes: Axes, layer: LayerSeen) -> None:
    """Marks where f' vanishes; single points, at which f' changes its sign, are no such place."""
    where = np.concatenate([[False], layer.vanishing, [False]])
    starts, ends = (np.flatnonzero(change) for change in (where[1:] & ~where[:-1], where[:-1] & ~where[1:]))
    step = layer.z[1] - layer.z[0]
    for start, end in zip(starts, ends, strict=True):  # points start..end - 1
        if end - start > 2:
            left = -math.inf if start == 0 else layer.z[start] - step / 2
            right = math.inf if end == len(layer.z) else layer.z[end - 1]
            low, high = axes.get_xlim()
            axes.axvspan(max(left, low), min(right, high), color=_FLAT, linewidth=0, zorder=0)


def _draw_seen(axes: Axes, layer: LayerSeen) -> None:
    _shade(axes, layer)
    edges = np.linspace(*layer.range(), _BINS + 1)
    for moment in (AFTER, BEFORE):
        heights = np.diff(layer.share_below(moment, edges))
        if not np.isfinite(heights).all() or heights.max() <= 0:
            continue
        heights = heights / heights.max()
        if moment == AFTER:
            axes.stairs(heights, edges, fill=True, color=_SEEN, alpha=_PALE, zorder=1)
        else:
            axes.stairs(heights, edges, color="black", linewidth=1.2, zorder=2)
    axes.set_ylim(0, 1.42)  # room for the words
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.text(0.5, 0.97, _words(layer), ha="center", va="top", fontsize=9, transform=axes.transAxes)


def _words(layer: LayerSeen) -> str:
    """`f' = 0: 83 % of z, was 50 %`."""
    before, after = layer.shares()
    if not math.isfinite(after):
        return ""
    if not layer.vanishing.any() and not before and not after:
        return "f' vanishes nowhere"
    sign = "=" if layer.exactly else "≈"
    return f"f' {sign} 0: {_percent(after)} of z, was {_percent(before)}"


def _percent(share: float) -> str:
    """A share that is not quite nothing or everything does not look like it."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 < share < 1 else f"{100 * share:.0f} %"


def _tips(axes: Axes, name: str, layer: LayerSeen) -> list[Tip]:
    low, high = layer.range()
    places = low + (high - low) * (np.arange(_TIPS) + 0.5) / _TIPS
    before, after = (layer.share_below(moment, places) for moment in (BEFORE, AFTER))
    f, slope = (np.interp(places, layer.z, values) for values in layer.now)
    tips = []
    for z, *curve, was, now in zip(places, f, slope, before, after, strict=True):
        values = ", ".join(f"{what} = {value:.3g}" for what, value in zip(("f", "f'"), curve, strict=True))
        words = [f"{name}, {layer.layer}: z = {z:.3g}", *([values] if np.isfinite(curve).all() else [])]
        if math.isfinite(now):
            words.append(f"{_percent(now)} of z below" + (f", {_percent(was)} before" if math.isfinite(was) else ""))
        tips.append(Tip(axes, float(z), 0.5, minus("; ".join(words)), name))
    return tips


def _legend(panels: Sequence[tuple[str, LayerSeen]]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=BLUE, linewidth=1.8, label="f(z)"),
        Line2D([], [], color=ORANGE, linewidth=1.8, linestyle="--", label="f'(z)"),
        Patch(color=_FLAT, label="f' is 0, or nearly"),
        Line2D([], [], color="black", linewidth=1.2, label="z seen before training"),
        Patch(color=_SEEN, alpha=_PALE, label="z seen after training"),
    ]
    if any(layer.learned for _, layer in panels):
        handles.append(Line2D([], [], color="0.3", linewidth=0.8, linestyle=":", label="f and f' before training"))
    return handles
