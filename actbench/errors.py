"""Errors shown to the user, never as a traceback: what is wrong, where, and how to fix it."""

from __future__ import annotations

import errno
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


def printable(text: str) -> str:
    r"""The text with control and other unprintable characters escaped, so that it is safe in a terminal and a file.

    >>> printable("relu\x1b[2J\x07"), printable("naïve ± 1\nline")
    ('relu\\x1b[2J\\x07', 'naïve ± 1\nline')
    """
    if text.isascii() and text.isprintable():
        return text
    return _NOT_PLAIN.sub(lambda found: _shown(found[0]), text)


_NOT_PLAIN = re.compile(r"[^\n -~]")  # a page has megabytes of others
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidirectional marks), surrogates, separators


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def without_password(text: str) -> str:
    """A text in which the passwords of URLs are hidden.

    >>> without_password("hydra.sweeper.storage=postgresql://me:secret@host/db study=a")
    'hydra.sweeper.storage=postgresql://me:***@host/db study=a'
    """
    return re.sub(r"(://[^:/@\s]*:)[^@\s]+@", r"\1***@", text)


@dataclass(frozen=True)
class Problem:
    """One problem: `what` is wrong, `where` (a key, a file), and `how` to fix it."""

    what: str
    where: str = ""
    how: str = ""

    def __str__(self) -> str:
        where = self.where.replace("\n", "\\n")
        head = f"{where}: {self.what}" if where else self.what
        return printable(f"{head}\n    {self.how}" if self.how else head)


def a_type_of(value: object) -> str:
    """The type of a value as a sentence has it.

    >>> a_type_of(3), a_type_of([])
    ('an int', 'a list')
    """
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"


def in_a_line(error: BaseException) -> str:
    """The type of an exception and the first line of its message, safe to print.

    >>> in_a_line(RuntimeError("too hot\\nand more"))
    'RuntimeError: too hot'
    """
    lines = str(error).strip().splitlines()
    return printable(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


_OF_A_PARSER = (
    "mismatched input", "extraneous input", "no viable alternative", "token recognition error", "LexerNoViable",
    "Error merging",
)  # fmt: skip


def in_words(error: Exception) -> str:
    """The first line of a library's error message; `cannot be read` in place of a parser's terms.

    >>> in_words(ValueError("no viable alternative at input 'x'")), in_words(ValueError("too long\\nby far"))
    ('cannot be read', 'too long')
    """
    text = str(error).strip()
    if any(words in text for words in _OF_A_PARSER):
        return "cannot be read"
    if absent := re.search(r"Environment variable '(\w+)' not found", text):
        return f"there is no environment variable {absent[1]}"
    lines = [line.strip() for line in text.splitlines()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


class UserError(Exception):
    """One or several problems that the user can fix, to be shown together.

    >>> str(UserError("is not between 0 and 1", where="dropout=1.5", how="dropout=0.5, say"))
    'dropout=1.5: is not between 0 and 1\\n    dropout=0.5, say'
    """

    def __init__(self, what: str, *, where: str = "", how: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(what, where, how),)
        super().__init__(what)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> UserError:
        """All of `problems` in one error, each problem once."""
        error = cls("")
        error.problems = tuple(dict.fromkeys(problems))
        return error

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Failure(UserError):
    """The command is right, but cannot be carried out: a full disk, a missing folder, another process at work."""


_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_GONE = {errno.ENOENT, getattr(errno, "ESTALE", errno.ENOENT)}
_NO_PLACE = {  # nothing can be written to this path
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip


def from_disk(error: OSError, where: str = "", *, elsewhere: str = "output_dir=FOLDER", then: str = "") -> UserError:
    """An error of the file system as a message.

    Args:
        error: its own path is named, if it has one.
        where: the path to name otherwise.
        elsewhere: what to type to write to another place.
        then: what to do once there is space again.

    >>> print(from_disk(OSError(28, "No space left on device", "outputs/s")))
    outputs/s: No space left on device
        free some space, or choose output_dir=FOLDER on another disk; then the same command again
    """
    what, place = error.strerror or str(error) or type(error).__name__, str(error.filename or where)
    then = then or "then the same command again"
    if error.errno in _NO_PLACE:
        return UserError(what, where=place, how=f"{elsewhere} that you may write to")
    if error.errno in _FULL:
        how = f"free some space, or choose {elsewhere} on another disk; {then}"
    elif error.errno in _GONE:
        how = f"it was moved or removed meanwhile; {then}"
    else:
        how = f"look at the disk, or choose {elsewhere} on another one; {then}"
    return Failure(what, where=place, how=how)
