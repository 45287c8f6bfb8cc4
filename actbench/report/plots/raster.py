"""Who is dead when: every unit of a layer as a line over training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from actbench.measures.layers import LayerRecord
from actbench.measures.lives import LookRecord, UnitEvent
from actbench.report.configurations import Configuration
from actbench.report.plots.style import cut, in_lines
from actbench.report.readings import by_seed
from actbench.report.words import count, listed

PANELS = 12
_ALIVE, _DEAD = "#DCE9F2", "#2B2B2B"
_COLUMNS = 600  # of a panel: finer than it is drawn


@dataclass(frozen=True)
class Raster:
    """The units of one layer of one seed: `dead` is (units, looks), `epochs` (looks,) the time of each look."""

    layer: str
    seed: int
    epochs: np.ndarray
    dead: np.ndarray

    @property
    def ever_dead(self) -> int:
        return int(self.dead.any(axis=1).sum())

    @property
    def time_dead(self) -> float:
        """The share of units × looks that is dead."""
        return float(self.dead.mean())


def rasters(one: Configuration) -> list[Raster]:
    """Every layer of the first seed that did not diverge; none where its run did not follow its units.

    Raises:
        UserError: a file cannot be read.
    """
    events, layers = by_seed(one, UnitEvent), by_seed(one, LayerRecord)
    looks = by_seed(one, LookRecord)
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
    """Rebuilds the state at each look from what changed."""
    own = [event for event in events if event.layer == layer and event.unit < records[0].units]
    times = [float(record.epoch) for record in records] + [look.epoch for look in looks if look.layer == layer]
    epochs = np.unique(np.round([*times, *(event.epoch for event in own)], 9))
    dead = np.zeros((records[0].units, len(epochs)), dtype=bool)
    for event in sorted(own, key=lambda event: event.step):
        dead[event.unit, np.searchsorted(epochs, round(event.epoch, 9)) :] = event.event in ("dead", "death")
    return Raster(layer, seed, epochs, dead)


def in_order_of_death(dead: np.ndarray) -> np.ndarray:
    """The units sorted by when they were first found dead, of those by how long they were; who never was comes last.

    Shapes: dead (units, looks) -> (units,) indices.
    """
    first = np.where(dead.any(axis=1), dead.argmax(axis=1), dead.shape[1])
    return np.lexsort((-dead.sum(axis=1), first))


# ---------------------------------------------------------------- the picture


def chosen(found: Mapping[str, Sequence[Raster]]) -> tuple[list[tuple[str, Raster]], str]:
    """The layers with units that were dead at some time, at most `PANELS` of them; and what is not shown, in words.

    Each configuration has the same number of panels, as far as it has the layers; of them the most dead.
    """
    every = [(name, raster) for name, of in found.items() for raster in of if raster.ever_dead]
    order = sorted(range(len(every)), key=lambda place: -every[place][1].time_dead)
    turns: Counter[str] = Counter()
    turn = {}
    for place in order:
        turn[place] = turns[every[place][0]]
        turns[every[place][0]] += 1
    shown = [every[place] for place in sorted(sorted(order, key=lambda place: turn[place])[:PANELS])]
    words = []
    if len(every) > len(shown):
        words.append(f"Of {count(len(every), 'layer')} with dead units the {len(shown)} with most, from each in turn.")
    none = [name for name, of in found.items() if of and not any(raster.ever_dead for raster in of)]
    if none and shown:
        words.append(f"No unit was dead at any look in {listed(none, 4)}.")
    return shown, " ".join(words)


def seeds_of(shown: Sequence[tuple[str, Raster]]) -> str:
    """`Seed 0.`, or which of which configuration."""
    seeds = {name: raster.seed for name, raster in shown}
    if len(set(seeds.values())) == 1:
        return f"Seed {next(iter(seeds.values()))}."
    return f"One seed of each: {', '.join(f'{seed} of {name}' for name, seed in seeds.items())}."


_TITLE = 38  # letters of a panel's title that a third of the page has room for


def raster(shown: Sequence[tuple[str, Raster]], *, named: bool) -> Figure:
    """A panel for each layer: time to the right, units from below in the order of their death, dead ones dark.

    Args:
        named: the title of a panel names its configuration, too.
    """
    columns = min(len(shown), 3)
    rows = math.ceil(len(shown) / columns)
    height = 4.2 if len(shown) == 1 else 0.9 + (2.5 if named else 2.3) * rows
    figure = Figure(figsize=(10 if columns > 1 else 7, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    for (name, one), axes in zip(shown, grid, strict=False):
        picture, edges = _cells(one)
        colours = ListedColormap([_ALIVE, _DEAD])
        extent = (edges[0], edges[-1], 0, len(one.dead))
        axes.imshow(
            picture, cmap=colours, vmin=0, vmax=1, aspect="auto", origin="lower", extent=extent, interpolation="nearest"
        )
        lines = [in_lines(name, _TITLE)] if named else []
        lines.append(f"{cut(one.layer, _TITLE // 2)}: {one.ever_dead} of {len(one.dead)} ever dead")
        axes.set_title("\n".join(lines), fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelsize=8)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("units, in the order of their death", fontsize=10)
    handles = [Patch(color=_DEAD, label="dead"), Patch(facecolor=_ALIVE, edgecolor="0.7", label="alive")]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=9)
    return figure


def _cells(one: Raster) -> tuple[np.ndarray, np.ndarray]:
    """The units in order, (units, pixels), and the edges of the looks: each reaches half-way to those beside it."""
    epochs = one.epochs
    middles = (epochs[1:] + epochs[:-1]) / 2
    before = epochs[0] - ((middles[0] - epochs[0]) if len(middles) else 0.5)
    after = epochs[-1] + ((epochs[-1] - middles[-1]) if len(middles) else 0.5)
    edges = np.array([before, *middles, after])
    ordered = one.dead[in_order_of_death(one.dead)]
    if np.ptp(np.diff(edges)) < 1e-6 * (after - before):  # evenly spaced looks are pixels of their own
        return ordered, edges
    pixels = before + (after - before) * (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    return ordered[:, np.searchsorted(edges, pixels) - 1], edges
