"""Writes files atomically: under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
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
    except OSError as error:
        of_a_network = error.errno is None or isinstance(error, (ConnectionError, TimeoutError))
        if not of_a_network and error.filename in (None, str(part), part):
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # what went wrong before is what counts
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Puts `text` at `path` in one step: a reader sees the old file or the new one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """The same for bytes."""
    with replacing(path) as part:
        part.write_bytes(content)


# ---------------------------------------------------------------- what killed processes leave

_HOST = re.sub(r"[^\w-]", "-", platform.node())[:40] or "host"


def _part(path: Path) -> Path:
    """A name that no other writer has: not in this process, not in another one, not on another host."""
    name = path.name.encode()[:120].decode(errors="ignore")  # names end at 255 bytes
    return path.with_name(f".{name}.{_HOST}.{os.getpid()}.{secrets.token_hex(4)}.part")


def remove_strays(folder: Path, *, alone: bool) -> None:
    """Removes half-written files of killed processes, at and below `folder`.

    Args:
        folder: it need not exist.
        alone: no other process writes there, so that every half-written file is removed; otherwise only those of dead
            processes of this host.
    """
    for part in folder.rglob(".*.part"):
        if alone or _is_of_the_dead(part.name):
            part.unlink(missing_ok=True)


def _is_of_the_dead(name: str) -> bool:
    if re.fullmatch(r"\.[^.]+(\.[^.]+)?\.\d+\.part", name):  # as earlier versions named them
        return True
    made_by = re.fullmatch(r"\..+\.([\w-]+)\.(\d+)\.[0-9a-f]{8}\.part", name)
    if made_by is None or made_by[1] != _HOST or os.name != "posix":  # elsewhere signal 0 is one that is sent
        return False
    try:
        os.kill(int(made_by[2]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it lives, and is another user's
        return False
    return False
