"""Progress in a notebook: one output that changes, as the live area of a terminal does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from rich.text import Text

_EVERY = 0.5  # seconds between two looks
_STYLE = "margin:0;line-height:1.3;white-space:pre-wrap;background:none;color:inherit"


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class NotebookArea:
    """What was said, and below it a few lines that change, in one output of the cell.

    Args:
        draw: gives the lines that change; they vanish when it is stopped.
    """

    shows_stderr = True  # in the same place as what is said here

    def __init__(self, draw: Callable[[], Sequence[Text]]) -> None:
        self._draw, self._said, self._running = draw, [], False  # type: ignore[var-annotated]
        self._over, self._handle, self._last = threading.Event(), None, ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """From now on it is drawn twice a second."""
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        self._running = True
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """What was said stays."""
        if self._thread is not None:
            self._running = False
            self._over.set()
            self._thread.join()
            self._thread = None
            self._show()

    def say(self, text: Text) -> None:
        """Adds a line that stays."""
        self._said.append(text)

    def _go_on(self) -> None:
        while not self._over.wait(_EVERY):
            self._show()

    def _show(self) -> None:
        lines = [*self._said, *(self._draw() if self._running else [])]
        content = f'<pre style="{_STYLE}">{chr(10).join(map(_html, lines))}</pre>'
        if content != self._last and self._handle is not None:
            from IPython.display import HTML

            handle: Any = self._handle
            handle.update(HTML(content))
            self._last = content


def _html(line: Text) -> str:
    text = escape(line.plain)
    style = str(line.style) + "".join(str(span.style) for span in line.spans)
    return f'<span style="color:#c0392b">{text}</span>' if "red" in style else text
