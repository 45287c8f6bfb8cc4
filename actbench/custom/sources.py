"""Modules of the user's own: whether they are trusted, what is in them, their import, and where in them it went wrong.

Nothing is imported here but by `import_module`, which is for names that the user has said to trust.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from actbench.errors import UserError, in_a_line

if TYPE_CHECKING:
    from actbench.settings import Settings

LIBRARIES = ("torch", "torchvision", "actbench")  # of which a YAML file may name some objects without being trusted


def is_own(target: str | None) -> bool:
    """Whether a `_target_` is the user's: not from torch, torchvision or actbench."""
    return target is not None and target.split(".")[0] not in LIBRARIES


def is_trusted(name: str, trust: Sequence[str]) -> bool:
    """Whether a dotted name is one of those that `trust` gives, or within one.

    >>> is_trusted("mine.acts.Bent", ["mine"]), is_trusted("mine", ["mine.acts"]), is_trusted("miner.Bent", ["mine"])
    (True, False, False)
    """
    return any(name == one or name.startswith(f"{one}.") for one in trust)


# ---------------------------------------------------------------- what is in them, without importing


@lru_cache(maxsize=64)
def content(target: str, trust: tuple[str, ...], _folder: str = "") -> str:
    """What the source of a target is: `FILE=DIGEST` for its module and for the user's modules that it imports.

    Followed are `import` statements, and `import_module` with a plain string, into modules that are trusted or lie in
    the folder of the target's module or below; never into site-packages or Python's own library. Line ends do not
    count. A process asks once, so that the answer is about the code that it runs.

    Args:
        _folder: the current folder, which decides what a name means.
    """
    return _content(target, trust)


def _content(target: str, trust: tuple[str, ...]) -> str:
    files = sources(target, trust)
    return " ".join(f"{name}={_digest(path)}" for name, path in sorted(files.items()))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()[:16]
    except OSError as error:
        raise UserError(error.strerror or str(error), where=str(path)) from error


def changed(old: str, new: str) -> list[str]:
    """The files in which two `content`s differ.

    >>> changed("a.py=1 b.py=2 c.py=3", "a.py=1 b.py=4 d.py=5")
    ['b.py', 'c.py', 'd.py']
    """
    before, after = (dict(word.rpartition("=")[::2] for word in one.split(" ")) for one in (old, new))
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def sources(target: str, trust: Sequence[str]) -> dict[str, Path]:
    """The files behind a target, by their names relative to the folder of its module; empty where there is none."""
    modules = _closure(target, trust)
    root = _root(modules)
    return {_named(path, root, name): path for name, path in modules.items()}


def _root(modules: Mapping[str, Path]) -> Path:
    """The folder of the first module, or of its package."""
    first = next(iter(modules.values()), Path())
    return first.parent.parent if first.name.startswith("__init__.") else first.parent


def _closure(target: str, trust: Sequence[str]) -> dict[str, Path]:
    """Module -> file, of the target's module and of the user's own that it imports."""
    importlib.invalidate_caches()
    start = _chain(target)
    root = _root(start)
    found: dict[str, Path] = {}
    waiting = [*reversed(start.items())]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for imported in _imports(name, path):
            for other, file in _chain(imported).items():
                if other not in found and not _is_installed(file) and (is_trusted(other, trust) or _below(file, root)):
                    waiting.append((other, file))
    return found


def _named(path: Path, root: Path, name: str) -> str:
    shown = path.relative_to(root).as_posix() if _below(path, root) else name
    return shown.replace(" ", "_")


def _chain(dotted: str) -> dict[str, Path]:
    """Module -> file, of all that importing a dotted name executes: the packages on the way, and the module itself.

    What comes behind the last module is a name in it.
    """
    found: dict[str, Path] = {}
    path: Sequence[str] | None = None
    parts = dotted.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        spec = _top(name) if length == 1 else PathFinder.find_spec(parts[length - 1], path)  # needs no parent imported
        if spec is None:
            break
        if spec.has_location and spec.origin:
            found[name] = Path(spec.origin)
        path = list(spec.submodule_search_locations or ())
        if not path:
            break
    return found


def _top(name: str) -> ModuleSpec | None:
    """Where a module is that the user names: beside where they type, else where Python looks."""
    try:
        return PathFinder.find_spec(name, [os.getcwd()]) or importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):  # names that cannot be, modules without a spec
        return None


def _imports(name: str, path: Path) -> Iterator[str]:
    """Dotted names that a module imports, anywhere in it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):  # importing it will say so; it may not be Python at all
        return
    package = name if path.name.startswith("__init__.") else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*filter(None, above), *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


@lru_cache(maxsize=1)
def _libraries() -> tuple[Path, ...]:
    """Folders of Python's own library and of this package."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")} | {os.path.dirname(os.__file__)}
    return tuple(Path(str(path)).resolve() for path in (*paths, Path(__file__).parents[1]))


