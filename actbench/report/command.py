"""`actbench report PATH ...`, and what a sweep ends with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actbench.errors import Problem, UserError, from_disk, printable
from actbench.report import runs
from actbench.report.comparison import Comparison, check_baseline, compare
from actbench.report.configurations import Block, blocks
from actbench.report.internals import look
from actbench.report.published import TITLE, Beside, published
from actbench.report.tables import sheets
from actbench.report.text_table import Sheet
from actbench.report.tuning import check_per

_AT_MOST = 40  # rows of a table in the terminal; the files have all


def _words(words: str, style: str = "") -> Text:
    """Words of files and folders, which may be a stranger's: without what a terminal would obey."""
    return Text(printable(words), style=style)


@dataclass
class Answer:
    """The comparisons of what was found, and everything that was wrong with it."""

    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    published: list[Beside] = field(default_factory=list)


def main(asked: argparse.Namespace) -> int:
    """`actbench report` with the arguments of `arguments.report`; returns the exit code.

    Raises:
        UserError: with what could not be read or done, after everything else was reported.
    """
    try:
        answer = answer_of(asked.paths, baseline=asked.baseline, per=asked.per)
    except UserError as error:
        if not asked.published:
            raise
        answer = Answer(problems=list(error.problems))  # what was published can be told without a run
    if asked.published:
        answer.published = published([one for of in answer.comparisons for one in of.block.configurations])
    mistyped = any(problem.where.startswith(("--baseline", "--per")) for problem in answer.problems)
    _tell(answer, None if asked.table or mistyped else asked.output or _folder(asked.paths))  # as it was not asked for
    return 0


def after_sweep(study: Path) -> None:
    """The comparison of a whole study, shown and written into it.

    Raises:
        UserError: with the folders that could not be read.
    """
    print()
    _tell(answer_of([study]), study / "report", elsewhere="output_dir=FOLDER")


def _tell(answer: Answer, folder: Path | None, *, elsewhere: str = "--output FOLDER") -> None:
    """Shows the comparisons, writes them where there is a folder, and complains in the end."""
    console = Console(highlight=False)
    show(answer.comparisons, console)
    if answer.published:
        show_published(answer.published, console)
    if folder is not None and answer.comparisons:
        write(answer, folder, console, elsewhere=elsewhere)
    if answer.problems:
        raise UserError.of(answer.problems)


def answer_of(paths: Sequence[Path], *, baseline: str | None = None, per: str | None = None) -> Answer:
    """Finds, reads and compares; a mistake in `baseline` or `per` is a problem, and the default is taken instead."""
    found = runs.find(paths)
    answer = Answer(problems=found.problems)
    made = blocks(found.runs)
    wrong = [error for block in made if (error := _error(check_per, block, per))]
    if wrong and len(wrong) == len(made):  # what one block has need not be in each
        answer.problems += wrong[0].problems
    wrong = [error for block in made if (error := _error(check_baseline, block, baseline))]
    if wrong and len(wrong) == len(made):
        answer.problems += wrong[0].problems
        baseline = None
    for block in made:
        comparison = compare(block, baseline=baseline, per=None if _error(check_per, block, per) else per)
        answer.comparisons.append(replace(comparison, inside=look(block, answer.problems)))
    return answer


def _error(check: Callable[[Block, str | None], None], block: Block, words: str | None) -> UserError | None:
    try:
        check(block, words)
    except UserError as error:
        return error
    return None


def _folder(paths: Sequence[Path]) -> Path:
    """Where the page goes: into the folder that was asked for, or the one that holds all of them."""
    if len(paths) == 1:
        return paths[0] / "report"
    above = Path(os.path.commonpath([path.resolve() for path in paths]))
    return Path(os.path.relpath(above)) / "report"


# ---------------------------------------------------------------- the terminal


def show(comparisons: Sequence[Comparison], console: Console) -> None:
    """The sentences, then the tables, of each block."""
    for comparison in comparisons:
        block = comparison.block
        console.print(_words(block.title, style="bold"))
        if block.common:
            console.print(_words(block.common, style="dim"))
        if block.note:
            console.print(_words(block.note, style="bold yellow"))
        for sentence in comparison.sentences:
            console.print(_words(sentence))
        for sheet in sheets(comparison, brief=True):
            _show_sheet(sheet, console)
        for remark in comparison.remarks:
            console.print(_words(f"note: {remark}", style="dim"))


