"""Where in the user's own code an exception came from, and which of their choices that code belongs to."""

from __future__ import annotations

import linecache
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from actbench.custom.source_files import is_installed
from actbench.custom.trust import is_own, is_trusted
from actbench.errors import Failure, in_a_line
from actbench.files.places import KEPT
from actbench.settings import GROUPS, Settings


def place(error: BaseException, trust: Sequence[str] = ()) -> str:
    """`my_acts.py, line 12, in forward`: the innermost line of the user's code that an exception passed; or nothing.

    There is none where nothing is trusted. Of what a study keeps of a notebook or a script, whose file they have never
    seen, it is the line itself: `in forward: x = self.act(x)`.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = _frames(error, trust)
    if not frames:
        return ""
    file, line, function, _ = frames[-1]
    if _KEPT_FILE.fullmatch("/".join(Path(file).parts[-2:])) and (text := linecache.getline(file, line).strip()):
        return f"in {function}: {text}"
    return f"{_shown(file)}, line {line}, in {function}"


_KEPT_FILE = re.compile(rf"{KEPT}/\w+_[0-9a-f]{{8}}\.py")


def _frames(error: BaseException, trust: Sequence[str]) -> list[tuple[str, int, str, str]]:
    """File, line, function and module of the user's frames, the innermost last."""
    frames = []
    trace = error.__traceback__ if trust else None
    while trace is not None:
        code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__", ""))
        if is_trusted(module, trust) or (
            module != "__main__" and os.path.isfile(code.co_filename) and not is_installed(Path(code.co_filename))
        ):
            frames.append((code.co_filename, trace.tb_lineno, code.co_name, module))
        trace = trace.tb_next
    return frames


def _shown(file: str) -> str:
    try:
        shown = os.path.relpath(file)
    except ValueError:  # on another drive
        return file
    return file if shown.startswith("..") else shown


def explain(error: BaseException, trust: Sequence[str] = ()) -> str:
    """An exception in a line, with the place in the user's code that it came from."""
    if isinstance(error, Failure):  # a sentence of ours
        return error.problems[0].what
    at = place(error, trust)
    return f"{in_a_line(error)} ({at})" if at else in_a_line(error)


def blamed(error: BaseException, settings: Settings) -> str:
    """`activation=bent`: the choice in whose code an exception came up; empty where it is not the user's code."""
    modules: Mapping[str, str] = {
        f"{group}={choice.name}": str(choice.target).split(".")[0]
        for group in GROUPS
        if is_own((choice := getattr(settings, group)).target)
    }
    for *_, module in reversed(_frames(error, settings.trust)):
        for where, top in modules.items():
            if module.split(".")[0] == top:
                return where
    return ""
