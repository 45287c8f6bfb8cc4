"""The comparison in short, for the end of a command: what fits into a terminal, and last the verdict.

Everything else is on the page, and shown by `actbench report --full` (`terminal.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from actbench.report.comparison import Comparison
from actbench.report.findings import SECTION as FINDINGS
from actbench.report.findings_in_short import finding_lines, try_line
from actbench.report.fitting import in_lines, one_line
from actbench.report.formatting import count
from actbench.report.sections import TOP
from actbench.report.tables import comparison_tables
from actbench.report.terminal import STYLES, text, verdict_lines
from actbench.report.text_table import TextTable

MOST = 29  # lines, with those of the verdict: with the next prompt a screen of 30
_LEAST = 18  # in a terminal that is lower
_DETAILED = 3  # blocks that are shown with a table each; of more only the first
_ROWS, _FINDINGS = 3, 2  # that each block has room for, whatever the rest needs
_BEST = 9  # rows, before findings have more room
_UNIT_ROWS = 4
_COLUMNS = "±: 95 % interval of the mean; difference from the best of the others, in points"
_VERDICT = 14  # lines of it, where there is anything else to show
_BLOCKS = 8  # in one line each


@dataclass
class Short:
    """The parts of the comparison in short: `top` is shown before the page is written, `verdict` at the very end."""

    top: list[Text]
    verdict: list[Text]


def shorten(comparisons: Sequence[Comparison], console: Console, *, about_page: int) -> Short:
    """What a terminal has room for, below it the lines about the page, and the verdict."""
    width = console.width
    detailed = list(comparisons if len(comparisons) <= _DETAILED else comparisons[:1])
    verdict = _verdict(comparisons, width)
    room = _height(console) - number_of_lines(verdict, width) - about_page
    top: list[Text] = []
    for number, comparison in enumerate(detailed):
        own = (room - len(top)) // (len(detailed) - number) - bool(number)
        top += [*([Text()] if number else []), *_block(comparison, width, max(own, 0))]
    return Short(top, verdict)


def page_lines(folder: Path | None, opened: str, whole: str, width: int) -> list[Text]:
    """Where the page is, with the command that opens it if there is room, and the command that shows everything."""
    lines = [Text()]
    if folder is not None:
        page, opening = f"page         {folder / 'report.html'}", f"   ({opened})"
        lines.append(text(page + opening * (len(page + opening) <= width)))
    return [*lines, text(f"all of it    {whole}", style="dim")]


def number_of_lines(texts: Sequence[Text], width: int) -> int:
    """As many as a terminal needs: commands are not wrapped, and may be longer than it is wide."""
    return sum(max(1, -(-len(one) // width)) for one in texts)


def _height(console: Console) -> int:
    """How many lines there shall be in all."""
    return min(MOST, max(_LEAST, console.height - 1)) if console.is_terminal else MOST


# ---------------------------------------------------------------- the verdict


def _verdict(comparisons: Sequence[Comparison], width: int) -> list[Text]:
    """An empty line, a line for each block, and last the sentences on the first one, which has most runs."""
    if not comparisons:
        return []
    first, *others = comparisons
    lines = [Text()]
    if len(others) > _BLOCKS:
        lines.append(text(f"… and {len(others) - _BLOCKS} more blocks", style="dim"))
    for comparison in reversed(others[:_BLOCKS]):
        sentence = next(iter(comparison.sentences), "")
        lines.append(text(one_line(f"{comparison.block.title}: {sentence}", width)))
    if others:
        lines.append(text(first.block.title, style="bold"))
    return [*lines, *_sentences(first.sentences, width)]


def _sentences(sentences: Sequence[str], width: int) -> list[Text]:
    """As many of them as there is room for; the first one in any case, and commands rather than others."""
    kept = list(sentences)
    while len(kept) > 1 and len(verdict_lines(kept, width)) > _VERDICT:
        others = [sentence for sentence in kept[1:] if "`" not in sentence]
        kept.remove((others or kept[1:])[-1])
    lines = verdict_lines(kept, width)
    left_out = len(sentences) - len(kept)
    return [*lines, text(f"({count(left_out, 'more sentence')})", style="dim")] if left_out else lines


# ---------------------------------------------------------------- a block


def _block(comparison: Comparison, width: int, room: int) -> list[Text]:
    """The title, the results, the findings, and of the rest what there is room for."""
    tables = comparison_tables(comparison)
    results = next((table for table in tables if table.section == TOP), None)
    found = finding_lines(comparison.diagnostics.findings, width)
    remarks = _remarks(comparison, width)
    dying = any(table.section == "units" and _few_rows(table) for table in tables)  # which has a line in any case
    left = room - 1 - len(remarks) - bool(found) - dying  # the title, and the empty line before the findings
    rows = len(results.rows) if results else 0
    findings = min(len(found), max(_FINDINGS, left - 2 - min(rows, _BEST)))
    shown = min(rows, max(_ROWS, left - findings - 2))
    lines = [_title(comparison, width)]
    if results:
        lines += _results(comparison, results, shown, width)
    left = room - len(lines) - len(remarks) - findings - bool(found)
    if found:
        lines += [Text(), *_some(found, findings)]
        trying = try_line(comparison)
        if trying and left - dying > len(trying) // width:
            lines.append(text(trying, style="dim"))
            left -= 1 + len(trying) // width
    rest = [table for table in tables if table is not results and table.section != FINDINGS]
    rest.sort(key=lambda table: table.section != "units")
    further = _rest(rest, width, left)
    if results and left > len(further) and "difference" in results.header:
        place = 2 + shown + (shown < rows)
        lines.insert(place, text(one_line(_COLUMNS, width), style="dim"))
    return [*lines, *further, *remarks]


def _title(comparison: Comparison, width: int) -> Text:
    """What was trained, and as much of what all have in common as the line has room for."""
    title, shared = comparison.block.title, comparison.block.shared.partition(": ")[2]
    line = text(one_line(title, width), style="bold")
    if shared and width - len(title) > 20:
        line.append_text(text(one_line(f"   {shared}", width - len(title)), style="dim"))
    return line


def _results(comparison: Comparison, table: TextTable, shown: int, width: int) -> list[Text]:
    """The best rows, with that of the baseline and of what is to be used, and how many there are beside them."""
    wanted = {name for name in (comparison.verdict.baseline, _used(comparison)) if name}
    names = [one.name for one in comparison.block.configurations]  # not all rows are made for them
    further = [number for number, name in enumerate(names) if name in wanted and number >= shown]
    if shown < len(names):
        further = [number for number, name in enumerate(names) if name in wanted and number >= shown - len(further)]
    rows = [*range(max(shown - len(further), 0) if shown < len(names) else shown), *further]
    marks = table.marks or ("",) * len(names)
    head, *lines = in_lines(table, rows, width)
    styled = [text(line, style=STYLES.get(marks[number], "")) for line, number in zip(lines, rows, strict=True)]
    more = len(names) - len(rows)
    return [text(head, style="dim"), *styled, *([text(f"… and {more} more", style="dim")] if more else [])]


def _used(comparison: Comparison) -> str:
    return comparison.verdict.use.name if comparison.verdict.use else ""


def _some(lines: Sequence[str], most: int) -> list[Text]:
    """The first ones, and how many there are beside them."""
    if len(lines) <= most:
        return [text(line) for line in lines]
    left_out = len(lines) - max(most - 1, 1)
    return [
        *(text(line) for line in lines[: max(most - 1, 1)]),
        text(f"… and {count(left_out, 'more finding')}", style="dim"),
    ]


def _rest(tables: Sequence[TextTable], width: int, left: int) -> list[Text]:
    """A few rows of what died, and of each of the other tables what it says, as far as there is room."""
    lines: list[Text] = []
    for table in tables:
        few = _few_rows(table) if table.section == "units" else []
        if few and left >= len(few) + 3:
            added = [Text(), *(text(line) for line in in_lines(table, few, width))]
            added[1].stylize("dim")
        elif few and left > 0:
            shares = ", ".join(f"{table.rows[number][0]} {table.rows[number][2].split(' ')[0]} %" for number in few)
            added = [text(one_line(f"dead units: {shares}", width), style="dim")]
        elif table.gist and left > 0:
            added = [text(one_line(f"{_label(table)}{table.gist}", width), style="dim")]
        else:
            continue
        lines += added
        left -= len(added)
    return lines


def _label(table: TextTable) -> str:
    return f"{table.title[0].lower()}{table.title[1:]}: "


def _few_rows(table: TextTable) -> list[int]:
    """The rows in which most units are dead after training, which the third column says."""
    dead = {number: _share(row[2]) for number, row in enumerate(table.rows)}
    return sorted((number for number in dead if dead[number] > 0), key=lambda number: -dead[number])[:_UNIT_ROWS]


def _share(cell: str) -> float:
    """The number before `±`; 0 where there is none."""
    try:
        return float(cell.split(" ")[0])
    except ValueError:
        return 0.0


def _remarks(comparison: Comparison, width: int) -> list[Text]:
    """The first remark in a line, and how many there are beside it."""
    if not comparison.remarks:
        return []
    more = len(comparison.remarks) - 1
    ending = f" (and {count(more, 'more note')})" if more else ""
    return [text(one_line(f"note: {comparison.remarks[0]}", width - len(ending)) + ending, style="dim")]


def show(lines: Sequence[Text], console: Console) -> None:
    """Each in one line, however long: commands and paths are copied."""
    for line in lines:
        console.print(line, soft_wrap=True)
