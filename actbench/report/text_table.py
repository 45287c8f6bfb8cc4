"""A table of text, for the terminal, Markdown and HTML alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from actbench.report.sections import TOP

Row = tuple[str, ...]


class Rows(Sequence[Row]):
    """Rows that are made once they are asked for, from what each is about: a terminal shows ten of ten thousand."""

    def __init__(self, make: Callable[..., Row], *columns: Sequence[Any]) -> None:
        self._make, self._of = make, list(zip(*columns, strict=True))
        self._made: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._of)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        numbers = range(len(self))[place]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        if numbers not in self._made:
            self._made[numbers] = self._make(*self._of[numbers])
        return self._made[numbers]


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text: `header` and each of `rows` have the same length.

    The first column is aligned to the left, the others are numbers and aligned to the right (`text`: to the left, too).
    `marks` has the verdict's word for each row (`best`, `as-good`, `worse`, `undecided`, ...), or is empty.
    `note` explains the columns, below the table. `section` is that of the page (`sections.SECTIONS`), whose heading
    says `gist`, if there is one: what a reader would find, in a few words (`relu: 74 % dead`).
    `important` has headings, the most important first: where there is no room for all columns, the others are left out
    before them.
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[Row]
    marks: tuple[str, ...] = ()
    note: str = ""
    text: bool = False
    section: str = TOP
    gist: str = ""
    important: tuple[str, ...] = ()
