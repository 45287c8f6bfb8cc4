"""A table for each measurement that the report shows in no other way, derived from the declarations of its columns.

These are tables of `measures` with `reported`, and those of the user's own measurements, which each run's
`measures.json` describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actbench.errors import Problem
from actbench.measures import registry
from actbench.measures.quantities import Quantity, column_kinds, over_layers, results_of
from actbench.records import Estimate
from actbench.report.configurations import Configuration
from actbench.report.seed_records import read_each
from actbench.report.text_table import TextTable
from actbench.store import own_tables, reader

Rows = Mapping[str, tuple[type, Mapping[int, Sequence[Any]]]]  # measurement -> its rows' class, and seed -> last rows


def measure_tables(configurations: Sequence[Configuration], problems: list[Problem]) -> list[TextTable]:
    """The tables, those of this package first; files that cannot be read are added to `problems`."""
    reported = {name: kind for name, kind in registry.tables().items() if kind.reported}
    of_configurations = read_each(configurations, lambda one: _last_rows(one, reported), problems)
    present = dict.fromkeys(name for rows in of_configurations.values() for name in rows)
    measurements = sorted(present, key=lambda name: name not in registry.tables())  # stable: in the order of the files
    return [
        _table(name, {configuration: rows[name] for configuration, rows in of_configurations.items() if name in rows})
        for name in measurements
    ]


def _last_rows(configuration: Configuration, reported: Mapping[str, type]) -> Rows:
    """The last rows of each measurement, of the seeds that did not diverge; where two runs have a seed, the newer's."""
    last_rows: dict[str, tuple[type, dict[int, Sequence[Any]]]] = {}
    for run in configuration.runs:  # oldest first
        for name, kind in {**reported, **own_tables.read(run.folder)}.items():
            rows: list[Any] = reader.table(run.folder, kind)
            if not rows and name not in last_rows and name in registry.tables():
                continue  # not measured in this run
            end = max((_epoch(row) for row in rows), default=0)
            last = [row for row in rows if _epoch(row) == end and row.seed not in configuration.diverged]
            of_seeds = {seed: [row for row in last if row.seed == seed] for seed in {row.seed for row in last}}
            earlier_kind, earlier = last_rows.get(name, (kind, {}))
            same = column_kinds(earlier_kind) == column_kinds(kind)
            last_rows[name] = (kind, {**(earlier if same else {}), **of_seeds})
    return last_rows


def _epoch(row: Any) -> float:
    return getattr(row, "epoch", 0)  # one that is measured at the end may have none


def _table(name: str, of_configurations: Rows) -> TextTable:
    kinds = [kind for kind, _ in of_configurations.values()]
    quantities = list({quantity.key: quantity for kind in kinds for quantity in results_of(kind)}.values())
    layered = any("layer" in column_kinds(kind) for kind in kinds)
    rows = []
    for configuration, (kind, of_seeds) in of_configurations.items():
        own = [quantity.key for quantity in results_of(kind)]
        for layer, of_layer in _by_layer(of_seeds, layered):
            cells = [_cell(quantity, of_layer, layer) if quantity.key in own else "–" for quantity in quantities]
            rows.append((configuration, *([layer] if layered else []), *cells))
    header = ("configuration", *(["layer"] if layered else []), *(quantity.heading for quantity in quantities))
    meaning = "; ".join(f"{quantity.title}: {quantity.definition}" for quantity in quantities if quantity.definition)
    by = "actbench" if name in registry.tables() else f"conf/measure/{name}.yaml"
    note = f"measured by {by}, after training; mean over seeds, ± half the 95 % interval"
    return TextTable(name, header, tuple(rows), note=f"{note}; {meaning}" if meaning else note, section="measured")


ALL = "all"


def _by_layer(of_seeds: Mapping[int, Sequence[Any]], layered: bool) -> list[tuple[str, list[Sequence[Any]]]]:
    """Layer -> the rows of each seed; and `all` where there are several, or where rows have no layer."""
    if not layered:
        return [(ALL, list(of_seeds.values()))]
    names: list[str] = list(dict.fromkeys(row.layer for rows in of_seeds.values() for row in rows))
    layers: list[tuple[str, list[Sequence[Any]]]] = [
        (name, [[row for row in rows if row.layer == name] for rows in of_seeds.values()]) for name in names
    ]
    return [*layers, (ALL, list(of_seeds.values()))] if len(names) > 1 else layers


def _cell(quantity: Quantity, of_seeds: Sequence[Sequence[Any]], layer: str) -> str:
    if layer == ALL and len({getattr(row, "layer", "") for rows in of_seeds for row in rows}) > 1:
        values = [over_layers(rows, quantity) for rows in of_seeds] if quantity.over_layers else []
    else:  # rows that are told apart by other columns as well count alike
        columns = [[float(getattr(row, quantity.key)) for row in rows] for rows in of_seeds]
        values = [sum(column) / len(column) for column in columns if column]
    return Estimate.of(values).plus_minus(quantity.digits, quantity.scale)