def show_published(besides: Sequence[Beside], console: Console) -> None:
    """Published figures with ours beside them, and the commands that train what there is no run of."""
    console.print(_words(f"\n{TITLE}", style="bold"))
    for beside in besides:
        if beside.sentence:
            console.print(_words(beside.sentence))
    for beside in besides:
        if beside.sheet:
            _show_sheet(beside.sheet, console)
    for beside in besides:
        for what, command in beside.missing:
            console.print(_words(f"{what}:", style="dim"))
            console.print(_words(f"    {command}"), soft_wrap=True)


def _show_sheet(sheet: Sheet, console: Console) -> None:
    console.print()
    console.print(_table(sheet, console.width))
    left_out = sheet.header[_fitting(sheet, console.width)[0] :]
    if left_out:
        console.print(_words(f"no room for {', '.join(left_out)}: in the files", style="dim"))
    if sheet.note:
        console.print(_words(sheet.note, style="dim"))
    if len(sheet.rows) > _AT_MOST:
        console.print(_words(f"... and {len(sheet.rows) - _AT_MOST:,} more, in the files", style="dim"))


_STYLES = {"better": "green", "worse": "red", "baseline": "bold"}


def _fitting(sheet: Sheet, width: int) -> tuple[int, list[int]]:
    """How many of the columns, from the left, the terminal has room for; and their widths."""
    columns = [[head, *(row[number] for row in sheet.rows[:_AT_MOST])] for number, head in enumerate(sheet.header)]
    widths = [min(max(map(len, columns[0])), 28)]
    widths += [max(map(len, [*cells[0].split(), *cells[1:]])) for cells in columns[1:]]
    whole = [max(map(len, cells)) for cells in columns]  # with every heading on one line
    if sum(whole) + 2 * len(whole) < width:
        widths = whole
    kept = len(widths)
    while not sheet.text and kept > 3 and sum(widths[:kept]) + 2 * kept >= width:
        kept -= 1
    return kept, widths


def _table(sheet: Sheet, width: int) -> Table:
    rows = sheet.rows[:_AT_MOST]
    kept, widths = _fitting(sheet, width)
    table = Table(
        title=_words(sheet.title, style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    if sheet.brief:
        widths = _one_line(sheet, width)
    for number, head in enumerate(sheet.header[:kept]):
        left = number == 0 or sheet.text
        justify: Literal["left", "right"] = "left" if left else "right"
        cut = sheet.brief and number > 0  # of a name no part may be missing: another row may differ in that alone
        table.add_column(
            _words(head),
            justify=justify,
            overflow="ellipsis" if cut else "fold",
            no_wrap=cut,
            width=None if sheet.text and not sheet.brief else widths[number],
        )
    marks = sheet.marks or ("",) * len(sheet.rows)
    for row, mark in zip(rows, marks, strict=False):
        table.add_row(*(_words(cell) for cell in row[:kept]), style=_STYLES.get(mark, ""))
    return table


def _one_line(sheet: Sheet, width: int) -> list[int]:
    """The widths of columns that are not to wrap: the last has what the others leave."""
    columns = zip(sheet.header, *sheet.rows[:_AT_MOST], strict=True)
    *widths, last = (max(map(len, cells)) for cells in columns)
    widths[0] = min(widths[0], 36)
    return [*widths, max(len(sheet.header[-1]), min(last, width - sum(widths) - 2 * len(widths) - 2))]


# ---------------------------------------------------------------- files


def write(answer: Answer, folder: Path, console: Console, *, elsewhere: str = "--output FOLDER") -> None:
    """The page, the data and the plots; `elsewhere` is what is typed for another folder.

    Raises:
        UserError: the folder cannot be written to.
    """
    from actbench.report import page

    try:
        page.write(answer.comparisons, answer.problems, folder, answer.published)
    except OSError as error:
        raise from_disk(error, str(folder), elsewhere=elsewhere) from error
    console.print(
        _words(f"report       {folder / 'report.html'}   (also report.md, results.csv, plots/)"), soft_wrap=True
    )
