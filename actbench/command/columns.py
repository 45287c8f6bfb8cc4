"""Two columns of words for a terminal of any width: broken between words, stacked where it is narrow."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable

_WIDEST = 120  # longer lines are hard to read
_ROOM = 36  # fewer characters than that for the right column, and it goes below the left one


def width() -> int:
    """Characters in a line of this terminal ($COLUMNS wins; 80 where there is none), at most 120."""
    return min(shutil.get_terminal_size().columns, _WIDEST)


def wrapped(text: str, room: int, *, indent: str = "", hanging: str = "") -> list[str]:
    """The lines of a text; a word that is longer than a line keeps its line to itself.

    >>> wrapped("train 5 seeds together", 12, indent="  ")
    ['  train 5', '  seeds', '  together']
    """
    return textwrap.wrap(
        text, room, initial_indent=indent, subsequent_indent=indent + hanging, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def rows(pairs: Iterable[tuple[str, str]], room: int, *, indent: int = 2, left: int | None = None) -> list[str]:
    """The lines of a table of two columns.

    >>> rows([("relu", "max(0, z)"), ("silu", "z·σ(z)")], 80)
    ['  relu  max(0, z)', '  silu  z·σ(z)']

    Args:
        pairs: what stands left and right; the left one is never broken unless it is longer than a line.
        room: characters of a line.
        indent: before the left column.
        left: its width; by default that of its longest entry.
    """
    pairs = list(pairs)
    left = left or max((len(name) for name, _ in pairs), default=0)
    start = indent + left + 2
    stacked = room - start < _ROOM
    lines = []
    for name, text in pairs:
        if stacked or len(name) > left:
            lines += wrapped(name, room, indent=" " * indent, hanging="  ")
            lines += wrapped(text, room, indent=" " * (indent + 4))
            continue
        below = wrapped(text, room, indent=" " * start)
        first = f"{' ' * indent}{name}".ljust(start)
        lines += [(first + below[0][start:]) if below else first.rstrip(), *below[1:]]
    return lines
