"""The source of a class or function that exists in this process, as a module that stands by itself.

A run has to say by which code it was trained, and a network that was defined in a cell of a notebook lies in no file.
What it needs is written into one: its source, the imports that it uses, and the other classes, functions and plain
values of the notebook. The network is then trained from that file, by the same way as any module of the user's own.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import math
import symtable
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from actbench.custom.source_files import chain, is_installed
from actbench.errors import UserError

_HOW = "define it at the top level of the notebook or script, or in a module of your own: model=mynet.Net"
_PLAIN = (bool, int, float, str, bytes, type(None))


@dataclass
class Source:
    """A module's text as it is put together; `own` are modules of the user's that it imports."""

    imports: dict[str, str] = field(default_factory=dict)  # name -> the line
    parts: dict[str, str] = field(default_factory=dict)  # name -> its definition, each behind those that it needs
    own: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole of it, the same for the same definitions."""
        head = "\n".join(sorted(self.imports.values()))
        return "\n\n\n".join([*([head] if head else []), *self.parts.values()]) + "\n"


def module_of(target: Any) -> str | None:
    """The module from which a class or function can be imported again by its name; None where there is none.

    It is one that lies where the user types, or where Python looks; not a notebook, and not the script that runs.

    Raises:
        UserError: its file was changed since it was imported, so that it would not say what is trained.
    """
    name = str(getattr(target, "__module__", None))
    module = sys.modules.get(name)
    if module is None or name == "__main__" or _reached(module, target.__qualname__) is not target:
        return None
    file, there = chain(name).get(name), getattr(module, "__file__", None)
    if file is None or there is None or not Path(there).exists() or not file.samefile(there):
        return None
    if not is_installed(file):
        check_loaded(name)
    return name


def check_loaded(name: str) -> None:
    """Raises a UserError where the file of an imported module has other code by now than this process runs."""
    file, module = chain(name).get(name), sys.modules.get(name)
    if module is None or file is None or _is_rewritten(module):
        return
    try:
        known = _prints(compile(file.read_bytes(), str(file), "exec", dont_inherit=True))
    except (OSError, SyntaxError, ValueError):
        known = frozenset()
    own = [one for one in vars(module).values() if getattr(one, "__module__", None) == name]
    codes = [code for one in own for code in _codes(one) if code.co_filename in (str(file), module.__file__)]
    if any(_print(code) not in known for code in codes):
        how = f"importlib.reload({name}), and what was imported from it once more; or restart Python"
        raise UserError("was changed after it was imported", where=str(file), how=how)


def _is_rewritten(module: ModuleType | None) -> bool:
    """Whether the code of a module is not what its file compiles to: pytest rewrites `assert` in tests, for example."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return loader is not None and type(loader) is not SourceFileLoader


def source_of(target: Any, where: str) -> Source:
    """The source of a class or function with all that it uses.

    Args:
        where: which argument it was given as, for messages.

    Raises:
        UserError: its source is not known, or it uses something that cannot be written down; with the reason.
    """
    source = Source()
    _define(target.__name__, target, source, where, [])
    return source


WRAPPED = "Applied"
_WRAPPER = """class Applied(torch.nn.Module):
    def forward(self, z):
        return {}(z)"""


def as_activation(function: Any, where: str) -> Source:
    """The source of a module, the class `WRAPPED`, that applies a function of a tensor."""
    source, name = Source(), function.__name__
    if _importable(function) is not None:
        _use(name, function, source, where, [])
    else:
        _define(name, function, source, where, [])
    source.imports.setdefault("torch", "import torch")
    source.parts[WRAPPED] = _WRAPPER.format(name)
    return source


# ---------------------------------------------------------------- what it uses


def _define(name: str, target: Any, source: Source, where: str, above: list[str]) -> None:
    """Adds a definition of the notebook's, behind all that it uses."""
    if "<locals>" in target.__qualname__ or target.__name__ == "<lambda>":
        what = f"`{target.__qualname__}` is defined within a function, or is a lambda"
        raise UserError(what, where=where, how=_HOW)
    text = _text(target, where)
    rewritten = _is_rewritten(sys.modules.get(target.__module__))
    if not rewritten and any(_print(code) not in _known(target, text) for code in _codes(target)):
        what = f"`{target.__name__}` is not what its source says by now"
        raise UserError(what, where=where, how="run the cell that defines it once more, or restart Python")
    if target.__name__ != name:
        text = f"{text}\n\n\n{name} = {target.__name__}"
    used = vars(sys.modules[target.__module__]) if inspect.isclass(target) else target.__globals__
    for other in _globals_in(text):
        if other in used and other not in (*above, name, target.__name__):
            _use(other, used[other], source, where, [*above, name])
    source.parts[name] = text


