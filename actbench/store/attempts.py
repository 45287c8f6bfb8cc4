"""`.attempts` of a run that is running or incomplete: who has tried to train it, and how that ended.

A line of JSON for each attempt, and one more where it failed or was stopped. An attempt without an end was killed, or
is still at work. Only who holds the run's lock writes it; a line that cannot be read, of a process that was killed or a
disk that was full, is as good as none.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from actbench import __version__
from actbench.errors import UserError, printable
from actbench.files.reading import MB, read_text
from actbench.store.owner import ATTEMPTS, RESUME


@dataclass(frozen=True)
class Attempt:
    """An attempt at a run.

    Attributes:
        host, pid: of the process.
        time: when it began (ISO 8601, UTC).
        version: of actbench.
        command: the id of the command (`store.command`).
        failed: whether it is known to have failed.
        stopped: whether it ended in good order with the run incomplete, on a signal for example.
        resumed: what tells the epoch after which it went on: the time at which `resume.pt` was written (ns); 0 where
            there was none, -1 where an earlier version has not noted it.
    """

    host: str
    pid: int
    time: str
    version: str
    command: str
    failed: bool = False
    stopped: bool = False
    resumed: int = -1

    @property
    def who(self) -> str:
        """`process 4711 on node1`."""
        return f"process {self.pid} on {self.host}"

    @property
    def since(self) -> str:
        """When it began, in local time; with the date where it was not today."""
        try:
            began = datetime.fromisoformat(self.time).astimezone()
        except ValueError:
            return self.time
        today = began.date() == datetime.now(timezone.utc).astimezone().date()
        return f"{began:%H:%M:%S}" if today else f"{began:%Y-%m-%d %H:%M}"


class Attempts:
    """The attempts at the run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ATTEMPTS

    def last(self) -> Attempt | None:
        """The last one that can be read."""
        return next(self._backwards(), None)

    def killed(self) -> int:
        """How many of the last attempts have come neither to an end nor one epoch further; one that is at work counts.

        Their processes were killed: by the system for want of memory, by somebody, or with their machine. Nothing
        here tells which.
        """
        now, number = self._resumed(), 0
        for attempt in self._backwards():
            if attempt.failed or attempt.stopped or attempt.resumed != now:
                break
            number += 1
        return number

    def _backwards(self) -> Iterator[Attempt]:
        """What can be read, the last line first."""
        try:
            lines = read_text(self.path, limit=MB).splitlines()
        except (OSError, ValueError):
            return
        for line in reversed(lines):
            with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError):
                content = json.loads(line)
                host, time, version, command = (
                    printable(str(content[name])) for name in ("host", "time", "version", "command")
                )
                failed, stopped = content["failed"] is True, content.get("stopped") is True
                resumed = int(content.get("resumed", -1))
                yield Attempt(host, int(content["pid"]), time, version, command, failed, stopped, resumed)

    def _resumed(self) -> int:
        try:
            return self.path.with_name(RESUME).stat().st_mtime_ns
        except OSError:
            return 0

    def state(self) -> tuple[int, int] | None:
        """What the file is now: it changes with each line. None where there is none."""
        try:
            file = os.stat(self.path)
        except OSError:
            return None
        return file.st_ino, file.st_size

    def begin(self, command: str) -> tuple[int, int]:
        """Notes a new one; returns the file's state."""
        return self._append(command)

    def fail(self, command: str) -> None:
        """Notes that it has failed."""
        self._append(command, failed=True)

    def stop(self, command: str) -> None:
        """Notes that it has ended in good order, with the run incomplete."""
        self._append(command, stopped=True)

    def remove(self) -> None:
        """Of a run that is complete."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _append(self, command: str, *, failed: bool = False, stopped: bool = False) -> tuple[int, int]:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        attempt = Attempt(platform.node(), os.getpid(), now, __version__, command, failed, stopped, self._resumed())
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(self.path, flags, 0o666)
        try:
            whole = f"\n{json.dumps(asdict(attempt))}\n"  # the line before may have been cut short
            os.write(file, whole.encode())
            of = os.fstat(file)
        finally:
            os.close(file)
        return of.st_ino, of.st_size


def check_version(folder: Path, last: Attempt | None) -> None:
    """Raises a UserError where the run goes on after epochs of another version: their numbers could differ otherwise.

    Args:
        folder: of the run.
        last: attempt at it.
    """
    if last is not None and last.version != __version__ and (folder / RESUME).exists():
        raise UserError(
            f"was begun by actbench {last.version} ({last.who}, {last.since}), and this is {__version__}",
            where=str(folder),
            how=f"go on with that version, or remove {folder / RESUME} to begin again with this one",
        )
