"""A CSV file of one's own: a column of labels, and pixels or features in the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.datasets.arrays import as_samples
from actbench.datasets.assembling import Samples, assemble
from actbench.datasets.csv_file import counts_rows, is_number, table_of
from actbench.datasets.paths import given
from actbench.datasets.splits import Scaling, Splits
from actbench.datasets.words import Codes, codes_of, one_hot, problems_of
from actbench.errors import Problem, UserError, printable

if TYPE_CHECKING:
    from pandas import DataFrame

_LABELS = ("label", "class", "target")  # columns that are taken for the labels where none is named
_PIXEL = re.compile(r"(pixel|px|pix)[ _]?\d+|\d+x\d+", re.IGNORECASE)  # what columns of pixels are called
_SHOWN = 5


def csv(
    *,
    path: str | None = None,
    label: str | int | None = None,
    drop: Sequence[str | int] = (),
    shape: Sequence[int] | None = None,
    test_path: str | None = None,
    train_size: int | None = None,
    scaling: Scaling = "standard",
) -> Splits:
    """A CSV file with a row for each sample: a column of labels, numbers or words in the others.

    Columns that are called `pixel0`, `pixel1`, ... (Kaggle's digits) or `1x1`, `1x2`, ... are square grey images of
    0..255; any others are features. Those of words are one-hot encoded by the words of the training split, as 0 and 1
    whatever the scaling; a word that it does not have is 0 in all of them. A file without names has columns 0, 1, 2,
    ... What is missing is taken from the training samples, as for `images`. The whole table has to fit into memory.

    Args:
        path: the file, separated by commas, semicolons, tabs or |, perhaps packed (.gz).
        label: the column of labels, whole numbers or words: its name, or its number from 0 (-1: the last); None for
            the one called label, class or target.
        drop: columns that are left out, by name or number: names, running numbers.
        shape: of one sample, where it is neither of the above: [3,32,32] of 3,072 columns.
        test_path: another file with the same columns, for the test.
        train_size: a stratified part of the training samples; None for all of them.
        scaling: what the network is fed, see `assemble`.

    Raises:
        UserError: the file cannot be read, or a label or a number is missing or something else; with all that is wrong.
    """
    file = given(path, "dataset.path", "dataset.path=FILE.csv dataset.label=COLUMN")
    codes: Codes = {}
    table = table_of(file, _names(label))
    of_labels = _column(table, label, file)
    left_out = [_number(table, name) for name in drop]
    train, columns = _samples(table, file, of_labels, left_out, None, codes)
    note = _on_numbering(table[columns])
    test = None
    if test_path is not None:
        test_file = given(test_path, "dataset.test_path", "dataset.test_path=FILE.csv")
        of_test = table_of(test_file, _names(of_labels))
        if of_labels not in of_test.columns:
            how = "a column of labels as in the file for training; what has none cannot be a test: no dataset.test_path"
            raise UserError(f"has no column {of_labels}", where=str(test_file), how=how)
        test, _ = _samples(of_test, test_file, of_labels, (), columns, codes)
    if codes and shape:
        what = f"is for columns of numbers, and those of words are {_listed([*codes])}"
        raise UserError(what, where="dataset.shape", how=f"dataset.drop=[{','.join(codes)}], or no dataset.shape")
    shape = shape or _of_pixels(columns, [np.asarray(part.x) for part in (train, test) if part is not None])

    def shaped(part: Samples) -> Samples:
        return replace(part, x=as_samples(str(file), np.asarray(part.x), shape))

    return assemble(
        name=file.name.split(".")[0] or "csv", where=str(file), train=shaped(train), test=test and shaped(test),
        train_size=train_size, scaling=scaling, note=note,
        encoding=(lambda x: one_hot(x, columns, codes)) if codes else None,
    )  # fmt: skip


def _names(label: str | int | None) -> list[str]:
    """What the column of labels may be called, in small letters."""
    return [*_LABELS, *([] if label is None or is_number(str(label)) else [str(label).strip().lower()])]


def _samples(
    table: DataFrame, file: Path, of_labels: str, drop: Sequence[str], columns: Sequence[str] | None, codes: Codes
) -> tuple[Samples, list[str]]:
    """The samples of a file, and the columns that they are of: `columns`, or all but those of labels and in `drop`.

    The columns of words and their codes are added to `codes`; they are known already where `columns` are given.
    """
    absent = [name for name in (*drop, *(columns or ())) if name not in table.columns]
    if absent:
        how = f"there are {_listed([*table.columns])}"
        raise UserError(f"has no column {_listed(absent)}", where=str(file), how=how)
    kept = [*(columns or [name for name in table.columns if name != of_labels and name not in drop])]
    if not kept:
        raise UserError("has no column but that of the labels", where=str(file), how="a column for each feature")
    for name in kept:
        table[name] = _as_numbers(table[name])
    if columns is None:
        codes.update((name, []) for name in kept if _is_of_words(table[name]))
    problems = [*_of_labels(table[of_labels], file), *_of_features(table[kept], [*codes], file)]
    for name in codes if columns is None else ():
        problems += problems_of(table[name].dropna(), file)
    if problems:
        raise UserError.of(problems)
    labels = table[of_labels]
    if labels.dtype.kind in "iub":
        y = labels.to_numpy(dtype=np.int64)
    else:
        y = labels.astype(str).str.strip().to_numpy(dtype=np.str_)
    return Samples(codes_of(table[kept], codes), y, _Rows(file, len(table))), kept


class _Rows(Sequence[str]):
    """Where each sample was found, said only when it is asked for."""

    def __init__(self, file: Path, rows: int) -> None:
        self.file, self.rows = file, rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: Any) -> Any:
        return f"row {int(row) + 1} of {self.file}"


# ---------------------------------------------------------------- columns


def _column(table: DataFrame, label: str | int | None, file: Path) -> str:
    """The name of the column of labels."""
    names = [str(name) for name in table.columns]
    if label is not None:
        if (name := _number(table, label)) not in names:
            how = f"dataset.label=COLUMN, one of {_listed(names)}"
            raise UserError(f"has no column {label}", where=str(file), how=how)
        return name
    usual = [name for name in names if name.lower() in _LABELS]
    if len(usual) != 1:
        how = f"dataset.label=COLUMN, one of {_listed(names)}"
        raise UserError("which column has the labels is not said", where=str(file), how=how)
    return usual[0]


def _number(table: DataFrame, column: str | int) -> str:
    """The name of a column that is given by its name or, where none has such a name, by its number from 0."""
    name, names = str(column).strip(), [str(name) for name in table.columns]
    if name not in names and re.fullmatch(r"-?\d{1,6}", name) and -len(names) <= int(name) < len(names):
        return names[int(name)]
    return name


def _on_numbering(table: DataFrame) -> str:
    """What is to be said of a column that numbers the rows: where they are sorted, it gives the class away."""
    found = [name for name in table.columns if counts_rows(table[name])]
    if not found:
        return ""
    return printable(f"Column {found[0]} numbers the rows, and is a feature without dataset.drop=[{found[0]}]")


def _as_numbers(column: Any) -> Any:
    """A column of words as numbers, where all of them are some (too large for 64 bits, say); else as it is."""
    import pandas

    if column.dtype.kind in "iufb" or column.isin([True, False]).any():
        return column
    numbers = pandas.to_numeric(column, errors="coerce").astype(np.float64)
    return numbers if (numbers.notna() == column.notna()).all() else column


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12:,} more" if len(names) > 12 else ""
    return printable(", ".join(names[:12]) + more)


# ---------------------------------------------------------------- checks


def _of_labels(labels: Any, file: Path) -> list[Problem]:
    """What is wrong with a column of labels."""
    where = f"{file}, column {labels.name}"
    if labels.isna().any():
        rows = np.flatnonzero(labels.isna())
        what = f"{_are(len(rows), 'label')} missing, the first in row {rows[0] + 1}"
        return [Problem(what, where, "name them, or drop these rows; NA, None and null count as missing")]
    if labels.dtype.kind == "f":
        what = f"labels are numbers with a decimal point, such as {labels.iloc[0]}"
        return [Problem(what, where, "whole numbers or words: one for each class; nothing else is predicted here")]
    return []


def _is_of_words(column: Any) -> bool:
    """Whether there is no number in a column: one among words, or a word among numbers, is a mistake."""
    return column.dtype.kind not in "iufb" and not any(is_number(str(cell)) for cell in column.dropna().unique())


def _of_features(table: DataFrame, of_words: Sequence[str], file: Path) -> list[Problem]:
    """What is wrong with the columns of numbers, and what is missing in those of words."""
    problems = []
    words = [name for name in table.columns if table[name].dtype.kind not in "iufb" and name not in of_words]
    for name in words[:_SHOWN]:
        column = table[name]
        cells = enumerate(column.astype(object).where(column.notna(), 0))
        row, odd = next(((row, cell) for row, cell in cells if not is_number(str(cell))), (0, column.iloc[0]))
        what = f"is not of numbers: row {row + 1} has {str(odd)[:40]!r}"
        problems.append(
            Problem(printable(what), f"{file}, column {name}", f"numbers, or dropped: dataset.drop=[{name}]")
        )
    if len(words) > _SHOWN:
        problems.append(Problem(f"{len(words) - _SHOWN:,} more columns are not of numbers", str(file), "the same"))
    numbers = table[[name for name in table.columns if name not in words]]
    empty = np.column_stack(
        [
            numbers[name].isna() if name in of_words else ~np.isfinite(numbers[name].to_numpy(dtype=np.float64))
            for name in numbers.columns
        ]
        or [np.zeros(len(table), dtype=bool)]
    )
    if empty.any():
        row, place = (int(found[0]) for found in np.nonzero(empty))
        at = f"row {row + 1}, column {numbers.columns[place]}"
        what = f"{_are(int(empty.sum()), 'value')} missing or not finite, the first in {at}"
        problems.append(
            Problem(what, str(file), "fill them, drop these rows, or leave a column out: dataset.drop=[...]")
        )
    return problems


def _are(number: int, what: str) -> str:
    return f"1 {what} is" if number == 1 else f"{number:,} {what}s are"


def _of_pixels(columns: Sequence[str], values: Sequence[np.ndarray]) -> list[int] | None:
    """[1, H, W] where the columns are the pixels of square grey images."""
    side = isqrt(len(columns))
    if side < 2 or side * side != len(columns) or not all(_PIXEL.fullmatch(name) for name in columns):
        return None
    if any(x.min() < 0 or x.max() > 255 for x in values):
        return None
    return [1, side, side]
