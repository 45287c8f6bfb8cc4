"""What the user did wrong: what, where, and how to mend it. Never shown as a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake: `what` is wrong, `where` it stands (a key, a file), `how` to mend it."""

    what: str
    where: str = ""
    how: str = ""

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n    {self.how}" if self.how else head


def in_a_line(error: Exception) -> str:
    """The kind of an exception and the first line of what it says.

    >>> in_a_line(RuntimeError("too hot\\nand more"))
    'RuntimeError: too hot'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


_OF_A_PARSER = (
    "mismatched input", "extraneous input", "no viable alternative", "token recognition error", "LexerNoViable",
    "Error merging",
)  # fmt: skip


def in_words(error: Exception) -> str:
    """The first line of what an exception of a library says, but nothing of a parser's grammar.

    >>> in_words(ValueError("no viable alternative at input 'x'")), in_words(ValueError("too long\\nby far"))
    ('cannot be read', 'too long')
    """
    text = str(error).strip()
    if any(words in text for words in _OF_A_PARSER):
        return "cannot be read"
    lines = [line.strip() for line in text.splitlines()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


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
