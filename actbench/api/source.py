"""The source of a class or function that exists in this process, as a module that stands by itself.

A run has to say by which code it was trained, and a network that was defined in a cell of a notebook lies in no file.
What it needs is written into one: its source, the imports that it uses, and the other classes, functions and plain
values of the notebook. The network is then trained from that file, by the same way as any module of the user's own.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import linecache
import math
import symtable
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from actbench.api.loaded import ANNOTATIONS, check_loaded, codes_of, is_what_it_says
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
        head = "\n".join(sorted(self.imports.values(), key=lambda line: ("__future__" not in line, line)))
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
    if not is_what_it_says(target, text):
        what = f"`{target.__name__}` is not what its source says by now"
        raise UserError(what, where=where, how="run the cell that defines it once more, or restart Python")
    if target.__name__ != name:
        text = f"{text}\n\n\n{name} = {target.__name__}"
    if any(code.co_flags & ANNOTATIONS for code in codes_of(target)):
        source.imports["annotations"] = "from __future__ import annotations"
    used = vars(sys.modules[target.__module__]) if inspect.isclass(target) else target.__globals__
    for other in _globals_in(text):
        if other in used and other not in (*above, name, target.__name__):
            _use(other, used[other], source, where, [*above, name])
            if isinstance(used[other], ModuleType):
                _use_below(other, used[other].__name__, text, source)
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
    elif (written := _written(value)) is not None:
        source.parts[name] = f"{name} = {written}"
        if "torch." in written:
            source.imports.setdefault("torch", "import torch")
    elif getattr(builtins, name, None) is not value:
        what = f"it uses `{name}` of the notebook, a {type(value).__name__}, which cannot be written down with it"
        how = "make it within the class, give it as a plain number or word, or define all of it in a module of your own"
        raise UserError(what, where=where, how=how)


def _use_below(name: str, package: str, text: str, source: Source) -> None:
    """Adds the modules of a package that are reached through its name: `sklearn.datasets` is not there by itself."""
    for node in ast.walk(ast.parse(text)):
        dotted = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
        module = f"{package}.{dotted.removeprefix(f'{name}.')}"
        if dotted.startswith(f"{name}.") and module in sys.modules:
            source.imports[module] = f"import {module}"
            _note_own(module, source)


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


def _written(value: Any) -> str | None:
    """A plain value as an expression: numbers, words, dtypes and devices, and containers of these; None of others."""
    kind = type(value)
    if kind is dict:
        keys, items = _written([*value]), _written([*value.values()])
        return None if keys is None or items is None else f"dict(zip({keys}, {items}))"
    if kind in (list, tuple, set):
        parts = [_written(one) for one in value]
        words = [part for part in parts if part is not None]
        if len(words) < len(parts):
            return None
        listed = f"[{', '.join(sorted(words) if kind is set else words)}]"  # the order of a set is another every time
        return listed if kind is list else f"{kind.__name__}({listed})"
    if kind is float and not math.isfinite(value):
        return f"float('{value}')"
    if (kind.__module__, kind.__name__) in (("torch", "dtype"), ("torch", "device")):
        return str(value) if kind.__name__ == "dtype" else f"torch.device('{value}')"
    if hasattr(value, "item") and kind.__module__ == "numpy" and getattr(value, "shape", None) == ():
        return _written(value.item())
    return repr(value) if kind in _PLAIN else None


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
    codes = codes_of(target)
    if not codes:  # a class without a method of its own: a dataclass, an Enum
        try:
            return textwrap.dedent(inspect.getsource(target)).rstrip()
        except (OSError, TypeError) as error:
            if text := _in_a_cell(target.__name__):
                return text
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


def _in_a_cell(name: str) -> str:
    """The definition of a class in the last cell of a notebook that has one; empty where none has."""
    cells = [entry[2] for entry in [*linecache.cache.values()] if len(entry) == 4 and entry[1] is None]
    for lines in reversed(cells):
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            for node in ast.parse("".join(lines)).body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                    return "".join(lines[first - 1 : node.end_lineno]).rstrip()
    return ""


def _reached(module: ModuleType, dotted: str) -> Any:
    reached: Any = module
    for name in dotted.split("."):
        reached = getattr(reached, name, None)
    return reached
