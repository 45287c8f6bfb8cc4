"""A run's folder has one writer at a time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout

from actbench.errors import Failure
from actbench.store.owner import LOCK


class Hold:
    """The right to write into a run's folder, until `release`.

    It is a lock on a file there. Removing that file lets another process in: call `check` before writing anything.

    Args:
        folder: it exists.

    Raises:
        Failure: another process has it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._take()

    def _take(self) -> None:
        self._lock = FileLock(self._path, timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            where = str(self._path.parent)
            raise Failure("another process is working in it", where=where, how="wait for it") from None
        self._file = self._now()

    def _now(self) -> tuple[int, int] | None:
        """What tells the file that is there now from any other; None where there is none."""
        try:
            file = self._path.stat()
        except FileNotFoundError:
            return None
        return file.st_dev, file.st_ino

    def check(self) -> None:
        """Takes the lock again where its file was removed.

        Raises:
            Failure: meanwhile another process has it.
            FileNotFoundError: the folder is gone.
        """
        if self._file is not None and self._now() == self._file:
            return
        os.stat(self._path.parent)  # FileLock would make it again
        self._lock.release()  # of a file that no other process can find
        self._take()

    def release(self, *, complete: bool) -> None:
        """Lets the next one in. Of a run that is complete nothing is left to be locked."""
        if complete and self._now() == self._file:
            with contextlib.suppress(OSError):  # elsewhere an open file cannot be removed
                self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._lock.release()
