"""Whether the code that this process runs is what its source says."""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import Any

from actbench.custom.source_files import chain
from actbench.errors import UserError

ANNOTATIONS = __future__.annotations.compiler_flag  # of code below `from __future__ import annotations`


def check_loaded(name: str) -> None:
    """Raises a UserError where the file of an imported module has other code by now than this process runs."""
    file, module = chain(name).get(name), sys.modules.get(name)
    if module is None or file is None or is_rewritten(module):
        return
    try:
        known = _prints(compile(file.read_bytes(), str(file), "exec", dont_inherit=True))
    except (OSError, SyntaxError, ValueError):
        known = frozenset()
    own = [one for one in vars(module).values() if getattr(one, "__module__", None) == name]
    codes = [code for one in own for code in codes_of(one) if code.co_filename in (str(file), module.__file__)]
    if any(_print(code) not in known for code in codes):
        how = f"importlib.reload({name}), and what was imported from it once more; or restart Python"
        raise UserError("was changed after it was imported", where=str(file), how=how)


def is_rewritten(module: ModuleType | None) -> bool:
    """Whether the code of a module is not what its file compiles to: pytest rewrites `assert` in tests, for example."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return loader is not None and type(loader) is not SourceFileLoader


def codes_of(target: Any) -> list[CodeType]:
    """The code of a function, or of the functions that a class defines; not what a decorator has put around or made."""
    if not inspect.isclass(target):
        inner = inspect.unwrap(target) if callable(target) else target
        plain = isinstance(inner, FunctionType) and inner.__code__.co_filename != "<string>"
        return [inner.__code__] if plain else []
    members = [one.fget if isinstance(one, property) else getattr(one, "__func__", one)
               for one in vars(target).values() if not inspect.isclass(one)]  # fmt: skip
    found = [(one, code) for one in members for code in codes_of(one)]
    found = [(one, code) for one, code in found if getattr(one, "__module__", None) == target.__module__]
    return [code for _, code in found if code.co_filename == found[0][1].co_filename]  # not of `act = F.gelu`


def is_what_it_says(target: Any, text: str) -> bool:
    """Whether a class or function does what the text of its definition does.

    Or what something in its file does, since an import above the definition changes the code.
    """
    codes = codes_of(target)
    if not codes or is_rewritten(sys.modules.get(target.__module__)):
        return True
    file = "".join(linecache.getlines(codes[0].co_filename))
    flags = codes[0].co_flags & ANNOTATIONS | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # which a cell may have
    compiled = [compile(one, "own", "exec", dont_inherit=True, flags=flags) for one in (text, file)]
    known = frozenset().union(*map(_prints, compiled))
    return all(_print(code) in known for code in codes)


def _prints(code: CodeType) -> frozenset[Any]:
    """What all code within a module's code does."""
    return frozenset(_print(inner) for inner in _within(code))


def _within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _within(constant)


def _print(code: CodeType) -> Any:
    """What a piece of code does, wherever it stands."""
    constants = tuple(_print(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts)
    return code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, constants
