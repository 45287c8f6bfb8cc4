"""Where files of the user's own are looked for: `conf` folders, and modules that they trust.

That is where the command is typed; and, while a program has it so, in further folders, such as the one in which a study
keeps what was defined in a notebook. They are in the environment, which a launcher's workers inherit.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

KEPT = "own"  # the folder of a study in which it keeps what came as Python objects
_VARIABLE = "ACTBENCH_PLACES"


@contextlib.contextmanager
def also(folder: Path) -> Iterator[None]:
    """Within the block `folder` is one of them, after the current folder."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = os.pathsep.join(filter(None, [before, str(folder.absolute())]))
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def folders() -> list[Path]:
    """The folders, the first of which is the current one."""
    added = os.environ.get(_VARIABLE, "").split(os.pathsep)
    return [Path.cwd(), *(Path(folder) for folder in added if folder)]
