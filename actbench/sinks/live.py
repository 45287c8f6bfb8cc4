"""An area at the bottom of the terminal that is drawn again and again, while what is printed appears above it.

rich's `Live` draws it. Unlike there, stderr is left alone where it is no terminal, long lines stay whole, so that they
can be copied, and other consoles of this process print above the area, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

from rich.ansi import AnsiDecoder
from rich.console import Console, ConsoleRenderable, Group
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from actbench.files.output import is_in_foreground

PER_SECOND = 4  # at most so often it is drawn
_STREAMS = ("stdout", "stderr")


def is_possible(console: Console) -> bool:
    """Whether there is a terminal that can move its cursor; colours alone, which can be forced, are not enough.

    Commands in its background (`actbench ... &`) get lines only: each would draw over what the others have drawn.
    """
    return console.is_interactive and console.file.isatty() and is_in_foreground(console.file)


class LiveArea(Live):
    """A few lines that change; they vanish when it is stopped.

    Args:
        console: of the terminal. From `start` on it prints to what its file is then.
        draw: gives the lines. Each is cut to the width of the terminal.
    """

    def __init__(self, console: Console, draw: Callable[[], Sequence[Text]]) -> None:
        self._draw, self._running = draw, False
        self._cells: list[int] = []  # the lengths of the lines that are drawn next
        self._shown: list[int] = []  # and of those on the screen
        self._above: dict[str, _Above] = {}
        super().__init__(
            console=console, transient=True, redirect_stdout=False, redirect_stderr=False,
            refresh_per_second=PER_SECOND, vertical_overflow="crop", get_renderable=self._drawn,
        )  # fmt: skip

    def start(self, refresh: bool = False) -> None:
        self.console.file = self.console.file  # and not what stands for it from now on
        for name in _STREAMS:
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._above[name] = _Above(self, stream)
                setattr(sys, name, self._above[name])
        self._running = True
        super().start(refresh)
        self.console.show_cursor(True)  # it would stay hidden where the process is killed

    def stop(self) -> None:
        self._running = False
        super().stop()
        for name, above in self._above.items():
            if getattr(sys, name) is above:
                setattr(sys, name, above.file)
            above.end()
        self._above = {}

    @property
    def shows_stderr(self) -> bool:
        """Whether what goes to stderr is printed above this area."""
        return "stderr" in self._above

    def say(self, text: Text) -> None:
        """Prints above the area. A line that is longer than the terminal is wide stays one line."""
        with self._lock:
            self.console.print(text, soft_wrap=True, highlight=False)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Where the terminal has become narrower, the lines on the screen have been broken: there are more of them."""
        width = max(self.console.width, 1)
        more = sum(-(-cells // width) - 1 for cells in self._shown if cells > width)
        self._shown = [min(cells, width) for cells in self._cells]
        up = [code for _ in range(more) for code in ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))]
        return [*([Control(*up)] if up else []), *super().process_renderables(renderables)]

    def _drawn(self) -> Group:
        lines = [*self._unfinished(), *self._draw()] if self._running else []
        lines = lines[: max(self.console.height - 1, 1)]
        for line in lines:
            line.truncate(self.console.width, overflow="ellipsis")
        self._cells = [line.cell_len for line in lines]
        return Group(*lines)

    def _unfinished(self) -> list[Text]:
        """What was printed without the end of its line: a question, the progress bar of somebody else."""
        return [Text.from_ansi(above.rest.rstrip("\r")) for above in self._above.values() if above.rest.strip()]


class _Above:
    """stdout or stderr while an area is live: whole lines are printed above it."""

    def __init__(self, area: LiveArea, file: IO[str]) -> None:
        self.area, self.file, self.rest = area, file, ""
        self._process, self._decoder, self._over = os.getpid(), AnsiDecoder(), False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        if self._over or os.getpid() != self._process:  # somebody has kept it, or a fork prints
            return self.file.write(text)
        with self.area._lock:
            *lines, rest = (self.rest + text).split("\n")
            self.rest = _after_the_last_return(rest)
            if lines:
                decoded = [self._decoder.decode_line(_after_the_last_return(line).rstrip("\r")) for line in lines]
                self.area.say(Text("\n").join(decoded))
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.file.flush()

    def end(self) -> None:
        """From now on everything goes to the file itself."""
        self._over = True
        self.file.write(self.rest)
        self.file.flush()


def _after_the_last_return(line: str) -> str:
    r"""What a terminal shows of a line that is written over and over.

    >>> _after_the_last_return("10 %\r20 %"), _after_the_last_return("10 %\r20 %\r")
    ('20 %', '20 %\r')
    """
    return line[line.rstrip("\r").rfind("\r") + 1 :]
