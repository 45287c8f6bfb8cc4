"""A CSV file -> its table: separator, header and decimal sign are found out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.datasets.memory import shortage
from actbench.datasets.on_disk import foreign
from actbench.errors import UserError, in_a_line

if TYPE_CHECKING:
    from pandas import DataFrame

_DECIMAL_COMMA = r"\s*[+-]?\d*,\d+\s*"  # 1,5
_THOUSANDS = r"\s*[+-]?\d{1,3}(,\d{3})+(\.\d*)?\s*"  # 1,250.5
_NUMBER = r"\s*[+-]?\d+(\.\d*)?\s*"
_WHOLE = r"\s*[+-]?\d+\s*"


def table_of(file: Path, names: Sequence[str] = ()) -> DataFrame:
    """The table of a CSV file, perhaps packed (.gz), with columns named by words: `0`, `1`, ... if there is no header.

    The first line is a header unless there is a number in it; numbers that count up from 0 or 1 are names as well, if
    there is a word among them, and so is a line with one of `names` in it (in small letters). Numbers have decimal
    commas where no comma separates and a column is of such alone, and commas between thousands where a column is of
    such alone (`"1,250"`). Columns without a name that are empty or number the rows, as pandas writes them, are left
    out.

    Raises:
        UserError: there is no such file, it cannot be read, or is larger than memory.
    """
    if not file.is_file():
        what = "is a folder, not a file" if file.is_dir() else "there is no such file"
        raise UserError(what, where=str(file), how=f"a CSV file; a relative one is looked for from {Path.cwd()}")
    try:
        table = _read(file, _options(file, names))
    except (ValueError, OSError, EOFError) as error:  # pandas' own errors are ValueErrors
        what = "is empty" if "No columns" in str(error) else f"cannot be read: {in_a_line(error)}"
        raise UserError(what, where=str(file), how=f"rows of values with one separator: {_SAID}, in UTF-8") from error
    table.columns = [str(name).strip() for name in table.columns]
    if len(table) == 0:
        raise UserError("has no rows of samples", where=str(file), how="a row for each sample")
    if len(table.columns) == 1:
        raise UserError("has a single column", where=str(file), how=f"values separated by {_SAID}")
    return _without_nameless(table)


def _options(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """How pandas is to read the file, by its first two lines."""
    import pandas

    how: dict[str, Any] = {"sep": "\0", "dtype": str, "quoting": csv.QUOTE_NONE, "keep_default_na": False}
    first, *second = pandas.read_csv(file, header=None, nrows=2, encoding="utf-8-sig", **how)[0].tolist()
    if what := foreign(first.encode()):
        raise UserError(what, where=str(file), how="the file itself")
    separator, cells = _cells(first)
    _check_size(file, first, len(cells))
    has_header = _is_header(cells, names)
    options: dict[str, Any] = {
        "sep": separator, "header": 0 if has_header else None, "low_memory": False, "skipinitialspace": True,
        "encoding": "utf-8-sig",
    }  # fmt: skip
    whole = (first + "".join(second)).count('"') % 2 == 0  # else a quoted value goes on in the next line
    if has_header and second and whole and len(row := _split(second[0], separator)) == len(cells) + 1:
        if row[-1]:
            what = f"has {len(row)} values in its first row, and {len(cells)} names in its header"
            raise UserError(what, where=str(file), how="a name for each column")
        options |= {"index_col": False, "usecols": range(len(cells))}  # rows end with a separator
    return options


def _read(file: Path, options: dict[str, Any]) -> DataFrame:
    """The table, read once more where numbers are written in a special way."""
    import pandas

    table = pandas.read_csv(file, **options)
    columns = [table[name] for name in table.columns]
    if options["sep"] == ",":
        if any(_are_all(column, _THOUSANDS, _NUMBER) for column in columns):
            return pandas.read_csv(file, **options, thousands=",")
    elif any(_are_all(column, _DECIMAL_COMMA, _WHOLE) for column in columns):
        return pandas.read_csv(file, **options, decimal=",")
    return table


_SAID = "comma, semicolon, tab or |"


def _cells(line: str) -> tuple[str, list[str]]:
    """The separator by which a line has the most cells, and those."""
    rows = {separator: _split(line, separator) for separator in ",;\t|"}
    return max(rows.items(), key=lambda row: len(row[1]))


def _split(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator, skipinitialspace=True))


def _is_header(cells: list[str], names: Sequence[str]) -> bool:
    if any(cell.strip().lower() in names for cell in cells):
        return True
    numbers = [cell for cell in cells if is_number(cell)]
    counting = [str(number) for number in range(len(numbers))], [str(1 + number) for number in range(len(numbers))]
    return not numbers or (len(numbers) < len(cells) and len(numbers) > 1 and numbers in counting)


def _check_size(file: Path, line: str, columns: int) -> None:
    """Raises a UserError where the table would not fit into memory: the system would end the process instead."""
    cells = file.stat().st_size / max(1, len(line.encode()) + 1) * columns * (_PACKING if file.suffix == ".gz" else 1)
    if why := shortage(int(cells * 8 / 5), (2,)):  # numbers of eight bytes, twice
        how = "save it as .npy, which is read from disk: dataset=arrays dataset.path=x.npy with y.npy beside it"
        raise UserError(f"is read whole: {why}", where=str(file), how=how)


_PACKING = 3  # how much larger a packed table of numbers is, at least


def _without_nameless(table: DataFrame) -> DataFrame:
    """The table without columns that have no name, and are empty or count the rows."""
    nameless = [name for name in table.columns if name.startswith("Unnamed: ")]
    return table.drop(columns=[name for name in nameless if table[name].isna().all() or counts_rows(table[name])])


def counts_rows(column: Any) -> bool:
    """Whether a column is nothing but the number of the row."""
    return bool(column.dtype.kind in "iu" and len(column) > 2 and (column.diff().iloc[1:] == 1).all())


def is_number(cell: str) -> bool:
    """Whether a cell is read as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _are_all(column: Any, special: str, plain: str) -> bool:
    """Whether a column is of numbers in a special notation, and plain ones, alone."""
    if column.dtype.kind in "iufb":
        return False
    words = column.dropna().astype(str)
    found = words.str.fullmatch(special)
    return bool(found.any() and (found | words.str.fullmatch(plain)).all())
