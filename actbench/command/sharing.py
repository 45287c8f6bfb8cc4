"""Jobs that several processes have been given: each takes what is free, and comes back to what another one holds."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from actbench.command.running import Command
from actbench.errors import Failure, UserError
from actbench.store import reader
from actbench.store.lock import Held, Hold

HELD = "held"  # what a job returns that another process is working on
_FIRST, _LONGEST, _GROWTH = 0.05, 2.0, 1.3  # seconds between two attempts
_SILENT = 1.0  # seconds of waiting of which nothing is said
_NAMED = 4  # runs in one line


def take(folder: Path, command: Command) -> Hold:
    """The right to train a job.

    Raises:
        Held: another process is training it.
        Failure: another process of the same command has tried, and failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hold = Hold(folder, command.id)
    if hold.failed_before:
        hold.release(complete=False)
        raise _failed_elsewhere(folder, hold)
    return hold


def _failed_elsewhere(folder: Path, hold: Hold) -> Failure:
    by, reason = hold.before, ""
    try:
        stored = reader.summary(folder)
        reason = f": {stored.reason}" if stored is not None and stored.status == "failed" else ""
    except UserError:
        pass  # the report tells it
    who = f" in {by.who}" if by is not None else ""
    how = "typed again when all processes in this study have ended, the command tries it again"
    return Failure(f"the run failed{who}{reason}", where=str(folder), how=how)


def free(folders: Sequence[Path]) -> tuple[list[Path], list[Held]]:
    """Of folders in which other processes work, those that are free by now, and who still works in the others."""
    found, held = [], []
    for folder in folders:
        if not folder.exists():  # a lock would make it
            found.append(folder)
            continue
        try:
            Hold(folder).release(complete=False)
            found.append(folder)
        except Held as by:
            held.append(by)
        except OSError:  # it is gone: whoever takes it makes it again
            found.append(folder)
    return found, held


class Waiting:
    """Waits for what other processes hold, longer and longer, and says for whom: once for each of them.

    There is no other way to learn that a lock is free on every file system. Processes that began together drift apart,
    since each waits for random times.
    """

    def __init__(self, command: Command) -> None:
        self._sweep = command.sweep
        self._said: set[str] = set()  # of whom
        self.reset()

    def reset(self) -> None:
        """Something has been free meanwhile."""
        self._pause, self._waited = _FIRST, 0.0

    def wait(self, held: Sequence[Held]) -> None:
        """Waits once."""
        if self._waited >= _SILENT and (waited_for := {f"{one.folder}: {one}" for one in held}) - self._said:
            self._said |= waited_for
            self._say(_told(held))
        pause = self._pause * random.uniform(0.5, 1.0)
        time.sleep(pause)
        self._waited, self._pause = self._waited + pause, min(_GROWTH * self._pause, _LONGEST)

    def _say(self, what: str) -> None:
        if self._sweep is not None:
            self._sweep.say(Text(what))
        else:
            print(what, file=sys.stderr, flush=True)


def _told(held: Sequence[Held]) -> str:
    """`waiting for outputs/s/relu-mlp-5a18816cd0-seeds0-4: process 4711 on node1 is working in it, since 12:30:15`."""
    if len(held) == 1:
        return f"waiting for {held[0].folder}: {held[0].problems[0].what}"
    named = [f"{one.folder.name} ({one.who}{one.since})" for one in held[:_NAMED]]
    more = [f"{len(held) - _NAMED} more"] if len(held) > _NAMED else []
    return f"waiting for {len(held)} runs in {held[0].folder.parent}: {', '.join([*named, *more])}"
