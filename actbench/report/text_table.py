"""A table of words, for the terminal, Markdown and HTML alike; and how numbers look in one."""

from __future__ import annotations

from dataclasses import dataclass

from actbench.records import Estimate


@dataclass(frozen=True)
class Sheet:
    """A table of words: `header` and `rows` of the same length; the first column is text, the others are numbers.

    `marks` says of each row how it stands to the baseline: `better`, `worse`, `unclear`, or `baseline` itself.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()
    note: str = ""
    text: bool = False  # the other columns are text too
    brief: bool = False  # in the terminal a row is one line: what has no room in its last column is cut


def mean(estimate: Estimate, digits: int, scale: float = 1.0) -> str:
    """`98.07`; a dash where there is none."""
    return "–" if estimate.mean is None else f"{scale * estimate.mean:.{digits}f}"


def minus(text: str) -> str:
    """With a real minus: `−0.02 ± 0.01`."""
    return text.replace("-", "−")
