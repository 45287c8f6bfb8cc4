"""All measurements of this package, discovered as modules, and the glossary of their declarations."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from actbench.measures.quantities import Quantity, Row, quantities_of

if TYPE_CHECKING:
    from actbench.measures.look import SiteObserver


@lru_cache(maxsize=1)
def modules() -> tuple[ModuleType, ...]:
    """The modules of `actbench.measures`: a new one is discovered without being listed anywhere."""
    package = importlib.import_module("actbench.measures")
    return tuple(
        importlib.import_module(f"actbench.measures.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    )


@lru_cache(maxsize=1)
def row_types() -> tuple[type[Row], ...]:
    """The classes of rows, in the order of the glossary. A class without `taken` is a group of columns: left out."""
    own = [kind for module in modules() for kind in vars(module).values() if _is_row(kind, module)]
    return tuple(sorted(own, key=lambda kind: kind.order))


def _is_row(kind: Any, module: ModuleType) -> bool:
    return isinstance(kind, type) and issubclass(kind, Row) and kind.__module__ == module.__name__ and bool(kind.taken)


def tables() -> dict[str, type[Row]]:
    """Name of a file without `.csv` -> the class of its rows."""
    return {kind.table: kind for kind in row_types() if kind.table}


def functions_after_epoch() -> tuple[Callable[[Any], Iterable[Any]], ...]:
    """The functions `after_epoch(look)`, which return rows, of all measurements that have one."""
    return tuple(module.after_epoch for module in modules() if hasattr(module, "after_epoch"))


def observers() -> tuple[type[SiteObserver], ...]:
    """The classes `Observer` (`measures.look.SiteObserver`) of all measurements that have one."""
    return tuple(module.Observer for module in modules() if hasattr(module, "Observer"))


def declared() -> list[Quantity]:
    """Every quantity as each table has it, in the order of the glossary."""
    return [quantity for kind in row_types() for quantity in quantities_of(kind)]


def named(name: str) -> Quantity:
    """The quantity that has this name in `summary.json`; else the first whose column is called so.

    >>> named("dead_ratio").column, named("died").digits
    ('dead units %', 1)

    Raises:
        KeyError: there is none.
    """
    for quantity in declared():
        if quantity.summary == name:
            return quantity
    for quantity in declared():
        if quantity.key == name:
            return quantity
    raise KeyError(name)


# ---------------------------------------------------------------- the glossary


def glossary() -> list[Quantity]:
    """Every quantity once, with all tables that have it.

    Columns that only identify a row (`seed`, `epoch`, `layer`, ...) come last.
    """
    merged: dict[tuple[str, str], Quantity] = {}
    for quantity in declared():
        name = (quantity.key, quantity.definition)
        first = merged.get(name)
        merged[name] = quantity if first is None else replace(
            first,
            tables=(*first.tables, *quantity.tables),
            taken="; ".join(dict.fromkeys([*first.taken.split("; "), quantity.taken])),
            tag=", ".join(filter(None, dict.fromkeys([*first.tag.split(", "), quantity.tag]))),
        )  # fmt: skip
    return sorted(merged.values(), key=lambda quantity: quantity.identifies)


def glossary_markdown() -> str:
    """The results in the glossary as a table for the README; what only identifies a row is left to `list measures`.

    >>> print(*glossary_markdown().splitlines()[:3], sep="\\n")
    | name | unit | what it is | where | source |
    |---|---|---|---|---|
    | `test_accuracy` | % | Share of the test set that is classified correctly after training. | summary.json | |
    """
    lines = ["| name | unit | what it is | where | source |", "|---|---|---|---|---|"]
    for quantity in glossary():
        if quantity.identifies:
            continue
        cells = (f"`{quantity.key}`", quantity.unit, quantity.definition, ", ".join(places(quantity)), quantity.source)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(line.replace("|  |", "| |").replace("|  |", "| |") for line in lines)


def places(quantity: Quantity) -> list[str]:
    """The files that have a quantity: its tables, and `summary.json` with the name that it has there."""
    if not quantity.summary:
        return list(quantity.tables)
    summary = "summary.json" if quantity.summary == quantity.key else f"summary.json (`{quantity.summary}`)"
    return [*quantity.tables, summary]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
