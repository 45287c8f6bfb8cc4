"""A file or folder that a parameter names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.files import places


def given(path: Any, key: str, how: str) -> Path:
    """The path that a parameter names, with `~` for the user's own folder. A number is a name as well.

    What a study keeps in its folder `own` is named without the folder, and is found wherever the command is typed.

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
    named = Path(str(path)).expanduser()
    _here, *added = places.folders()
    return next((folder / named for folder in added if not named.exists() and (folder / named).exists()), named)
