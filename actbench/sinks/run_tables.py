"""The tables of a finished run in a terminal: its results, and the units of its layers where something happened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from actbench.measures import registry
from actbench.measures.layers import LayerRecord
from actbench.measures.quantities import Quantity, by_seed, over_layers, placed
from actbench.measures.scores import BUSY, EpochRecord
from actbench.records import RunSummary
from actbench.sinks.lines import mean

_LAYERS = 6  # rows of layers
_SEEDS = 5  # whose values are listed
_SEEN = 0.0005  # a share below is shown as 0.0 %


def _results() -> list[Quantity]:
    """The lines of `summary_table`: what a seed has, and not each of its layers."""
    results = [q for kind in registry.row_types() if kind is not LayerRecord for q in placed(kind) if q.summary]
    return sorted(results, key=lambda quantity: quantity.place)


def summary_table(summary: RunSummary, own: Sequence[Quantity] = (), epochs: Sequence[EpochRecord] = ()) -> Table:
    """Accuracy and loss with 95 % intervals over seeds, and what an epoch costs.

    Args:
        summary: of a run.
        own: the metrics of the user's own measurements.
        epochs: the run's history, from which the cost is told.
    """
    finite = max((estimate.n for estimate in summary.metrics.values()), default=0)
    length = "1 epoch" if summary.epochs_done == 1 else f"{summary.epochs_done} epochs"
    title = f"{summary.label} on {summary.dataset}, {length}"
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    table.add_column("metric")
    table.add_column(f"mean ± 95 % (n = {finite})", justify="right")
    table.add_column("by seed", overflow="fold")
    for quantity in [*_results(), *own]:
        if quantity.summary in summary.metrics:
            estimate = summary.metrics[quantity.summary]
            table.add_row(
                quantity.heading,
                estimate.plus_minus(quantity.digits, quantity.scale),
                _by_seed([quantity.shown(math.nan if value is None else value) for value in estimate.values]),
            )
    for seed, epoch in summary.diverged.items():
        table.add_row(f"seed {seed}", "[bold red]diverged[/]", f"in epoch {epoch}")
    if summary.epochs_done:
        median, about = _cost(epochs)
        speed = f"{summary.samples_per_second:,.0f} samples/s"
        seeds = len(summary.seeds)
        together = "" if seeds == 1 else ", all seeds"
        table.add_row(f"s / epoch{together}", median, "; ".join([*about, speed]))
        looks = summary.seconds.get("looks", 0.0)
        if looks:
            share = f"{100 * looks / summary.seconds['total']:.0f} % of the time"
            table.add_row("of them probe_every", f"{looks / summary.epochs_done:.2f}", share)
    return table


def _cost(epochs: Sequence[EpochRecord]) -> tuple[str, list[str]]:
    """The median wall time of an epoch; its quartiles, and a word where the machine was busy with other work."""
    times = {epoch.epoch: (epoch.seconds, epoch.waiting) for epoch in epochs if epoch.epoch > 0}
    if not times:
        return "–", []
    seconds, waiting = (np.array(values) for values in zip(*times.values(), strict=True))
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    about = [f"half of them {low:.2f}–{high:.2f}"] if len(times) > 2 else []
    known = waiting[np.isfinite(waiting)]
    if len(known) and np.median(known) > BUSY:
        about.append("too noisy to compare: the machine was busy")
    return f"{median:.2f}", about


def layer_table(layers: Iterable[LayerRecord]) -> Table:
    """The shares of dead, dormant, saturated and active units of each layer, in percent, averaged over seeds.

    Where no unit died there is one row, of all layers; of many layers there are those in which most died.
    """
    rows = list(layers)
    names = _telling(rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("layer")
    table.add_column("units", justify="right")
    shown = placed(LayerRecord)
    for quantity in shown:
        table.add_column(quantity.heading, justify="right")
    for name in names:
        own = [row for row in rows if row.layer == name]
        means = [quantity.shown(mean(getattr(row, quantity.key) for row in own)) for quantity in shown]
        table.add_row(Text(name), str(own[0].units), *means)
    if len(_dead(rows)) > 1:
        of_seeds = by_seed(rows).values()
        units = sum(row.units for row in rows) // len(of_seeds)
        means = [quantity.shown(mean(over_layers(layers, quantity) for layers in of_seeds)) for quantity in shown]
        table.add_section()
        table.add_row("all", str(units), *means)
    return table


def left_out(layers: Iterable[LayerRecord]) -> list[str]:
    """That `layer_table` has not all layers, where it has not."""
    rows = list(layers)
    number, shown = len(_dead(rows)), len(_telling(rows))
    if number == shown:
        return []
    which = f"those of {number} layers in which most units died" if shown else f"no unit died in any of {number} layers"
    return [f"{which}; all are in layers.csv"]


def _dead(rows: Iterable[LayerRecord]) -> dict[str, float]:
    """Layer -> the share of its units that are dead, over all seeds."""
    dead: dict[str, list[float]] = {}
    for row in rows:
        dead.setdefault(row.layer, []).append(row.dead)
    return {layer: mean(of) for layer, of in dead.items()}


def _telling(rows: Iterable[LayerRecord]) -> list[str]:
    """The layers that have a row of their own."""
    dead = _dead(rows)
    if len(dead) == 1:
        return [*dead]
    most = sorted((layer for layer in dead if dead[layer] >= _SEEN), key=lambda layer: -dead[layer])
    return [layer for layer in dead if most and (len(dead) <= _LAYERS or layer in most[:_LAYERS])]


def _by_seed(values: Sequence[str]) -> str:
    """All of them where they are few, or the first and the last by size."""
    if len(values) <= _SEEDS:
        return " ".join(values)
    ordered = sorted((value for value in values if value != "–"), key=float)
    return f"{ordered[0]} to {ordered[-1]}" if ordered else "–"


def undefined(layers: Iterable[LayerRecord]) -> list[str]:
    """What a dash in `layer_table` means, for each share that has one though outputs are finite."""
    rows = [row for row in layers if math.isfinite(row.mean)]
    remarks = []
    for quantity in placed(LayerRecord):
        names = dict.fromkeys(row.layer for row in rows if math.isnan(getattr(row, quantity.key)))
        if names:
            remarks.append(f"{quantity.title}: not defined for this activation ({', '.join(names)})")
    return remarks
