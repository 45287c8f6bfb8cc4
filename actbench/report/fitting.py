"""Which columns of a table a terminal has room for, and a table in as few lines as it has rows."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.report.text_table import TextTable

_LEAST = 3  # columns that are never left out
_GAP = 2  # spaces between columns


def kept_columns(table: TextTable, widths: Sequence[int], width: int) -> list[int]:
    """The numbers of the columns that there is room for: the less important ones are left out, from the right."""
    kept = list(range(len(widths)))
    while len(kept) > _LEAST and sum(widths[number] + _GAP for number in kept) >= width:
        kept.remove(max(kept, key=lambda number: (_rank(table, number), number)))
    return kept


def _rank(table: TextTable, number: int) -> int:
    head = table.header[number]
    before = table.header[:number].count(head)  # of two columns with one heading each has its own place
    places = [place for place, important in enumerate(table.important) if important == head]
    return places[before] if before < len(places) else len(table.important) + number


def in_lines(table: TextTable, rows: Sequence[int], width: int) -> list[str]:
    """The heading and these rows (their numbers), each in one line; a name that is too long is cut in its middle."""
    chosen = [table.rows[number] for number in rows]
    widths = [max(map(len, cells)) for cells in zip(table.header, *chosen, strict=True)]
    if len({shortened(row[0], width * 2 // 5) for row in chosen}) == len({row[0] for row in chosen}):
        widths[0] = min(widths[0], width * 2 // 5)  # so that there is room for numbers
    kept = kept_columns(table, widths, width)
    rest = sum(widths[number] + _GAP for number in kept[1:])
    widths[0] = max(12, min(widths[0], width - rest))
    lines = []
    for row in (table.header, *chosen):
        first, *others = (row[number] for number in kept)
        cells = [shortened(first, widths[0]).ljust(widths[0])]
        cells += [
            cell.ljust(widths[number]) if table.text else cell.rjust(widths[number])
            for cell, number in zip(others, kept[1:], strict=True)
        ]
        lines.append((" " * _GAP).join(cells).rstrip())
    return lines


def shortened(text: str, width: int) -> str:
    """The text with its middle left out, if it is too long.

    >>> shortened("gelu lr=0.001 batch_size=64", 20)
    'gelu lr=0.…h_size=64'
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def one_line(text: str, width: int) -> str:
    """The text in one line, without its end if it is too long.

    >>> one_line("validation accuracy jumps", 12)
    'validation…'
    """
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= width else f"{text[: max(width - 1, 0)].rstrip()}…"
