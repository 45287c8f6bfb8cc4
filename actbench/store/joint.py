"""Processes that work in a study at the same time count as one command: what failed is tried once by all of them.

Each holds a shared lock on a file of the study while it works. Who finds nobody there begins a new command, by writing
a new id into the file; who comes later reads it. The last one removes it. Where there are no such locks, each process
is a command of its own. Below the id is what they have agreed on, a line each.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from actbench.errors import UserError
from actbench.files.atomic import remove_strays
from actbench.files.reading import MB, read_text
from actbench.store.lock import alone

FILE = ".command"
_LOCK = ".command.lock"  # while somebody adds a line
_WAIT = 5.0  # seconds for somebody who is writing the id, which takes microseconds


@contextlib.contextmanager
def command_in(study: Path) -> Iterator[str]:
    """The id of the command that this process is a part of within the block; `study` is made if it is not there."""
    own, handle = secrets.token_hex(4), -1
    made = [folder for folder in (study, *study.parents) if not folder.exists()]
    try:
        try:
            study.mkdir(parents=True, exist_ok=True)
            remove_strays(study, alone=False, deep=False)
            handle, own = _join(study / FILE, own)
        except (OSError, ImportError):  # a folder that may only be read, which is told elsewhere; Windows
            pass
        yield own
    finally:
        if handle >= 0:
            with contextlib.suppress(OSError):
                _leave(study / FILE, handle)
            os.close(handle)
        with contextlib.suppress(OSError):  # no run has begun in it
            for folder in made:
                folder.rmdir()


def agreed(study: Path, question: str, answer: str) -> str:
    """The answer of all processes of this command, each of which has one: that of the first that was asked.

    Both are single lines. Where the processes have nothing in common, each keeps its own answer.
    """
    path = study / FILE
    with contextlib.suppress(OSError, ValueError, UserError), alone(study / _LOCK, _WAIT):
        for line in read_text(path, limit=MB).splitlines()[1:]:
            asked, _, answered = line.partition(": ")
            if asked == question:
                return answered
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        try:
            os.write(handle, f"\n{question}: {answer}".encode())
        finally:
            os.close(handle)
    return answer


def _join(path: Path, own: str) -> tuple[int, str]:
    """The file, open and locked, and the id in it."""
    import fcntl

    ends = time.monotonic() + _WAIT
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            if _locks(handle, fcntl.LOCK_EX):  # nobody else is there
                os.ftruncate(handle, 0)
                os.pwrite(handle, own.encode(), 0)
            if _locks(handle, fcntl.LOCK_SH) and _is_there(path, handle):
                # who came between the two locks has written another id
                return handle, os.pread(handle, 100, 0).decode(errors="replace").partition("\n")[0] or own
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if time.monotonic() > ends:
            raise TimeoutError(f"{path} is locked")
        time.sleep(0.01)


def _leave(path: Path, handle: int) -> None:
    import fcntl

    if _locks(handle, fcntl.LOCK_EX) and _is_there(path, handle):
        path.unlink()


def _locks(handle: int, how: int) -> bool:
    import fcntl

    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(path: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        now, own = os.stat(path), os.fstat(handle)
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) == (own.st_dev, own.st_ino)
