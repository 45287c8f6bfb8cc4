"""What the runs of a block say about their insides: findings, units that died, INT8, and the depth they stop at."""

from __future__ import annotations

from dataclasses import dataclass

from actbench.errors import Problem
from actbench.report import findings
from actbench.report.configurations import Block
from actbench.report.depths import depths_sheet
from actbench.report.findings import Found
from actbench.report.life import definitions, definitions_sheet, life, life_sheet
from actbench.report.own_measures import own_sheets
from actbench.report.quantised import quantised_sheet
from actbench.report.readings import most_dead, of_which, readable
from actbench.report.text_table import Sheet


@dataclass(frozen=True)
class Inside:
    """The findings of a block, and its tables beside them: those that have something to say."""

    findings: tuple[Found, ...] = ()
    tables: tuple[Sheet, ...] = ()

    def sheets(self, *, brief: bool = False) -> list[Sheet]:
        """The tables; `brief`: as a terminal has room for them."""
        found = [findings.sheet(self.findings, brief=brief)] if self.findings else []
        return [*found, *self.tables]


def look(block: Block, problems: list[Problem]) -> Inside:
    """Reads what the probes left; files that cannot be read are added to `problems`."""
    usable = [one for one in block.configurations if one.n]
    shown = most_dead(usable)
    few = of_which(shown, usable)
    tables = (
        depths_sheet(block),
        life_sheet(readable(shown, life, problems), few),
        definitions_sheet(readable(shown, definitions, problems), few),
        quantised_sheet(usable, problems),
        *own_sheets(usable, problems),
    )
    return Inside(tuple(findings.findings(block.configurations)), tuple(table for table in tables if table))
