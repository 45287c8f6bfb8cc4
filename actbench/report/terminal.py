"""The whole comparison in a terminal (`--full`): every table, of as many columns as there is room for."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actbench.errors import printable
from actbench.report.comparison import Comparison
from actbench.report.findings import SECTION as FINDINGS
from actbench.report.findings import ConfigurationFinding, shared
from actbench.report.fitting import kept_columns
from actbench.report.published import TITLE, PublishedComparison
from actbench.report.studies import TITLE as TITLE_OF_STUDIES
from actbench.report.studies import StudyInShort
from actbench.report.studies import lines as lines_of_studies
from actbench.report.tables import comparison_tables
from actbench.report.text_table import TextTable

_MOST_ROWS = 40  # of a table; the files have all
_KEPT = "\N{NO-BREAK SPACE}"  # at which no line is broken
STYLES = {"best": "bold green", "as-good": "green", "worse": "red", "diverged": "red"}


def text(words: str, style: str = "") -> Text:
    """Text from files and folders, which may be a stranger's: without control characters and markup."""
    return Text(printable(words), style=style)


def show(comparisons: Sequence[Comparison], console: Console) -> None:
    """The tables of each block."""
    for comparison in comparisons:
        block = comparison.block
        console.print(text(block.title, style="bold"))
        if block.shared:
            console.print(text(block.shared, style="dim"))
        if block.note:
            console.print(text(block.note, style="bold yellow"))
        tables = comparison_tables(comparison)
        found = [table for table in tables if table.section == FINDINGS]
        for table in tables:
            if found and table is found[0]:
                _show_findings(comparison.diagnostics.findings, table, console)
            elif table not in found:
                _show_table(table, console)
        for remark in comparison.remarks:
            console.print(text(f"note: {remark}", style="dim"))


def _show_findings(found: Sequence[ConfigurationFinding], table: TextTable, console: Console) -> None:
    """Not as a table, whose columns would be too narrow for overrides, which are copied."""
    console.print()
    console.print(text(table.title, style="bold"))
    for finding in shared(found):
        console.print()
        console.print(text(f"{finding.name}: {', '.join(finding.configurations)}"))
        for one in finding.of:
            name = f"{one.configuration}: " if len(finding.of) > 1 else ""
            console.print(text(f"  {name}{one.evidence}"))
        console.print(text(f"  {finding.causes}", style="dim"))
        for remedy in finding.remedies_in_words:
            console.print(text(f"  try {remedy}"), soft_wrap=True)
    console.print(text(f"\n{table.note}", style="dim"))


def show_studies(studies: Sequence[StudyInShort], console: Console, *, full: bool) -> None:
    """Each study with its verdict and its page, before all of their runs are compared."""
    console.print(text(TITLE_OF_STUDIES, style="bold"))
    for line in lines_of_studies(studies, console.width, full=full):
        console.print(text(line, style="dim" if line.startswith(" ") else ""), soft_wrap=True)
    console.print()
    console.print(text("All of their runs together", style="bold"))


def show_published(published: Sequence[PublishedComparison], console: Console) -> None:
    """Published figures beside ours, and the commands that train what there is no run of."""
    console.print(text(f"\n{TITLE}", style="bold"))
    for experiment in published:
        if experiment.sentence:
            console.print(text(experiment.sentence))
    for experiment in published:
        if experiment.table:
            _show_table(experiment.table, console)
    for experiment in published:
        for what, command in experiment.missing:
            console.print(text(f"{what}:", style="dim"))
            console.print(text(f"    {command}"), soft_wrap=True)


def show_files(folder: Path, console: Console) -> None:
    """Where the report was written."""
    words = f"report       {folder / 'report.html'}   (also report.md, verdict.json, results.csv, plots/)"
    console.print(text(words), soft_wrap=True)


def show_verdicts(comparisons: Sequence[Comparison], console: Console) -> None:
    """The verdict of each block, the last one that of most runs: what a person reads last is what to do."""
    for comparison in reversed(comparisons):
        console.print()
        if len(comparisons) > 1:
            console.print(text(comparison.block.title, style="bold"))
        for line in verdict_lines(comparison.sentences, console.width):
            console.print(line, soft_wrap=True)


def verdict_lines(sentences: Sequence[str], width: int) -> list[Text]:
    """The sentences of a verdict in lines, the first sentence bold."""
    return [
        text(line, style="bold" if number == 0 else "")
        for number, sentence in enumerate(sentences)
        for line in lines(sentence, width)
    ]


def lines(sentence: str, width: int) -> list[str]:
    """A sentence in lines; a command in it, between backticks, stays on one line, so that it can be copied.

    >>> lines("To settle it: `actbench more outputs/study` (about 10 more seeds).", 30)
    ['To settle it:', '`actbench more outputs/study`', '(about 10 more seeds).']
    """
    whole = re.sub("`[^`]+`", lambda command: command[0].replace(" ", _KEPT), sentence)
    wrapped = textwrap.wrap(whole, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_KEPT, " ") for line in wrapped]


def show_condition(line: str, console: Console) -> None:
    """What came of `--fail-if`."""
    console.print(text(line, style="bold"))


def _show_table(table: TextTable, console: Console) -> None:
    console.print()
    console.print(_rich_table(table, console.width))
    kept, _ = _fitting(table, console.width)
    left_out = [head for number, head in enumerate(table.header) if number not in kept]
    if left_out:
        console.print(text(f"no room for {', '.join(left_out)}: see the files", style="dim"))
    if table.note:
        console.print(text(table.note, style="dim"))
    if len(table.rows) > _MOST_ROWS:
        console.print(text(f"... and {len(table.rows) - _MOST_ROWS:,} more rows in the files", style="dim"))


def _fitting(table: TextTable, width: int) -> tuple[list[int], list[int]]:
    """The columns that the terminal has room for; and the widths of all."""
    columns = [[head, *(row[number] for row in table.rows[:_MOST_ROWS])] for number, head in enumerate(table.header)]
    widths = [min(max(map(len, columns[0])), 28)]
    widths += [max(map(len, [*cells[0].split(), *cells[1:]])) for cells in columns[1:]]
    unwrapped = [max(map(len, cells)) for cells in columns]  # with every heading on one line
    if sum(unwrapped) + 2 * len(unwrapped) < width:
        widths = unwrapped
    return (list(range(len(widths))) if table.text else kept_columns(table, widths, width)), widths


def _rich_table(table: TextTable, width: int) -> Table:
    kept, widths = _fitting(table, width)
    rich_table = Table(
        title=text(table.title, style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number in kept:
        justify: Literal["left", "right"] = "left" if number == 0 or table.text else "right"
        head, column_width = text(table.header[number]), None if table.text else widths[number]
        rich_table.add_column(head, justify=justify, overflow="fold", width=column_width)
    rows = table.rows[:_MOST_ROWS]
    marks = table.marks or ("",) * len(rows)
    for row, mark in zip(rows, marks, strict=False):
        rich_table.add_row(*(text(row[number]) for number in kept), style=STYLES.get(mark, ""))
    return rich_table
