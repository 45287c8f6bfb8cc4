"""Which units are dead when: every unit of a layer as a line over training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.measures.layers import LayerRecord
from actbench.measures.lives import LookRecord, UnitEvent
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import Drawing, Tip, cut, heading, in_lines, of_series, tips_of_line
from actbench.report.seed_records import most_dead, read_each, records_by_seed, selection_note

SECTION = "units"
ORDER = 70
PANELS = 6
_MANY = 0.02  # a smaller share of units that were ever dead makes no picture
_ALIVE, _DEAD = "#DCE9F2", "#2B2B2B"
_COLUMNS = 600  # pixels of a panel: finer than it is drawn


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """The layers with dead units; None where no unit was ever dead."""
    usable = [configuration for configuration in comparison.block.configurations if configuration.n]
    selected = most_dead(usable)
    panels, drawn = select_panels(read_each(selected, rasters, problems))
    if not panels:
        return None
    caption = f"Every unit over training, sorted by when it was first found dead (dark: dead). {seeds_of(panels)}"
    caption += f" {drawn}"
    if selection := selection_note(selected, usable):
        caption += f" Looked for in {selection}."
    figure = raster(panels, named=len(usable) > 1)
    heading(
        figure, comparison, "Unit histories", "each row is a unit of the layer, sorted by when it was first found dead"
    )
    return Drawing(figure, caption, tuple(_tips(figure.axes, panels)))


@dataclass(frozen=True)
class Raster:
    """The units of one layer of one seed: `dead` is (units, looks), `epochs` (looks,) the time of each look."""

    layer: str
    seed: int
    epochs: np.ndarray
    dead: np.ndarray

    @property
    def ever_dead(self) -> int:
        """The number of units that were dead at one look at least."""
        return int(self.dead.any(axis=1).sum())

    @property
    def time_dead(self) -> float:
        """The share of all (unit, look) pairs in which the unit is dead."""
        return float(self.dead.mean())


def rasters(configuration: Configuration) -> list[Raster]:
    """Every layer of the first seed that did not diverge; empty where its run did not follow its units.

    Raises:
        UserError: a file cannot be read.
    """
    events, layers = records_by_seed(configuration, UnitEvent), records_by_seed(configuration, LayerRecord)
    looks = records_by_seed(configuration, LookRecord)
    seed = next(iter(layers), None)
    if seed is None or not all(math.isfinite(record.dead_at_init) for record in layers[seed]):
        return []
    return [
        _raster(layer, seed, [r for r in layers[seed] if r.layer == layer], looks.get(seed, []), events.get(seed, []))
        for layer in dict.fromkeys(record.layer for record in layers[seed])
    ]


def _raster(
    layer: str, seed: int, records: Sequence[LayerRecord], looks: Sequence[LookRecord], events: Sequence[UnitEvent]
) -> Raster:
    """The state at each look, rebuilt from what changed."""
    own = [event for event in events if event.layer == layer and event.unit < records[0].units]
    times = [float(record.epoch) for record in records] + [look.epoch for look in looks if look.layer == layer]
    epochs = np.unique(np.round([*times, *(event.epoch for event in own)], 9))
    dead = np.zeros((records[0].units, len(epochs)), dtype=bool)
    for event in sorted(own, key=lambda event: event.step):
        dead[event.unit, np.searchsorted(epochs, round(event.epoch, 9)) :] = event.event in ("dead", "death")
    return Raster(layer, seed, epochs, dead)


def in_order_of_death(dead: np.ndarray) -> np.ndarray:
    """The units sorted by when they were first found dead, then by for how long; those never dead come last.

    Shapes: dead (units, looks) -> (units,) indices.
    """
    first = np.where(dead.any(axis=1), dead.argmax(axis=1), dead.shape[1])
    return np.lexsort((-dead.sum(axis=1), first))


# ---------------------------------------------------------------- the figure


def select_panels(of_configurations: Mapping[str, Sequence[Raster]]) -> tuple[list[tuple[str, Raster]], str]:
    """The layers in which many units were ever dead, at most `PANELS` of them; and which ones these are, in words.

    Each configuration gets the same number of panels, as far as it has such layers; its layers with most dead units.
    Where there were many in no layer, that with most is shown.
    """
    dead = [(name, layer) for name, layers in of_configurations.items() for layer in layers if layer.ever_dead]
    every = [(name, layer) for name, layer in dead if layer.ever_dead >= _MANY * len(layer.dead)]
    if dead and not every:
        every = [max(dead, key=lambda one: one[1].time_dead)]
        return every, "Drawn: the layer in which most units died."
    order = sorted(range(len(every)), key=lambda place: -every[place][1].time_dead)
    turns: Counter[str] = Counter()
    turn = {}
    for place in order:
        turn[place] = turns[every[place][0]]
        turns[every[place][0]] += 1
    shown = [every[place] for place in sorted(sorted(order, key=lambda place: turn[place])[:PANELS])]
    which = f"in which {100 * _MANY:.0f} % of the units or more were dead at some time"
    if len(every) > len(shown):
        return shown, f"Drawn: {len(shown)} of the {len(every)} layers {which}, those with most dead units."
    return shown, f"Drawn: the layers {which}." if shown else ""


def seeds_of(shown: Sequence[tuple[str, Raster]]) -> str:
    """`Seed 0.`, or the seed of each configuration."""
    seeds = {name: raster.seed for name, raster in shown}
    if len(set(seeds.values())) == 1:
        return f"Seed {next(iter(seeds.values()))}."
    return f"One seed of each: {', '.join(f'{seed} of {name}' for name, seed in seeds.items())}."


_TITLE = 38  # letters of a panel's title for which a third of the page has room


def raster(shown: Sequence[tuple[str, Raster]], *, named: bool) -> Figure:
    """A panel for each layer: time to the right, units from below in the order of their death, dead ones dark.

    Args:
        named: whether the title of a panel names its configuration, too.
    """
    columns = min(len(shown), 3)
    rows = math.ceil(len(shown) / columns)
    height = 4.2 if len(shown) == 1 else 0.9 + (2.5 if named else 2.3) * rows
    figure = Figure(figsize=(10 if columns > 1 else 7, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for (name, layer), axes in zip(shown, grid, strict=False):
        pixels, edges = _cells(layer)
        colours = ListedColormap([_ALIVE, _DEAD])
        extent = (edges[0], edges[-1], 0, len(layer.dead))
        axes.imshow(
            pixels, cmap=colours, vmin=0, vmax=1, aspect="auto", origin="lower", extent=extent, interpolation="nearest"
        )
        of_series(name, axes.images[0], axes.title)
        lines = [in_lines(name, _TITLE)] if named else []
        lines.append(f"{cut(layer.layer, _TITLE // 2)}: {layer.ever_dead} of {len(layer.dead)} ever dead")
        axes.set_title("\n".join(lines), fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelsize=8)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("units", fontsize=10)
    handles = [Patch(color=_DEAD, label="dead"), Patch(facecolor=_ALIVE, edgecolor="0.7", label="alive")]
    figure.legend(handles=handles, loc="outside lower right", ncols=2, fontsize=9)
    return figure


def _tips(all_axes: Sequence[Axes], shown: Sequence[tuple[str, Raster]]) -> list[Tip]:
    """At the edge of those dead at each look: `relu, hidden1, epoch 3: 67 of 128 units dead`."""
    tips = []
    for axes, (name, layer) in zip(all_axes, shown, strict=False):
        dead = layer.dead.sum(axis=0)
        texts = [
            f"{name}, {layer.layer}, epoch {epoch:g}: {number} of {len(layer.dead)} units dead"
            for epoch, number in zip(layer.epochs, dead, strict=True)
        ]
        tips += tips_of_line(axes, layer.epochs, dead, texts, name)
    return tips


def _cells(layer: Raster) -> tuple[np.ndarray, np.ndarray]:
    """The units in order, (units, pixels), and the edges of the looks: each reaches half-way to its neighbours."""
    epochs = layer.epochs
    middles = (epochs[1:] + epochs[:-1]) / 2
    before = epochs[0] - ((middles[0] - epochs[0]) if len(middles) else 0.5)
    after = epochs[-1] + ((epochs[-1] - middles[-1]) if len(middles) else 0.5)
    edges = np.array([before, *middles, after])
    ordered = layer.dead[in_order_of_death(layer.dead)]
    if np.ptp(np.diff(edges)) < 1e-6 * (after - before):  # evenly spaced looks are pixels of their own
        return ordered, edges
    pixels = before + (after - before) * (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    return ordered[:, np.searchsorted(edges, pixels) - 1], edges
