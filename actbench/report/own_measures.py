"""The user's own measurements, as tables: what their columns mean stands in each run's `measures.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actbench.errors import Problem
from actbench.measures.quantities import Quantity, column_kinds, over_layers, results_of
from actbench.records import Estimate
from actbench.report.configurations import Configuration
from actbench.report.readings import readable
from actbench.report.text_table import Sheet
from actbench.store import own_tables, reader

Rows = Mapping[str, tuple[type, Mapping[int, Sequence[Any]]]]  # measurement -> its rows' class, and seed -> last rows


def own_sheets(configurations: Sequence[Configuration], problems: list[Problem]) -> list[Sheet]:
    """A table for each measurement of the user's own; files that cannot be read are added to `problems`."""
    found = readable(configurations, _last_rows, problems)
    names = dict.fromkeys(name for rows in found.values() for name in rows)
    return [_sheet(name, {one: rows[name] for one, rows in found.items() if name in rows}) for name in names]


def _last_rows(one: Configuration) -> Rows:
    """What each measurement found last, of the seeds that did not diverge; of one seed, the newest run's."""
    found: dict[str, tuple[type, dict[int, Sequence[Any]]]] = {}
    for run in one.runs:  # oldest first
        for name, kind in own_tables.read(run.folder).items():
            rows: list[Any] = reader.records(run.folder / f"{name}.csv", kind)
            end = max((row.epoch for row in rows), default=0)
            last = [row for row in rows if row.epoch == end and row.seed not in one.diverged]
            of_seeds = {seed: [row for row in last if row.seed == seed] for seed in {row.seed for row in last}}
            earlier = found[name][1] if name in found and column_kinds(found[name][0]) == column_kinds(kind) else {}
            found[name] = (kind, {**earlier, **of_seeds})
    return found


def _sheet(name: str, found: Mapping[str, tuple[type, Mapping[int, Sequence[Any]]]]) -> Sheet:
    quantities = list({q.key: q for kind, _ in found.values() for q in results_of(kind)}.values())
    layered = any("layer" in column_kinds(kind) for kind, _ in found.values())
    rows = []
    for configuration, (kind, of_seeds) in found.items():
        own = [quantity.key for quantity in results_of(kind)]
        for layer, of_layer in _by_layer(of_seeds, layered):
            cells = [_cell(quantity, of_layer, layer) if quantity.key in own else "–" for quantity in quantities]
            rows.append((configuration, *([layer] if layered else []), *cells))
    header = ("configuration", *(["layer"] if layered else []), *(quantity.heading for quantity in quantities))
    meaning = "; ".join(f"{quantity.title}: {quantity.definition}" for quantity in quantities if quantity.definition)
    note = f"measured by conf/measure/{name}.yaml, after training; mean over seeds, ± half the 95 % interval"
    return Sheet(name, header, tuple(rows), note=f"{note}; {meaning}" if meaning else note)


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
