"""The files behind modules of the user's own: which they are and what is in them, without importing any.

That is how a run knows by which code it was trained, and notices a change.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from actbench.custom.trust import is_trusted
from actbench.errors import UserError
from actbench.files import places


@lru_cache(maxsize=64)
def content(target: str, trust: tuple[str, ...], _folder: str = "") -> str:
    """What the source of a target is: `FILE=DIGEST` for its module and for the user's modules that it imports.

    `import` statements, and `import_module` with a plain string, are followed into modules that are trusted or lie in
    the folder of the target's module or below; never into site-packages or Python's own library. Line ends do not
    count. The answer is kept for the life of the process, so that it is about the code that the process runs.

    Args:
        target: a dotted name, such as `mine.acts.Bent`.
        trust: names of modules that the user has said to trust.
        _folder: the current folder, which decides what a name means.

    Raises:
        UserError: a file cannot be read.
    """
    return content_now(target, trust)


def content_now(target: str, trust: tuple[str, ...]) -> str:
    """The same as `content`, read from the disk again."""
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
    before, after = (dict(word.rpartition("=")[::2] for word in listed.split(" ")) for listed in (old, new))
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def sources(target: str, trust: Sequence[str]) -> dict[str, Path]:
    """The files behind a target, by their names relative to the folder of its module; empty where there is none."""
    modules = closure(target, trust)
    root = _root(modules)
    return {_named(path, root, name): path for name, path in modules.items()}


def _root(modules: Mapping[str, Path]) -> Path:
    """The folder of the first module, or of its package."""
    first = next(iter(modules.values()), Path())
    return first.parent.parent if first.name.startswith("__init__.") else first.parent


def closure(target: str, trust: Sequence[str]) -> dict[str, Path]:
    """Module -> file, of the target's module and of the user's own that it imports."""
    importlib.invalidate_caches()
    start = chain(target)
    root = _root(start)
    files: dict[str, Path] = {}
    waiting = [*reversed(start.items())]
    while waiting:
        name, path = waiting.pop()
        if name in files:
            continue
        files[name] = path
        for imported in _imports(name, path):
            for other, file in chain(imported).items():
                if other not in files and not is_installed(file) and (is_trusted(other, trust) or _below(file, root)):
                    waiting.append((other, file))
    return files


def _named(path: Path, root: Path, name: str) -> str:
    shown = path.relative_to(root).as_posix() if _below(path, root) else name
    return shown.replace(" ", "_")


def chain(dotted: str) -> dict[str, Path]:
    """Module -> file, of all that importing a dotted name executes: the packages on the way, and the module itself.

    What comes behind the last module is a name in it.
    """
    files: dict[str, Path] = {}
    path: Sequence[str] | None = None
    parts = dotted.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        spec = _top(name) if length == 1 else PathFinder.find_spec(parts[length - 1], path)  # needs no parent imported
        if spec is None:
            break
        if spec.has_location and spec.origin:
            files[name] = Path(spec.origin)
        path = list(spec.submodule_search_locations or ())
        if not path:
            break
    return files


def _top(name: str) -> ModuleSpec | None:
    """Where a module is that the user names: beside where they type (see `files.places`), else where Python looks."""
    try:
        return PathFinder.find_spec(name, [*map(str, places.folders())]) or importlib.util.find_spec(name)
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


def is_installed(path: Path) -> bool:
    """Whether a file is part of Python, of an installed package or of actbench, and so not the user's to mend."""
    resolved = path.resolve()
    if {"site-packages", "dist-packages"} & {*resolved.parts}:
        return True
    return any(resolved.is_relative_to(folder) for folder in _libraries())
