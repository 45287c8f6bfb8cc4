"""Columns of words: read as a code for each word, and one-hot encoded by the words that the training split has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.errors import Problem, printable

if TYPE_CHECKING:
    from pandas import DataFrame

_MOST = 100  # different words of a column; what has more is a name or a text rather than a category
_SHOWN = 5

Codes = dict[str, list[str]]  # column -> the word of each code, in the order in which they were met


def codes_of(table: DataFrame, codes: Codes) -> np.ndarray:
    """The table in float64, with the codes of words in the columns of such; new ones are added to `codes`."""
    values = table.copy()
    for name, known in codes.items():
        words = [str(word).strip() for word in table[name]]
        known += [word for word in dict.fromkeys(words) if word not in known]
        number = {word: code for code, word in enumerate(known)}
        values[name] = [float(number[word]) for word in words]
    return values.to_numpy(dtype=np.float64)


def problems_of(column: Any, file: Any) -> list[Problem]:
    """What is wrong with a column of words, none of which is missing."""
    number = column.astype(str).str.strip().nunique()
    where, how = f"{file}, column {column.name}", f"leave it out: dataset.drop=[{column.name}]"
    if number == 1:
        return [Problem("has the same word in all rows", printable(where), how)]
    if number > min(_MOST, len(column) // 2):
        such = str(column.iloc[0])[:20]
        what = f"has {number:,} different words in {len(column):,} rows, such as {such!r}: no category, and no number"
        return [Problem(what, printable(where), how)]
    return []


@dataclass(frozen=True)
class OneHot:
    """The encoding by the words of a training split.

    Args:
        words: number of a column -> codes of its words, in their alphabetical order.
        names: number of a column -> its name.
        columns: how many columns there are, before they are encoded.
    """

    words: Mapping[int, Sequence[int]]
    names: Mapping[int, str]
    columns: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Features (N, F) with a column of 0 and 1 for each word; words that are not known have 0 in all of them."""
        parts = [
            x[:, [column]] == np.array(self.words[column]) if column in self.words else x[:, [column]]
            for column in range(self.columns)
        ]
        return np.concatenate(parts, axis=1, dtype=np.float64)

    @property
    def encoded(self) -> np.ndarray:
        """Whether each feature is one of a word (F,)."""
        widths = [(column in self.words, len(self.words.get(column, [0]))) for column in range(self.columns)]
        return np.concatenate([np.full(width, is_word) for is_word, width in widths])

    def note(self, others: Mapping[str, np.ndarray]) -> str:
        """What the reader must know: which columns these are, and how many of the other samples have unknown words."""
        named = [f"{self.names[column]} ({len(words)})" for column, words in self.words.items()]
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        said = f"Columns of words are one-hot, by the words of the training split: {', '.join(named[:_SHOWN])}{more}"
        for use, x in others.items():
            unknown = np.zeros(len(x), dtype=bool)
            for column, words in self.words.items():
                unknown |= ~np.isin(x[:, column], words)
            if unknown.any():
                said += f"; {unknown.sum():,} of {len(x):,} {use} samples have a word that it does not have"
        return printable(said)


def one_hot(train: np.ndarray, names: Sequence[str], codes: Codes) -> OneHot:
    """The encoding by a training split (N, F).

    Args:
        names: of its columns.
        codes: of those of words.
    """
    columns = {number: name for number, name in enumerate(names) if name in codes}
    words = {
        number: sorted(np.unique(train[:, number]).astype(int).tolist(), key=codes[name].__getitem__)
        for number, name in columns.items()
    }
    return OneHot(words, columns, train.shape[1])
