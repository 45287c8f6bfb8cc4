"""`measures.json`: what the columns of the user's own measurements mean, for who lacks their code.

Their rows are in a table each, `NAME.csv`. A run without such measurements has no `measures.json`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, field, make_dataclass
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.files.atomic import write_text
from actbench.files.reading import MB, read_json
from actbench.measures import registry
from actbench.measures.own import check_row
from actbench.measures.quantities import DECLARED, Quantity, check, column_kinds, quantities_of
from actbench.store.plausible import AWAY, check_stays, reason, words

FILE = "measures.json"
LARGEST = 1 * MB  # that is read
_UNTOLD = ("key", "tables")  # of a quantity: the file says it otherwise


def write(folder: Path, tables: Mapping[str, type]) -> None:
    """`measures.json` for `tables`, file without `.csv` -> its rows; what is there of other tables is kept."""
    content = {**_stored(folder), **{name: _described(kind) for name, kind in tables.items()}}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path = folder / FILE
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _stored(folder: Path) -> dict[str, Any]:
    try:
        return {name: _described(kind) for name, kind in read(folder).items() if (folder / f"{name}.csv").exists()}
    except UserError:  # it is replaced
        return {}


def _described(kind: type) -> dict[str, Any]:
    kinds, defaults = column_kinds(kind), Quantity(definition="")
    described = {}
    for quantity in quantities_of(kind):
        about = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(quantity).items()
            if key not in _UNTOLD and value != getattr(defaults, key)
        }
        described[quantity.key] = {"type": kinds[quantity.key].__name__, **about}
    return described


def read(folder: Path) -> dict[str, type]:
    """File without `.csv` -> a class for its rows, with what the columns mean; empty where there is no `measures.json`.

    Raises:
        UserError: it is damaged.
    """
    if not os.path.lexists(f"{folder}/{FILE}"):
        return {}
    path = folder / FILE
    try:
        check_stays(path)
        content = read_json(path, LARGEST)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=AWAY) from error
    try:
        if not all(word.isprintable() for word in words(content)):
            raise ValueError("it has characters in it that a terminal would obey")
        return {name: _row_type(name, columns) for name, columns in content.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"does not describe tables ({reason(error)})", where=str(path), how=AWAY) from error


def metrics(folder: Path) -> list[Quantity]:
    """The quantities of the user's own measurements that a run has in `summary.json`; none where that is damaged."""
    try:
        return [quantity for kind in read(folder).values() for quantity in quantities_of(kind) if quantity.summary]
    except UserError:
        return []


def _row_type(name: str, columns: Mapping[str, Mapping[str, Any]]) -> type:
    if not name.replace("-", "_").isidentifier():
        raise ValueError("a table's name is no plain word")
    if name.lower() in registry.tables():
        raise ValueError(f"{name}.csv is a table of actbench's own")
    kinds = {"int": int, "float": float, "str": str}
    made: list[tuple[str, Any, Any]] = []
    for key, about in columns.items():
        quantity = _quantity(key, {item: value for item, value in about.items() if item != "type"})
        made.append((str(key), kinds[about["type"]].__name__, field(metadata={DECLARED: quantity})))
    row = make_dataclass("Row", made, frozen=True, namespace={"table": name})
    check_row(row)
    return row


def _quantity(key: str, about: Mapping[str, Any]) -> Quantity:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in about.items()}
    if isinstance(values.get("at_least"), int):
        values["at_least"] = float(values["at_least"])  # JSON may have lost the point
    quantity = Quantity(**{"definition": "", **values, "key": key})
    check(quantity)
    return quantity
