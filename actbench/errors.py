"""What the user did wrong, or what the machine denied: what, where, and how to mend it. Never shown as a traceback."""

from __future__ import annotations

import errno
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


class Failure(UserError):
    """Nothing that was typed is wrong: a full disk, a folder that is gone, another process that is at work."""


_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_GONE = {errno.ENOENT, errno.ENOTDIR, getattr(errno, "ESTALE", errno.ENOENT)}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_disk(error: OSError, where: str = "", *, elsewhere: str = "output_dir=FOLDER") -> UserError:
    """What to say of an error of the disk.

    Args:
        error: its own path is told where it has one.
        where: else this.
        elsewhere: what is typed to write to another place.

    >>> print(from_disk(OSError(28, "No space left on device", "outputs/s")))
    outputs/s: No space left on device
        make room, or choose output_dir=FOLDER on another disk; the same command goes on with what is there
    """
    what, place = error.strerror or str(error) or type(error).__name__, str(error.filename or where)
    if error.errno in _FULL:
        how = f"make room, or choose {elsewhere} on another disk; the same command goes on with what is there"
    elif error.errno in _GONE:
        how = "it was moved or removed meanwhile; the same command makes it again"
    elif error.errno in _DENIED:
        return UserError(what, where=place, how=f"{elsewhere} that you may write to")
    else:
        how = f"the same command goes on with what is there; or choose {elsewhere} on another disk"
    return Failure(what, where=place, how=how)
