"""The comparison in a terminal: tables of as many columns and rows as there is room for, and last the verdict."""

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
from actbench.report.published import TITLE, PublishedComparison
from actbench.report.tables import comparison_tables
from actbench.report.text_table import TextTable

_MOST_ROWS = 40  # of a table; the files have all
_KEPT = "\N{NO-BREAK SPACE}"  # at which no line is broken
_STYLES = {"best": "bold green", "as-good": "green", "worse": "red", "diverged": "red"}


def _text(words: str, style: str = "") -> Text:
    """Text from files and folders, which may be a stranger's: without control characters and markup."""
    return Text(printable(words), style=style)


def show(comparisons: Sequence[Comparison], console: Console) -> None:
    """The tables of each block."""
    for comparison in comparisons:
        block = comparison.block
        console.print(_text(block.title, style="bold"))
        if block.shared:
            console.print(_text(block.shared, style="dim"))
        if block.note:
            console.print(_text(block.note, style="bold yellow"))
        for table in comparison_tables(comparison, brief=True):
            _show_table(table, console)
        for remark in comparison.remarks:
            console.print(_text(f"note: {remark}", style="dim"))


def show_published(published: Sequence[PublishedComparison], console: Console) -> None:
    """Published figures beside ours, and the commands that train what there is no run of."""
    console.print(_text(f"\n{TITLE}", style="bold"))
    for experiment in published:
        if experiment.sentence:
            console.print(_text(experiment.sentence))
    for experiment in published:
        if experiment.table:
            _show_table(experiment.table, console)
    for experiment in published:
        for what, command in experiment.missing:
            console.print(_text(f"{what}:", style="dim"))
            console.print(_text(f"    {command}"), soft_wrap=True)


def show_files(folder: Path, console: Console) -> None:
    """Where the report was written."""
    words = f"report       {folder / 'report.html'}   (also report.md, verdict.json, results.csv, plots/)"
    console.print(_text(words), soft_wrap=True)


def show_verdicts(comparisons: Sequence[Comparison], console: Console) -> None:
    """The verdict of each block, the last one that of most runs: what a person reads last is what to do."""
    for comparison in reversed(comparisons):
        console.print()
        if len(comparisons) > 1:
            console.print(_text(comparison.block.title, style="bold"))
        for number, sentence in enumerate(comparison.sentences):
            for line in lines(sentence, console.width):
                console.print(_text(line, style="bold" if number == 0 else ""), soft_wrap=True)


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
    console.print(_text(line, style="bold"))


def _show_table(table: TextTable, console: Console) -> None:
    console.print()
    console.print(_rich_table(table, console.width))
    left_out = table.header[_fitting(table, console.width)[0] :]
    if left_out:
        console.print(_text(f"no room for {', '.join(left_out)}: see the files", style="dim"))
    if table.note:
        console.print(_text(table.note, style="dim"))
    if len(table.rows) > _MOST_ROWS:
        console.print(_text(f"... and {len(table.rows) - _MOST_ROWS:,} more rows in the files", style="dim"))


def _fitting(table: TextTable, width: int) -> tuple[int, list[int]]:
    """How many of the columns, from the left, the terminal has room for; and their widths."""
    columns = [[head, *(row[number] for row in table.rows[:_MOST_ROWS])] for number, head in enumerate(table.header)]
    widths = [min(max(map(len, columns[0])), 28)]
    widths += [max(map(len, [*cells[0].split(), *cells[1:]])) for cells in columns[1:]]
    unwrapped = [max(map(len, cells)) for cells in columns]  # with every heading on one line
    if sum(unwrapped) + 2 * len(unwrapped) < width:
        widths = unwrapped
    kept = len(widths)
    while not table.text and kept > 3 and sum(widths[:kept]) + 2 * kept >= width:
        kept -= 1
    return kept, widths


def _rich_table(table: TextTable, width: int) -> Table:
    kept, widths = _fitting(table, width)
    rich_table = Table(
        title=_text(table.title, style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    if table.one_line_rows:
        widths = _one_line_widths(table, width)
    for number, head in enumerate(table.header[:kept]):
        left = number == 0 or table.text
        justify: Literal["left", "right"] = "left" if left else "right"
        cut = table.one_line_rows and number > 0  # names are never cut: they may differ only in their ends
        rich_table.add_column(
            _text(head),
            justify=justify,
            overflow="ellipsis" if cut else "fold",
            no_wrap=cut,
            width=None if table.text and not table.one_line_rows else widths[number],
        )
    rows = table.rows[:_MOST_ROWS]
    marks = table.marks or ("",) * len(rows)
    for row, mark in zip(rows, marks, strict=False):
        rich_table.add_row(*(_text(cell) for cell in row[:kept]), style=_STYLES.get(mark, ""))
    return rich_table


def _one_line_widths(table: TextTable, width: int) -> list[int]:
    """The widths of columns that must not wrap: the last gets what the others leave."""
    columns = zip(table.header, *table.rows[:_MOST_ROWS], strict=True)
    *widths, last = (max(map(len, cells)) for cells in columns)
    widths[0] = min(widths[0], 36)
    return [*widths, max(len(table.header[-1]), min(last, width - sum(widths) - 2 * len(widths) - 2))]
