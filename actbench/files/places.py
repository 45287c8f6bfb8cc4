"""Where files of the user's own are looked for: `conf` folders, and modules that they trust.

That is where the command is typed; and, while a program has it so, in further folders, such as the one in which a study
keeps what was defined in a notebook.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

KEPT = "own"  # the folder of a study in which it keeps what came as Python objects
_ADDED: list[Path] = []


@contextlib.contextmanager
def also(folder: Path) -> Iterator[None]:
    """Within the block `folder` is one of them, after the current folder."""
    added = folder.absolute()
    _ADDED.append(added)
    try:
        yield
    finally:
        _ADDED.remove(added)


def folders() -> list[Path]:
    """The folders, the first of which is the current one."""
    return [Path.cwd(), *_ADDED]
