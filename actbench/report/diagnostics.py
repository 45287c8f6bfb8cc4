"""Tables of a search and of what was measured inside networks: findings, depth, dead units, INT8, and others."""

from __future__ import annotations

from dataclasses import dataclass

from actbench.errors import Problem
from actbench.report.class_table import class_table
from actbench.report.configurations import Block
from actbench.report.dead_by_definition import dead_by_definition, dead_by_definition_table
from actbench.report.findings import ConfigurationFinding, findings, findings_tables
from actbench.report.int8 import int8_table
from actbench.report.measure_tables import measure_tables
from actbench.report.search import search_tables
from actbench.report.seed_records import most_dead, read_each, selection_note
from actbench.report.text_table import TextTable
from actbench.report.trainable_depth import trainable_depth_table
from actbench.report.unit_history import unit_history, unit_history_table


@dataclass(frozen=True)
class Diagnostics:
    """The findings of a block, and the tables of what was measured, as far as there is something to show."""

    findings: tuple[ConfigurationFinding, ...] = ()
    measured: tuple[TextTable, ...] = ()

    def tables(self) -> list[TextTable]:
        """All of it."""
        return [*(findings_tables(self.findings) if self.findings else ()), *self.measured]


def read_diagnostics(block: Block, problems: list[Problem]) -> Diagnostics:
    """Reads the files of the runs; those that cannot be read are added to `problems`."""
    usable = [configuration for configuration in block.configurations if configuration.n]
    selected = most_dead(usable)
    selection = selection_note(selected, usable)
    tables = (
        *search_tables(block, problems),
        trainable_depth_table(block),
        unit_history_table(read_each(selected, unit_history, problems), selection),
        dead_by_definition_table(read_each(selected, dead_by_definition, problems), selection),
        int8_table(usable, problems),
        class_table(usable, problems),
        *measure_tables(usable, problems),
    )
    return Diagnostics(tuple(findings(block.configurations)), tuple(table for table in tables if table))
