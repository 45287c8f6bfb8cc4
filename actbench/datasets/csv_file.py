"""A CSV file -> its table: separator, header and decimal sign are found out."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.errors import UserError, in_a_line

if TYPE_CHECKING:
    from pandas import DataFrame

_DECIMAL_COMMA = r"\s*[+-]?\d*,\d+\s*"  # 1,5
_NUMBER = r"\s*[+-]?\d+\s*"


def table_of(file: Path) -> DataFrame:
    """The table of a CSV file, perhaps packed (.gz), with columns named by words: `0`, `1`, ... where it has no header.

    The first line is a header unless there is a number in it; numbers that count up from 0 or 1 are names as well, if
    there is a word among them. Numbers have decimal commas where no comma separates and a column is of such alone.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    import pandas

    if not file.is_file():
        how = f"dataset.path=FILE.csv; a relative one is looked for from {Path.cwd()}"
        what = "is a folder, not a file" if file.is_dir() else "there is no such file"
        raise UserError(what, where=str(file), how=how)
    try:
        first = pandas.read_csv(file, sep="\0", header=None, nrows=1, dtype=str, quoting=3, encoding="utf-8-sig")
        separator, cells = _cells(str(first.iloc[0, 0]))
        options: dict[str, Any] = {
            "sep": separator, "header": 0 if _is_header(cells) else None, "low_memory": False, "skipinitialspace": True,
            "encoding": "utf-8-sig",
        }  # fmt: skip
        table = pandas.read_csv(file, **options)
        if separator != "," and any(_has_decimal_commas(table[name]) for name in table.columns):
            table = pandas.read_csv(file, **options, decimal=",")
    except (ValueError, OSError, EOFError) as error:  # pandas' own errors are ValueErrors
        what = "is empty" if "No columns" in str(error) else f"cannot be read: {in_a_line(error)}"
        raise UserError(what, where=str(file), how="rows of values with one separator: , ; or tab, in UTF-8") from error
    table.columns = [str(name).strip() for name in table.columns]
    if len(table) == 0:
        raise UserError("has no rows of samples", where=str(file), how="a row for each sample")
    return table


def _cells(line: str) -> tuple[str, list[str]]:
    """The separator by which a line has the most cells, and those."""
    rows = {separator: next(csv.reader([line], delimiter=separator, skipinitialspace=True)) for separator in ",;\t"}
    return max(rows.items(), key=lambda row: len(row[1]))


def _is_header(cells: list[str]) -> bool:
    numbers = [cell for cell in cells if is_number(cell)]
    counting = [str(number) for number in range(len(numbers))], [str(1 + number) for number in range(len(numbers))]
    return not numbers or (len(numbers) < len(cells) and len(numbers) > 1 and numbers in counting)


def is_number(cell: str) -> bool:
    """Whether a cell is read as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_decimal_commas(column: Any) -> bool:
    if column.dtype.kind in "iufb":
        return False
    words = column.dropna().astype(str)
    commas = words.str.fullmatch(_DECIMAL_COMMA)
    return bool(commas.any() and (commas | words.str.fullmatch(_NUMBER)).all())
