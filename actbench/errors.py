"""What the user did wrong: what, where, and how to mend it. Never shown as a traceback."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


def printable(text: str) -> str:
    r"""The text without what a terminal would obey and a file could not hold: such characters are written out.

    >>> printable("relu\x1b[2J\x07"), printable("naïve ± 1\nline")
    ('relu\\x1b[2J\\x07', 'naïve ± 1\nline')
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or unicodedata.category(c) not in _UNPRINTABLE else _written(c) for c in text)


_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidirectional marks), surrogates, separators


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@dataclass(frozen=True)
class Problem:
    """One mistake: `what` is wrong, `where` it stands (a key, a file), `how` to mend it."""

    what: str
    where: str = ""
    how: str = ""

    def __str__(self) -> str:
        where = self.where.replace("\n", "\\n")
        head = f"{where}: {self.what}" if where else self.what
        return printable(f"{head}\n    {self.how}" if self.how else head)


def in_a_line(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says, fit to be printed.

    >>> in_a_line(RuntimeError("too hot\\nand more"))
    'RuntimeError: too hot'
    """
    lines = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


class UserError(Exception):
    """One or several mistakes of the user, to be shown together.

    >>> str(UserError("is not between 0 and 1", where="dropout=1.5", how="dropout=0.5, say"))
    'dropout=1.5: is not between 0 and 1\\n    dropout=0.5, say'
    """

    def __init__(self, what: str, *, where: str = "", how: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(what, where, how),)
        super().__init__(what)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> UserError:
        """All of `problems` in one error; the same mistake is listed once."""
        error = cls("")
        error.problems = tuple(dict.fromkeys(problems))
        return error

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
