"""The tables of a run's folder: CSV files, one for each class of rows, that read back exactly as they were."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from actbench.errors import UserError
from actbench.files.atomic import write_text
from actbench.files.reading import MB, NotReadable, rows
from actbench.measures import registry
from actbench.measures.layers import LayerRecord
from actbench.measures.quantities import Quantity, column_kinds, quantities_of
from actbench.store.plausible import AWAY, MOST, check_stays, reason

# What is read of each file at most: ten times what a large run leaves.
TABLE = 500 * MB
LAYERS = 20_000  # different names in one table

Record = TypeVar("Record", bound=Any)


def of_epochs() -> dict[str, type]:
    """File without `.csv` -> its rows, of the tables that grow while a run trains."""
    return {name: kind for name, kind in registry.tables().items() if "epoch" in column_kinds(kind)}


# ---------------------------------------------------------------- written


class Table:
    """A CSV file that grows in memory and is replaced as a whole; numbers read back exactly."""

    def __init__(self, path: Path, kind: type) -> None:
        self.path = path
        self.text = io.StringIO()
        self.writer = csv.writer(self.text, lineterminator="\n")
        self.columns = [column.name for column in fields(kind)]
        self.writer.writerow(self.columns)
        self.empty, self.changed = True, False  # has no rows; has rows that are not written yet
        self.always = getattr(kind, "always", False)  # the file is there even without rows

    def add(self, records: Iterable[Any]) -> None:
        for record in records:
            self.writer.writerow([getattr(record, column) for column in self.columns])
            self.empty, self.changed = False, True

    def write(self) -> None:
        write_text(self.path, self.text.getvalue())
        self.changed = False

    def update(self) -> None:
        """Writes what is new; a table without rows has no file."""
        if self.changed or self.always:
            self.write()
        elif self.empty:  # what is there is of an earlier attempt
            self.path.unlink(missing_ok=True)


# ---------------------------------------------------------------- read


def table(folder: Path, kind: type[Record]) -> list[Record]:
    """The rows of one class in a run's folder; none if the file does not exist.

    Raises:
        UserError: the file cannot be read.
    """
    path = f"{folder}/{kind.table}.csv"  # a report looks for tables that few runs have
    return records(path, kind) if os.path.lexists(path) else []


def records(path: str | Path, kind: type[Record]) -> list[Record]:
    """The rows of a CSV file, exactly as they were written; none if it does not exist.

    Raises:
        UserError: it cannot be read.
    """
    if not os.path.lexists(path):
        return []
    hashable: Any = kind
    kinds, checks = _columns(hashable)
    try:
        check_stays(path)
        lines = rows(path, TABLE)
        header = next(lines)
        columns: list[Callable[[str], Any]] = [kinds[name] for name in header]
        values = ([read(cell) for read, cell in zip(columns, row, strict=True)] for row in lines)
        if header == [*kinds]:
            read = [kind(*row) for row in values]
        else:  # of an earlier version, which had fewer
            read = [kind(**dict(zip(header, row, strict=True))) for row in values]
        if not all(check(record) for check in checks for record in read):
            raise ValueError("a number, a name or a word that cannot be")
        layers = len({getattr(record, "layer", "") for record in read})
        if layers > LAYERS:
            raise NotReadable(f"it names {layers:,} layers; at most {LAYERS:,} are read")
        return read
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        why = f" ({reason(error)})" if isinstance(error, NotReadable) else ""
        raise UserError(f"cannot be read{why}", where=str(path), how=AWAY) from error


@lru_cache(maxsize=256)
def _columns(kind: Any) -> tuple[dict[str, type], list[Callable[[Any], bool]]]:
    """Column -> int, float or str, in order; and the tests that a row has to pass."""
    kinds = column_kinds(kind)
    checks = [check for quantity in quantities_of(kind) if (check := _check(quantity, kinds[quantity.key]))]
    return kinds, checks


def _check(quantity: Quantity, kind: Any) -> Callable[[Any], bool] | None:
    """A test for plausible values of a column: numbers within bounds, words that are expected or at least printable."""
    key, least, among = quantity.key, quantity.at_least, quantity.among
    if kind is str:
        return lambda row: getattr(row, key) in among if among else getattr(row, key).isprintable()
    if kind is int:
        return lambda row: abs(getattr(row, key)) < MOST and getattr(row, key) >= least
    if quantity.identifies:
        return lambda row: least <= getattr(row, key) < math.inf
    return None


def last_layers(folder: Path) -> list[LayerRecord]:
    """The layers of the last epoch in `layers.csv`."""
    layers = table(folder, LayerRecord)
    last = max((layer.epoch for layer in layers), default=0)
    return [layer for layer in layers if layer.epoch == last]
