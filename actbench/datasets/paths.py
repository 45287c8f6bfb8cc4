"""A file or folder that a parameter names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actbench.errors import UserError


def given(path: Any, key: str, how: str) -> Path:
    """The path that a parameter names, with `~` for the user's own folder. A number is a name as well.

    Args:
        path: the parameter's value.
        key: its name: `dataset.path`.
        how: what to give.

    Raises:
        UserError: it is missing, or no name.
    """
    if path is None:
        raise UserError("is missing", where=key, how=how)
    if isinstance(path, bool) or not isinstance(path, (str, int)) or path == "":
        raise UserError(f"is {path!r}, not a name", where=key, how=f"{how}; in quotes, if it looks like something else")
    return Path(str(path)).expanduser()