def _is_installed(path: Path) -> bool:
    resolved = path.resolve()
    if {"site-packages", "dist-packages"} & {*resolved.parts}:
        return True
    return any(resolved.is_relative_to(folder) for folder in _libraries())


# ---------------------------------------------------------------- importing


def import_module(target: str, trust: tuple[str, ...], where: str) -> tuple[ModuleType, list[str]]:
    """The module that a trusted target is in, imported, and the names that lead from it to the target.

    Args:
        where: what to name in an error: `activation=bent`.

    Raises:
        UserError: it is not there, it fails, or it has changed since its content was noted.
    """
    parts = target.split(".")
    top = parts[0]
    file = next(iter(_chain(top).values()), None)
    there = sys.modules.get(top)
    if there is not None and file is not None and not _same_file(getattr(there, "__file__", None), file):
        raise UserError(
            f"Python has another module `{top}` already, {getattr(there, '__file__', None) or 'a part of Python'}",
            where=where,
            how=f"give {file.name} another name",
        )
    noted = content(target, trust, os.getcwd())
    own = {name.partition(".")[0] for name in _closure(target, trust)}
    with _BESIDE.looking({top} | own):
        module = _imported(top, where)
        rest = parts[1:]
        while rest and _is_submodule(module, rest[0]):
            module = _imported(f"{module.__name__}.{rest[0]}", where)
            rest = rest[1:]
    if there is None and not {*noted.split(" ")} <= {*_content(target, trust).split(" ")}:
        raise UserError("was changed while this command began", where=where, how="type it again")
    return module, rest


def _same_file(one: str | None, other: Path) -> bool:
    try:
        return one is not None and os.path.samefile(one, other)
    except OSError:
        return False


class _Beside:
    """Finds modules where the user types, by the names that they have said to trust, and what these import.

    No other file there takes the place of a package, installed or not, that some library looks for.
    """

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}  # name -> where it is

    def find_spec(self, name: str, path: Sequence[str] | None = None, _target: object = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [self.folders[name]]) if path is None and name in self.folders else None

    @contextlib.contextmanager
    def looking(self, names: Iterable[str]) -> Iterator[None]:
        """Within the block `names` are imported; they are found later, too, for what is imported when it is called."""
        importlib.invalidate_caches()
        self.folders |= dict.fromkeys(names, os.getcwd())
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        writes = sys.dont_write_bytecode
        sys.dont_write_bytecode = True  # Python would take an edit of the same second and length for no edit
        try:
            yield
        finally:
            sys.dont_write_bytecode = writes


_BESIDE = _Beside()


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


# ---------------------------------------------------------------- where it went wrong


def place(error: BaseException, trust: Sequence[str] = ()) -> str:
    """`my_acts.py, line 12, in forward`: the innermost line of the user's code that an exception passed; or nothing.

    There is none where nothing is trusted.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno}"
    frames = _frames(error, trust)
    return "{}, line {}, in {}".format(_shown(frames[-1][0]), *frames[-1][1:]) if frames else ""


def _frames(error: BaseException, trust: Sequence[str]) -> list[tuple[str, int, str, str]]:
    """File, line, function and module of the user's frames, the innermost last."""
    found = []
    trace = error.__traceback__ if trust else None
    while trace is not None:
        code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__", ""))
        if is_trusted(module, trust) or (
            module != "__main__" and os.path.isfile(code.co_filename) and not _is_installed(Path(code.co_filename))
        ):
            found.append((code.co_filename, trace.tb_lineno, code.co_name, module))
        trace = trace.tb_next
    return found


def _shown(file: str) -> str:
    try:
        shown = os.path.relpath(file)
    except ValueError:  # on another drive
        return file
    return file if shown.startswith("..") else shown


def told(error: BaseException, trust: Sequence[str] = ()) -> str:
    """An exception in a line, with the place in the user's code that it came from."""
    at = place(error, trust)
    return f"{in_a_line(error)} ({at})" if at else in_a_line(error)


def blamed(error: BaseException, settings: Settings) -> str:
    """`activation=bent`: the choice in whose code an exception came up; empty where it is not the user's code."""
    from actbench.settings import GROUPS

    of: Mapping[str, str] = {
        f"{group}={choice.name}": str(choice.target).split(".")[0]
        for group in GROUPS
        if is_own((choice := getattr(settings, group)).target)
    }
    for *_, module in reversed(_frames(error, settings.trust)):
        for where, top in of.items():
            if module.split(".")[0] == top:
                return where
    return ""
