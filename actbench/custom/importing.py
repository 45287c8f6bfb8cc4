"""Imports modules of the user's own: by names that they have said to trust, and by no others.

Such modules lie where the command is typed, or are installed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from actbench.custom.source_files import chain, closure, content, content_now
from actbench.custom.tracebacks import place
from actbench.errors import UserError, in_a_line
from actbench.files import places


def import_module(target: str, trust: tuple[str, ...], where: str) -> tuple[ModuleType, list[str]]:
    """The module that a trusted target is in, imported, and the names that lead from it to the target.

    Args:
        where: what to name in an error: `activation=bent`.

    Raises:
        UserError: it is not there, it fails, or it has changed since its content was noted.
    """
    parts = target.split(".")
    top = parts[0]
    file = next(iter(chain(top).values()), None)
    there = sys.modules.get(top)
    if there is not None and file is not None and not _same_file(getattr(there, "__file__", None), file):
        raise UserError(
            f"Python has another module `{top}` already, {getattr(there, '__file__', None) or 'a part of Python'}",
            where=where,
            how=f"give {file.name} another name",
        )
    noted = content(target, trust, os.getcwd())
    own = {name.partition(".")[0] for name in closure(target, trust)}
    with _FINDER.looking({top} | own):
        module = _imported(top, where)
        rest = parts[1:]
        while rest and _is_submodule(module, rest[0]):
            module = _imported(f"{module.__name__}.{rest[0]}", where)
            rest = rest[1:]
    if there is None and not {*noted.split(" ")} <= {*content_now(target, trust).split(" ")}:
        raise UserError("was changed while this command began", where=where, how="type it again")
    return module, rest


def _same_file(file: str | None, other: Path) -> bool:
    try:
        return file is not None and os.path.samefile(file, other)
    except OSError:
        return False


class _FinderInFolder:
    """Finds modules in the folder where the command is typed: those that the user trusts, and what these import.

    No other file of the folder can take the place of a package, installed or not, that some library looks for.
    """

    def __init__(self) -> None:
        self.folders: dict[str, list[str]] = {}  # name -> where it may be

    def find_spec(self, name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, self.folders[name]) if path is None and name in self.folders else None

    @contextlib.contextmanager
    def looking(self, names: Iterable[str]) -> Iterator[None]:
        """Within the block `names` are imported; they are found later, too, for what is imported when it is called."""
        importlib.invalidate_caches()
        self.folders |= {name: [*map(str, places.folders())] for name in names}
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        writes = sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # Python would take an edit of the same second and length for no edit
        try:
            yield
        finally:
            sys.dont_write_bytecode = writes


_FINDER = _FinderInFolder()


def _is_submodule(module: ModuleType, name: str) -> bool:
    if not hasattr(module, "__path__"):
        return False
    attribute = getattr(module, name, None)
    if attribute is not None and not isinstance(attribute, ModuleType):
        return False
    return PathFinder.find_spec(f"{module.__name__}.{name}", module.__path__) is not None


def _imported(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise _failed(name, where, error) from error
        raise UserError(
            f"there is no module `{name}`", where=where, how=f"put {name}.py where you type, or install it"
        ) from error
    except (Exception, SystemExit) as error:
        raise _failed(name, where, error) from error


def _failed(name: str, where: str, error: BaseException) -> UserError:
    at = place(error, [name.partition(".")[0]])
    at = "" if at and at in str(error) else at  # a syntax error says where it is
    return UserError(
        f"`{name}` cannot be imported: {in_a_line(error)}{f' ({at})' if at else ''}", where=where, how="mend it"
    )
