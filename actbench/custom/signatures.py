"""What a network of the user's own is built with, read from its source without importing it.

`model=mynet:Net` names a class or function in a module; its parameters are keys, as those of a YAML file are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actbench.custom.source_files import chain

TYPED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)", re.ASCII)  # module:name
REQUIRED = "???"  # in place of a default, as in Hydra's YAML

_FROM_DATA = ("inputs", "classes")  # which the data say, where the user does not


@dataclass(frozen=True)
class Signature:
    """What a class or function takes.

    Attributes:
        parameters: those with a plain default, and REQUIRED of those without a default.
        takes_components: whether it is built as our own models are, by (components, *, inputs, classes).
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    takes_components: bool = False


def target_of(name: str) -> str | None:
    """The dotted target of `module:name`; None of any other word.

    >>> target_of("nets.small:Net"), target_of("mlp")
    ('nets.small.Net', None)
    """
    match = TYPED.fullmatch(name)
    return f"{match[1]}.{match[2]}" if match else None


def module_of(name: str) -> str:
    """The module of `module:name`."""
    return name.partition(":")[0]


def file_of(name: str) -> Path | None:
    """The file of the module of `module:name`; None where there is no such module."""
    return chain(module_of(name)).get(module_of(name))


def signature_of(target: str) -> Signature | None:
    """The signature of a target; None where its source does not show it (it is imported, made by a call, ...).

    Args:
        target: a dotted name, such as `mynet.Net`.
    """
    files = chain(target)
    if not files:
        return None
    module = max(files, key=len)
    tree = _parsed(files[module])
    found = _defined(tree, target.removeprefix(f"{module}.")) if tree is not None and target != module else None
    if isinstance(found, ast.ClassDef):
        found = _constructor(tree, found)
        return Signature() if found is None else _signature(found.args, method=True)
    return None if found is None else _signature(found.args, method=False)


def defined_in(file: Path) -> list[str]:
    """The classes and functions that a file defines, those with an underscore left out."""
    tree = _parsed(file)
    body = [] if tree is None else tree.body
    names = [node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    return [name for name in names if not name.startswith("_")]


def mentions(file: Path, name: str) -> bool:
    """Whether a file may have a name that it does not define: it imports it, assigns it, or makes names as it runs."""
    tree = _parsed(file)
    if tree is None:  # importing it will say what is wrong with it
        return True
    return any(_brings(node, name) for node in ast.walk(tree))


def _brings(node: ast.AST, name: str) -> bool:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        return name in names or "*" in names
    if isinstance(node, ast.FunctionDef):
        return node.name == "__getattr__"
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)


_Defined = ast.ClassDef | ast.FunctionDef


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):  # importing it will say so
        return None


def _defined(tree: ast.Module | ast.ClassDef | None, name: str) -> _Defined | None:
    first, _, rest = name.partition(".")
    for node in reversed(tree.body if tree is not None else []):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == first:
            return _defined(node, rest) if rest and isinstance(node, ast.ClassDef) else (None if rest else node)
    return None


def _constructor(tree: ast.Module | None, of: ast.ClassDef) -> ast.FunctionDef | None:
    """Its `__init__`, or that of a class of the same file that it inherits from."""
    for _ in range(10):
        own = _defined(of, "__init__")
        if isinstance(own, ast.FunctionDef):
            return own
        bases = [_defined(tree, base.id) for base in of.bases if isinstance(base, ast.Name)]
        above = next((base for base in bases if isinstance(base, ast.ClassDef)), None)
        if above is None:
            return None
        of = above
    return None


def _signature(arguments: ast.arguments, *, method: bool) -> Signature:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    pairs = [*zip(positional, [*defaults, *arguments.defaults], strict=True)][1 if method else 0 :]
    keyword = [*zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if pairs and (pairs[0][0].arg == "components" or {*_FROM_DATA} <= {name.arg for name, _ in keyword}):
        taken = {name.arg: default for name, default in [*pairs[1:], *keyword] if name.arg not in _FROM_DATA}
        return Signature(_plain(taken), takes_components=True)
    taken = {name.arg: default for name, default in [*pairs, *keyword]}
    return Signature(_plain({k: v for k, v in taken.items() if v is not None or k not in _FROM_DATA}))


def _plain(taken: Mapping[str, ast.expr | None]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, default in taken.items():
        if default is None:
            plain[name] = REQUIRED
            continue
        try:
            value = ast.literal_eval(default)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # a class, a call: not for typing
            continue
        if _is_plain(value):
            plain[name] = [*value] if isinstance(value, tuple) else value
    return plain


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return "${" not in value and value != REQUIRED
    return value is None or isinstance(value, (bool, int, float))
