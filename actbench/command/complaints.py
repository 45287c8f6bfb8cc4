"""Prints errors, and gives the exit code of a command that failed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actbench.errors import Failure, Problem, UserError, from_disk, in_a_line

USAGE = 2  # exit code of the user's mistakes
FAILED = 1  # exit code of a run that failed or diverged
UNEXPECTED = "failed unexpectedly"


def code_of(error: UserError) -> int:
    """The exit code of an error."""
    return FAILED if isinstance(error, Failure) else USAGE


def of_the_disk(error: OSError, where: str = "", *, then: str = "") -> UserError:
    """An error of the file system as a message; the arguments are those of `errors.from_disk`."""
    return _current_folder() or from_disk(error, where, then=then)


def _current_folder() -> UserError | None:
    """An error if the current folder no longer exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return Failure("is gone: it was moved or removed", where="the current folder", how="cd to one that is there")
    return None


def of_a_fault(error: Exception) -> UserError:
    """An unexpected exception, a bug of actbench, as a message."""
    how = "a bug in actbench: ACTBENCH_TRACEBACK=1 before the command shows where"
    return Failure(f"{UNEXPECTED}: {in_a_line(error)}", how=how)


_printed: set[str] = set()  # each `how` that this process has printed
_worded: Callable[[Problem], Problem] = lambda problem: problem  # noqa: E731


@contextmanager
def worded(change: Callable[[Problem], Problem]) -> Iterator[None]:
    """Within the block problems are printed in other words: those of a program that calls."""
    global _worded
    before, _worded = _worded, change
    try:
        yield
    finally:
        _worded = before


def complain(error: UserError) -> int:
    """Prints every problem of an error; returns the exit code."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    for problem in map(_worded, error.problems):
        if isinstance(error, Failure) and problem.how in _printed:  # a full disk stops more than one thing
            problem = Problem(problem.what, problem.where)
        _printed.add(problem.how)
        console.print(Text.assemble(("error: ", "bold red"), str(problem)), soft_wrap=True)
    return code_of(error)
