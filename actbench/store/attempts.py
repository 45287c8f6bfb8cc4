"""`.attempts` of a run that is running or incomplete: who has tried to train it, and how that ended.

A line of JSON for each attempt, and one more where it failed. Only who holds the run's lock writes it; a line that
cannot be read, of a process that was killed or a disk that was full, is as good as none.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from actbench import __version__
from actbench.errors import printable
from actbench.files.reading import MB, read_text
from actbench.store.owner import ATTEMPTS


@dataclass(frozen=True)
class Attempt:
    """An attempt at a run.

    Attributes:
        host, pid: of the process.
        time: when it began (ISO 8601, UTC).
        version: of actbench.
        command: the id of the command (`store.command`).
        failed: whether it is known to have failed.
    """

    host: str
    pid: int
    time: str
    version: str
    command: str
    failed: bool = False

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
        try:
            lines = read_text(self.path, limit=MB).splitlines()
        except (OSError, ValueError):
            return None
        for line in reversed(lines):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                content = json.loads(line)
                host, time, version, command = (
                    printable(str(content[name])) for name in ("host", "time", "version", "command")
                )
                return Attempt(host, int(content["pid"]), time, version, command, content["failed"] is True)
        return None

    def state(self) -> tuple[int, int] | None:
        """What the file is now: it changes with each line. None where there is none."""
        try:
            file = os.stat(self.path)
        except OSError:
            return None
        return file.st_ino, file.st_size

    def begin(self, command: str) -> tuple[int, int]:
        """Notes a new one; returns the file's state."""
        return self._append(command, failed=False)

    def fail(self, command: str) -> tuple[int, int]:
        """Notes that it has failed; returns the file's state."""
        return self._append(command, failed=True)

    def remove(self) -> None:
        """Of a run that is complete."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _append(self, command: str, *, failed: bool) -> tuple[int, int]:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        attempt = Attempt(platform.node(), os.getpid(), now, __version__, command, failed)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(self.path, flags, 0o666)
        try:
            whole = f"\n{json.dumps(asdict(attempt))}\n"  # the line before may have been cut short
            os.write(file, whole.encode())
            of = os.fstat(file)
        finally:
            os.close(file)
        return of.st_ino, of.st_size
