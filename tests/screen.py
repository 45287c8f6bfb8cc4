"""A terminal for tests: what is on the screen after some output, and a command that runs in one."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from functools import partial

from processes import Command

_CODE = re.compile(r"\x1b\[(\?25[hl]|[\d;]*[mAK])")


class Screen(io.StringIO):
    """As a file it is a terminal of so many columns and rows; `shown` is what a person sees of what was written to it.

    It knows the codes that are used here, and breaks lines anew when its width changes, as most terminals do.
    """

    def __init__(self, width=80, height=24):
        super().__init__()
        self.width, self.height = width, height
        self.rows, self.broken, self.row, self.column, self.cursor = [""], [False], 0, 0, True

    def isatty(self):
        return True

    def write(self, text):
        at = 0
        while at < len(text):
            code = _CODE.match(text, at)
            assert code or text[at] != "\x1b", f"what is {text[at : at + 9]!r}?"
            if code:
                self._control(code[1])
            else:
                self._character(text[at])
            at = code.end() if code else at + 1
        return len(text)

    def _control(self, code):
        if code in ("?25h", "?25l"):
            self.cursor = code == "?25h"
        elif code == "2K":
            self.rows[self.row] = ""
        elif code.endswith("A"):
            self.row = max(self.row - int(code[:-1] or 1), len(self.rows) - self.height, 0)

    def _character(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._next_row(broken=False)
        else:
            if self.column == self.width:
                self._next_row(broken=True)
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1

    def _next_row(self, *, broken):
        self.row, self.column = self.row + 1, 0
        if self.row == len(self.rows):
            self.rows.append("")
            self.broken.append(broken)

    def resize(self, width):
        """Breaks what is on the screen at another width; the cursor is at the end, as below a live area."""
        assert not any(self.rows[self.row + 1 :])
        whole = []
        for row, broken in zip(self.rows[: self.row + 1], self.broken, strict=False):
            if broken:
                whole[-1] += row
            else:
                whole.append(row)
        pieces = [[line[at : at + width] for at in range(0, max(len(line), 1), width)] for line in whole]
        self.rows = [piece for line in pieces for piece in line]
        self.broken = [number > 0 for line in pieces for number in range(len(line))]
        self.width, self.row, self.column = width, len(self.rows) - 1, len(self.rows[-1])

    @property
    def shown(self):
        """Everything from the first line on to that of the cursor, without spaces at the ends."""
        assert not any(self.rows[self.row + 1 :])
        return [row.rstrip() for row in self.rows[: self.row + 1]]


def attach(path):
    """From now on this process prints to the terminal at `path`."""
    terminal = os.open(path, os.O_RDWR)
    for number in (1, 2):
        os.dup2(terminal, number)
    os.close(terminal)


def _both(path, before):
    attach(path)
    if before is not None:
        before()


class CommandInTerminal(Command):
    """A command in a terminal of its own; `stdout` is all that it has printed, `screen` what is seen of it."""

    def __init__(self, *arguments, width=80, height=24, before=None, **options):
        self._ours, theirs = os.openpty()
        self._size, self.raw = (width, height), b""
        os.set_blocking(self._ours, False)
        environment = {"COLUMNS": str(width), "LINES": str(height), "TERM": "xterm-256color", **options.pop("env", {})}
        then = partial(_both, os.ttyname(theirs), before)
        super().__init__(*arguments, before=then, env=environment, **options)
        self._theirs = theirs

    @property
    def stdout(self):
        """All that was printed so far; it has to be asked for now and then, lest the terminal be full."""
        with contextlib.suppress(OSError):  # it is closed, or there is nothing to read
            while more := os.read(self._ours, 65536):
                self.raw += more
        return self.raw.decode(errors="replace")

    def wait(self, timeout=100):
        ends = time.monotonic() + timeout
        while self._process.is_alive() and time.monotonic() < ends:
            _ = self.stdout
            self._process.join(0.02)
        try:
            return super().wait(1)
        finally:
            os.close(self._ours)
            os.close(self._theirs)

    def screen(self):
        screen = Screen(*self._size)
        screen.write(self.stdout.replace("\r\n", "\n"))
        return screen
