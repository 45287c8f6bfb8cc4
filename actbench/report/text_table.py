"""A table of text, for the terminal, Markdown and HTML alike."""

from __future__ import annotations

from dataclasses import dataclass

from actbench.report.sections import TOP


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
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()
    note: str = ""
    text: bool = False
    section: str = TOP
    gist: str = ""
    important: tuple[str, ...] = ()
