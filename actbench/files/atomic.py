"""Writes files atomically: under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` at the end, removed where the block fails.

    An OSError names `path`, not the temporary path.
    """
    part = _part(path)
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what went wrong before is what counts
            part.unlink(missing_ok=True)
        of_a_network = isinstance(error, (ConnectionError, TimeoutError)) or getattr(error, "errno", None) is None
        if isinstance(error, OSError) and not of_a_network and error.filename in (None, str(part), part):
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Puts `text` at `path` in one step: a reader sees the old file or the new one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """The same for bytes."""
    with replacing(path) as part:
        part.write_bytes(content)


# ---------------------------------------------------------------- what killed processes leave

_HOST = re.sub(r"[^\w-]", "-", platform.node())[:40] or "host"
_OLD = 86_400  # seconds after which nobody is still writing: a file takes seconds, clocks differ by minutes


@cache
def machine() -> str:
    """What tells this boot of this machine, and this container of it, from any other: there, process ids mean others.

    Two containers may have one host name, and give the same ids to their processes.
    """
    told = [platform.node()]
    with contextlib.suppress(OSError):  # not on Linux
        told += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:8]


def _part(path: Path) -> Path:
    """A name that no other writer has: not in this process, not in another one, not on another host."""
    name = path.name.encode()[:120].decode(errors="ignore")  # names end at 255 bytes
    return path.with_name(f".{name}.{_HOST}-{machine()}.{os.getpid()}.{secrets.token_hex(4)}.part")


def remove_strays(folder: Path, *, alone: bool, deep: bool = True) -> None:
    """Removes half-written files of killed processes, in `folder` and, if it is `deep`, in all folders below it.

    Args:
        folder: it need not exist.
        alone: no other process writes there, so that every half-written file is removed; otherwise only those of dead
            processes of this machine, and those that nobody has touched for a day.
    """
    for at, below, names in os.walk(folder):  # which goes on where a folder vanishes
        if not deep:
            below.clear()
        for name in names:
            if name.startswith(".") and name.endswith(".part") and (alone or _is_of_the_dead(Path(at, name))):
                Path(at, name).unlink(missing_ok=True)


def _is_of_the_dead(part: Path) -> bool:
    if re.fullmatch(r"\.[^.]+(\.[^.]+)?\.\d+\.part", part.name):  # as the first versions named them
        return True
    made_by = re.fullmatch(r"\..+\.[\w-]+-([0-9a-f]{8})\.(\d+)\.[0-9a-f]{8}\.part", part.name)
    if made_by is not None and made_by[1] == machine():
        return not is_alive(int(made_by[2]))
    try:
        return time.time() - part.stat().st_mtime > _OLD
    except OSError:  # it is gone
        return False


def is_alive(pid: int) -> bool:
    """Whether there is a process of this id on this machine; where that cannot be told, there is."""
    if os.name != "posix":  # elsewhere signal 0 is one that is sent
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it lives, and is another user's
        return True
    return True
