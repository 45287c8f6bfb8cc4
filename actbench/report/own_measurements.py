"""The user's own measurements, after training: a column for each of their metrics."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.report.columns import Column, own_columns
from actbench.report.configurations import Configuration
from actbench.report.text_table import TextTable


def own_measurements_table(configurations: Sequence[Configuration]) -> TextTable | None:
    """The configurations that were measured, in their order; None where there is no measurement of the user's own."""
    columns: dict[str, Column] = {}
    for configuration in configurations:
        for run in configuration.counting:
            columns |= own_columns(run.folder)
    measured = [configuration for configuration in configurations if configuration.values.keys() & columns.keys()]
    if not measured:
        return None
    rows = tuple(
        (
            configuration.name,
            *(configuration.estimate(metric).plus_minus(of.digits, of.scale) for metric, of in columns.items()),
        )
        for configuration in measured
    )
    header = ("configuration", *(column.heading for column in columns.values()))
    definitions = [f"{column.heading}: {column.definition}" for column in columns.values() if column.definition]
    note = "; ".join(["means over seeds, ± half the 95 % interval", *definitions])
    return TextTable("Measurements of your own", header, rows, note=note)
