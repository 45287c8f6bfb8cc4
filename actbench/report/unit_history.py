"""Births, deaths and revivals of units, over whole networks: which were dead from the start, and which died."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from actbench.measures.layers import LayerRecord
from actbench.measures.units import network_ratio
from actbench.records import Estimate
from actbench.report.columns import heading, interval_cell, mean_cell
from actbench.report.configurations import Configuration
from actbench.report.formatting import listed
from actbench.report.seed_records import records_by_seed
from actbench.report.text_table import TextTable

_NOTE = (
    "dead before: before training; dead after: never alive + died in training; births, deaths and revivals: units "
    "from one epoch to the next, summed over training; dead for: mean over those dead at the end; means over the seeds "
    "that were measured before training, too"
)


@dataclass(frozen=True)
class UnitHistory:
    """What became of the units of a network, over the seeds that did not diverge.

    `dead_before` is the share that is dead before training. After training, `dead` = `dead_at_init` + `died`: the units
    that were never alive, and those that were alive once. `births`, `deaths` and `revivals` are numbers of units over
    all epochs (one that dies twice counts twice), `dead_for` the mean time in epochs for which those dead at the end
    have been dead.
    """

    units: int
    dead_before: Estimate
    dead: Estimate
    dead_at_init: Estimate
    died: Estimate
    births: Estimate
    deaths: Estimate
    revivals: Estimate
    dead_for: Estimate

    @property
    def any_dead(self) -> bool:
        """Whether a unit was dead at any time."""
        estimates = [getattr(self, field.name) for field in fields(self) if field.name != "units"]
        return any(value for estimate in estimates for value in estimate.values)


def unit_history(configuration: Configuration) -> UnitHistory | None:
    """The history of a configuration's units; None where its runs did not record it.

    Raises:
        UserError: a file cannot be read.
    """
    values: dict[str, list[float]] = {field.name: [] for field in fields(UnitHistory)}
    for records in records_by_seed(configuration, LayerRecord).values():
        last_epoch = max(record.epoch for record in records)
        first = [record for record in records if record.epoch == 0]
        last = [record for record in records if record.epoch == last_epoch]
        measured = first and all(math.isfinite(record.dead_at_init) for record in last)
        if not measured or last_epoch < configuration.settings.train.epochs:
            continue  # written by an earlier version, or not measured before training
        values["units"].append(sum(record.units for record in last))
        values["dead_before"].append(network_ratio(first, "dead"))
        for ratio in ("dead", "dead_at_init", "died"):
            values[ratio].append(network_ratio(last, ratio))
        for event in ("births", "deaths", "revivals"):
            values[event].append(float(sum(getattr(record, event) for record in records)))
        values["dead_for"].append(_network_dead_for(last))
    units = values.pop("units")
    if not units:
        return None
    return UnitHistory(units=int(units[0]), **{name: Estimate.of(of_seeds) for name, of_seeds in values.items()})


def _network_dead_for(layers: Sequence[LayerRecord]) -> float:
    """The mean over all dead units of a network, from the means of its layers; NaN where no unit is dead."""
    weighted = [(layer.dead_for, layer.dead * layer.units) for layer in layers if math.isfinite(layer.dead_for)]
    dead_units = math.fsum(weight for _, weight in weighted)
    return math.fsum(time * weight for time, weight in weighted) / dead_units if dead_units else math.nan


def unit_history_table(histories: Mapping[str, UnitHistory | None], selection: str = "") -> TextTable | None:
    """None where no unit was ever dead. `selection` says which configurations these are if not all."""
    recorded = {name: history for name, history in histories.items() if history is not None}
    if not any(history.any_dead for history in recorded.values()):
        return None
    header = (
        "configuration", "dead before %", "dead after %", heading("dead_at_init"), heading("died"), heading("deaths"),
        heading("revivals"), heading("births"), heading("dead_for"), "units",
    )  # fmt: skip
    rows = tuple((name, *_row(history)) for name, history in recorded.items() if history.any_dead)
    alive = [name for name, history in recorded.items() if not history.any_dead]
    note = f"{_NOTE}; no unit was ever dead in {listed(alive, len(alive))}" if alive else _NOTE
    note += f"; {selection}" if selection else ""
    return TextTable("Life and death of units", header, rows, note=note, section="units", gist=_gist(recorded))


def _gist(histories: Mapping[str, UnitHistory]) -> str:
    """`most in relu: 26.6 % dead; some in 3 of 5 configurations`."""
    shares = {name: history.dead.mean or 0.0 for name, history in histories.items()}
    worst = max(shares, key=lambda name: shares[name])
    having = sum(share > 0 for share in shares.values())
    if not having:
        return "none at the end"
    others = f"; some in {having} of {len(shares)} configurations" if len(shares) > 1 else ""
    return f"most in {worst}: {mean_cell('dead', histories[worst].dead)} % dead{others}"


def _row(history: UnitHistory) -> tuple[str, ...]:
    return (
        mean_cell("dead", history.dead_before),
        interval_cell("dead", history.dead),
        mean_cell("dead_at_init", history.dead_at_init),
        mean_cell("died", history.died),
        mean_cell("deaths", history.deaths),
        mean_cell("revivals", history.revivals),
        mean_cell("births", history.births),
        mean_cell("dead_for", history.dead_for),
        f"{history.units:,}",
    )