def _use(name: str, value: Any, source: Source, where: str, above: list[str]) -> None:
    if name in source.imports or name in source.parts:
        return
    if isinstance(value, ModuleType):
        source.imports[name] = f"import {value.__name__}" + ("" if name == value.__name__ else f" as {name}")
        _note_own(value.__name__, source)
    elif (found := _importable(value)) is not None:
        module, original = found
        source.imports[name] = f"from {module} import {original}" + ("" if name == original else f" as {name}")
        _note_own(module, source)
    elif inspect.isclass(value) or isinstance(value, FunctionType):
        _define(name, value, source, where, above)
    elif _is_plain(value):
        source.parts[name] = f"{name} = {value!r}"
    elif getattr(builtins, name, None) is not value:
        what = f"it uses `{name}` of the notebook, a {type(value).__name__}, which cannot be written down with it"
        how = "make it within the class, give it as a plain number or word, or define all of it in a module of your own"
        raise UserError(what, where=where, how=how)


def _importable(value: Any) -> tuple[str, str] | None:
    """The module and the name by which anything but a module can be imported."""
    name = getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None
    homes = [getattr(value, "__module__", None), "torch", "torch.nn.functional", "math", "builtins"]
    for home in homes:
        module = sys.modules.get(home) if isinstance(home, str) else None
        if module is None or home == "__main__" or getattr(module, name, None) is not value:
            continue
        if home in sys.builtin_module_names or chain(str(home)):
            return str(home), name
    return None


def _note_own(module: str, source: Source) -> None:
    """A module of the user's own counts, as the source that uses it does."""
    file = next(iter(chain(module).values()), None)
    if file is not None and not is_installed(file) and module not in source.own:
        check_loaded(module)
        source.own.append(module)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set)):
        return all(map(_is_plain, value)) and type(value) in (list, tuple, set) and bool(value or value == [])
    if isinstance(value, dict):
        return type(value) is dict and all(_is_plain(item) for pair in value.items() for item in pair)
    return type(value) in _PLAIN and not (isinstance(value, float) and not math.isfinite(value))


def _globals_in(text: str) -> list[str]:
    """The names that a definition takes from outside of it."""
    found: dict[str, None] = {}
    waiting = [symtable.symtable(text, "own", "exec")]
    while waiting:
        table = waiting.pop()
        outermost = table.get_type() == "module" or str(table.get_type()).endswith("MODULE")
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or (outermost and not symbol.is_assigned())):
                found.setdefault(symbol.get_name())
        waiting += table.get_children()
    return sorted(found)


# ---------------------------------------------------------------- its text


def _text(target: Any, where: str) -> str:
    """The lines that define it, with its decorators."""
    unknown = UserError(f"the source of `{target.__name__}` is not known", where=where, how=_HOW)
    codes = _codes(target)
    if not codes:
        try:
            return textwrap.dedent(inspect.getsource(target)).rstrip()
        except (OSError, TypeError) as error:
            raise unknown from error
    lines = linecache.getlines(codes[0].co_filename)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise unknown from error
    kind = ast.ClassDef if inspect.isclass(target) else (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if not isinstance(node, kind) or node.name != target.__name__:
            continue
        first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        if first <= codes[0].co_firstlineno <= (node.end_lineno or first):
            return textwrap.dedent("".join(lines[first - 1 : node.end_lineno])).rstrip()
    raise unknown


# ---------------------------------------------------------------- its code


def _reached(module: ModuleType, dotted: str) -> Any:
    reached: Any = module
    for name in dotted.split("."):
        reached = getattr(reached, name, None)
    return reached


def _codes(target: Any) -> list[CodeType]:
    """The code of a function, or of the functions that a class defines; not what a decorator has put around or made."""
    if inspect.isclass(target):
        members = vars(target).values()
        members_code = [_codes(one.fget if isinstance(one, property) else getattr(one, "__func__", one))
                        for one in members if not inspect.isclass(one)]  # fmt: skip
        own = [code for codes in members_code for code in codes]
        return [code for code in own if code.co_filename == own[0].co_filename]
    inner = inspect.unwrap(target) if callable(target) else target
    return [inner.__code__] if isinstance(inner, FunctionType) and inner.__code__.co_filename != "<string>" else []


def _known(target: Any, text: str) -> frozenset[Any]:
    """What the text of a definition does; and all that its file does, since an import above it changes the code."""
    import __future__

    codes = _codes(target)
    flags = codes[0].co_flags & __future__.annotations.compiler_flag if codes else 0
    file = "".join(linecache.getlines(codes[0].co_filename)) if codes else ""
    compiled = [compile(one, "own", "exec", dont_inherit=True, flags=flags) for one in (text, file)]
    return frozenset().union(*map(_prints, compiled))


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
