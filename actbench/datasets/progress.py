"""How far something that takes a while has come, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from actbench.files.output import is_in_foreground

_Item = TypeVar("_Item")
_AT_LEAST = 2_000  # items; fewer take a second or two


def shown(items: Sequence[_Item], what: str) -> Iterable[_Item]:
    """The items, with a bar below what is printed while they are gone through, if they are many."""
    if len(items) < _AT_LEAST:
        return items
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    moving = console.is_terminal and is_in_foreground(console.file)
    return track(items, what, console=console, transient=True, disable=not moving)
