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


def in_a_line(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says.

    >>> in_a_line(RuntimeError("too hot\\nand more"))
    'RuntimeError: too hot'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


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
