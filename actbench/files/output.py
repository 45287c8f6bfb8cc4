"""Printing to where perhaps nobody reads any more: `actbench ... | head`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any

from rich import console


class PersistentConsole(console.Console):
    """For commands whose results go into files: they go on to their end, whoever stops reading.

    Args:
        going_on: what goes on, for the message on stderr; the others are those of rich's `Console`.
    """

    def __init__(self, going_on: str, **options: Any) -> None:
        super().__init__(**options)
        self.going_on = going_on

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"the output was closed; {self.going_on}", file=sys.stderr)


class ShowingConsole(console.Console):
    """For commands that only print: there is nothing left to do."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


@contextlib.contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Within the block a terminal shows what is going on, in the words that were told last; a file shows nothing."""
    of = console.Console(stderr=True, highlight=False)
    status = of.status("")
    shown = of.is_terminal and is_in_foreground(of.file)

    def tell(words: str) -> None:
        if shown:
            status.update(words)
            status.start()

    try:
        yield tell
    finally:
        status.stop()


def is_in_foreground(terminal: IO[str]) -> bool:
    """Whether this process is what its terminal shows: not one of a shell's background (`actbench ... &`)."""
    try:
        return os.getpgrp() == os.tcgetpgrp(terminal.fileno())
    except (OSError, ValueError, AttributeError):  # not the terminal that this process belongs to, or a system without
        return True


def working(console: console.Console, what: str) -> contextlib.AbstractContextManager[Any]:
    """Within the block, which may take seconds, a terminal shows what is being done."""
    return console.status(what) if is_in_foreground(console.file) else contextlib.nullcontext()
