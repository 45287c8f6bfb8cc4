"""How many runs of a command other processes have completed: their folders are looked at, a second apart or more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from actbench.store import reader

_COMPLETE = ("completed", "diverged")
_APART = 1.0  # seconds
_SHARE = 0.02  # of the time, at most, is spent on looking


class Elsewhere:
    """Those that are due here, and of which other processes may take some.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._next = clock, float("-inf")
        self._due: dict[str, Path] = {}  # name -> folder
        self.done: set[str] = set()  # names of those that were completed elsewhere

    def expect(self, folders: Iterable[Path]) -> None:
        """These are due. Of those that are complete but for scores in INT8, nobody can tell who scores them."""
        self._due.update((folder.name, folder) for folder in folders if reader.status(folder) not in _COMPLETE)

    def taken(self, name: str) -> None:
        """This process has taken it."""
        self._due.pop(name, None)

    def found(self, name: str) -> None:
        """It was found complete."""
        self.taken(name)
        self.done.add(name)

    def look(self) -> int:
        """Looks again, unless that was done a moment ago; returns how many there are."""
        began = self._clock()
        if began >= self._next:
            due = [*self._due.items()]  # which another thread may change
            begun = {parent: _names(parent) for parent in {folder.parent for _, folder in due}}
            for name, folder in due:
                if name not in begun[folder.parent] or reader.status(folder) not in _COMPLETE:
                    continue
                if self._due.pop(name, None) is not None:  # else this process has taken it meanwhile
                    self.done.add(name)
            self._next = self._clock() + max(_APART, (self._clock() - began) / _SHARE)
        return len(self.done)


def _names(folder: Path) -> set[str]:
    try:
        return {*os.listdir(folder)}
    except OSError:  # it is not there yet, or gone
        return set()
