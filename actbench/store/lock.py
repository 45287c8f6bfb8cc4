"""A run's folder has one writer at a time, of all processes on all machines that share the folder.

The lock is the kernel's, on a file in the folder: it is free as soon as its process has ended, however, and stays held
by one that is merely stopped. `.attempts` beside it tells who holds it, and how earlier attempts ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from actbench.errors import Failure
from actbench.store.attempts import Attempt, Attempts
from actbench.store.owner import LOCK
from actbench.store.summary import status

_SILENT = 3.0  # seconds for which nobody wonders what a command is doing
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP)}


class Held(Failure):
    """Another process is working in a run's folder; `by` is what it has written of itself, None where it has not."""

    def __init__(self, folder: Path, by: Attempt | None) -> None:
        self.folder, self.by, self.who = folder, by, "another process" if by is None else by.who
        self.since = "" if by is None else f", since {by.since}"
        super().__init__(f"{self.who} is working in it{self.since}", where=str(folder), how="wait for it")

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers send it to the process of their command."""
        return type(self), (self.folder, self.by)


class Hold:
    """The right to write into a run's folder, until `release`.

    It is a lock on a file there. Removing that file lets another process in: call `check` before writing anything.
    `before` is the last attempt of others, `killed` the number of the last ones that were killed in the same epoch.

    Args:
        folder: it exists.
        command: the id of the command that the job belongs to (`store.command`).

    Raises:
        Held: another process has it.
        Failure: the file system has no locks.
    """

    def __init__(self, folder: Path, command: str = "") -> None:
        self.folder, self._command, self._path, self._released = folder, command, folder / LOCK, False
        self.attempts = Attempts(folder)
        self._take()

    def _take(self) -> None:
        self._lock = FileLock(self._path, timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise Held(self.folder, self.attempts.last()) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            how = "mount it with locks, or output_dir=FOLDER on another one"
            raise Failure("its file system has no locks", where=str(self.folder), how=how) from error
        self._file, self.before, self.killed = self._now(), self.attempts.last(), self.attempts.killed()
        self._begun: tuple[int, int] | None = None

    def _now(self) -> tuple[int, int] | None:
        """What tells the file that is there now from any other; None where there is none."""
        try:
            file = self._path.stat()
        except FileNotFoundError:
            return None
        return file.st_dev, file.st_ino

    @property
    def failed_before(self) -> bool:
        """Whether the last attempt failed, and belonged to the same command: it is not repeated."""
        return self.before is not None and self.before.failed and self.before.command == self._command != ""

    def begin(self) -> None:
        """Notes that an attempt begins."""
        self._begun = self.attempts.begin(self._command)

    def fail(self) -> None:
        """Notes that the attempt has failed."""
        if self._begun is not None:
            self._begun = None
            self.attempts.fail(self._command)

    def check(self) -> None:
        """Takes the lock again where its file was removed.

        Raises:
            Held: meanwhile another process has it, or has had it: on a network file system, a lock is lost by a host
                that has not been heard of for long.
            FileNotFoundError: the folder is gone.
        """
        if self._file is not None and self._now() == self._file:
            if self._begun is not None and (now := self.attempts.state()) is not None and now != self._begun:
                raise Held(self.folder, self.attempts.last())
            return
        os.stat(self.folder)  # FileLock would make it again
        self._lock.release()  # of a file that no other process can find
        begun = self._begun
        self._take()
        if begun is not None:
            if self.attempts.state() not in (None, begun) or status(self.folder) in ("completed", "diverged"):
                self._lock.release()
                raise Held(self.folder, self.attempts.last())
            self.begin()

    def release(self, *, complete: bool) -> None:
        """Lets the next one in. Of a run that is complete nothing is left to be locked."""
        if self._released:
            return
        self._released = True
        with contextlib.suppress(OSError):
            if self._now() == self._file:
                self._leave(complete=complete)
        with contextlib.suppress(OSError):
            self._lock.release()

    def _leave(self, *, complete: bool) -> None:
        if not complete:
            if self._begun is not None and self._begun == self.attempts.state():
                self.attempts.stop(self._command)
            return
        self.attempts.remove()
        with contextlib.suppress(OSError):  # elsewhere an open file cannot be removed
            self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(path: Path, wait: float, who: str = "") -> Iterator[bool]:
    """Within the block no other process is in a block of the same `path`, a file that is not there otherwise.

    Who waits longer than `wait` seconds goes on without: a process that is stopped would hold up all others for ever.
    So does who may not write there. Yields whether there was somebody to wait for. A wait of more than a few seconds
    is told on stderr, where it is known `who` is waited for.
    """
    lock, waited, held = FileLock(path), False, False
    began = time.monotonic()
    told = not who
    try:
        while not held and path.parent.is_dir():  # FileLock would make it
            try:
                lock.acquire(timeout=0)
                held = True
            except Timeout:
                waited = True
                if (since := time.monotonic() - began) > wait:
                    break
                if not told and since > _SILENT:
                    print(f"waiting for {who}, at most {wait:.0f} s", file=sys.stderr, flush=True)
                    told = True
                time.sleep(0.05)
            except (OSError, NotImplementedError):
                break
        yield waited
    finally:
        if held:
            with contextlib.suppress(OSError):  # elsewhere an open file cannot be removed
                path.unlink(missing_ok=True)
            lock.release()
