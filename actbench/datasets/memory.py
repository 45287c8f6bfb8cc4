"""Whether samples fit into the machine's memory, before they are read; and room on disk for those that do not.

What is decoded is kept below the data folder, in `decoded`, for the next run. When something is added there, what no
run has used for a month is removed, and, where the disk has no room, what was used longest ago.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from filelock import FileLock

from actbench.datasets.idx import data_root
from actbench.errors import UserError

SHARE = 0.7  # of the memory that is free: training needs some as well
_KEPT = 30 * 86_400  # seconds since its last use after which something that was decoded is removed


def fits(samples: int, shape: tuple[int, ...]) -> bool:
    """Whether so many samples, as float32 and once more as bytes, fit into the memory that is free now."""
    return not shortage(samples, shape)


def shortage(samples: int, shape: tuple[int, ...]) -> str:
    """Why so many samples do not fit into memory, in words; empty if they do."""
    free, needed = free_memory(), samples * prod(shape) * (4 + 1)
    if free is None or needed <= SHARE * free:
        return ""
    return f"{size(needed)} are needed in memory, more than {SHARE:.0%} of the {size(free)} that are free"


def size(number: float) -> str:
    """A number of bytes in words."""
    return f"{number / 1e9:,.1f} GB" if number >= 1e8 else f"{number / 1e6:,.1f} MB"


def free_memory() -> int | None:
    """Bytes that this process can have, of the machine or of its container; None where the system does not say."""
    known = [_of_machine(), *(_of_container(Path(folder)) for folder in _CONTAINERS)]
    return min((number for number in known if number is not None), default=None)


_CONTAINERS = ("/sys/fs/cgroup",)


def _of_machine() -> int | None:
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
        return 1024 * int(found[1]) if found else None
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _of_container(folder: Path) -> int | None:
    """What cgroups (version 2) leave; files that are only cached count as free."""
    try:
        most, used = (folder / "memory.max").read_text(), int((folder / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
        return int(most) - used + (int(cached[1]) if cached else 0)
    except (OSError, ValueError):  # there is none, or no limit ("max")
        return None


# ---------------------------------------------------------------- on disk


def room(shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    """An array on disk that disappears with the process, to be filled.

    Raises:
        UserError: there is no room for it.
    """
    needed = prod(shape) * dtype.itemsize
    folder = _folder(needed, where)
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name; the mapping keeps it
        array = np.memmap(file, dtype=dtype, mode="w+", shape=shape)
        _reserve(file, needed, folder, where)
        return array


def unpacked(packed: IO[bytes], needed: int, where: str) -> np.ndarray:
    """The array of an open .npy file that cannot be mapped where it is, such as one in an archive, mapped read only.

    Args:
        packed: the file.
        needed: its size in bytes.
        where: what messages are about.

    Raises:
        UserError: there is no room for it on disk.
        ValueError: it is no .npy file, or holds Python objects.
    """
    folder = _folder(needed, where)
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name; the mapping keeps it
        _reserve(file, needed, folder, where)
        shutil.copyfileobj(packed, file, 1 << 20)
        file.seek(0)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[min(2, np.lib.format.read_magic(file)[0])](file)
        if dtype.hasobject:
            raise ValueError("Python objects")
        return np.memmap(file, dtype=dtype, mode="r", shape=shape, order="F" if fortran else "C", offset=file.tell())


def kept(key: str, shape: tuple[int, ...], fill: Callable[[np.ndarray], None], where: str) -> np.ndarray:
    """An array of bytes on disk, read only, that `fill` has filled once, in this process or another one.

    Args:
        key: names its content.
        shape: of the array.
        fill: fills it; what it raises is passed on, and then nothing is kept.
        where: what messages are about.

    Raises:
        UserError: there is no room for it.
    """
    folder = _folder(0, where)
    file, part = folder / f"{key}.npy", folder / f"{key}.part"
    with FileLock(folder / f".{key}.lock"):
        if not file.exists():
            _tidy(folder, prod(shape))
            _folder(prod(shape), where)
            try:
                pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
                with part.open("r+b") as written:
                    _reserve(written, part.stat().st_size, folder, where)
                fill(pixels)
                pixels.flush()
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # of a folder that may only be read
            os.utime(file)  # the time of its last use
        return np.load(file, mmap_mode="r")


def _tidy(folder: Path, needed: int) -> None:
    """Removes what was not used for a month, and what was used longest ago until there is room.

    A process that has mapped a file goes on reading it; where the system does not allow to remove such, it stays.
    """
    for file in sorted([*folder.glob("*.npy"), *folder.glob("*.part")], key=lambda file: file.stat().st_mtime):
        unused = time.time() - file.stat().st_mtime > _KEPT
        if unused or (file.suffix == ".npy" and needed > shutil.disk_usage(folder).free):
            with contextlib.suppress(OSError):
                file.unlink()


def _reserve(file: IO[bytes], needed: int, folder: Path, where: str) -> None:
    """Takes the room on disk at once: a mapped file that finds none while it is filled ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL):  # the file system cannot do that
            return
        what = f"data that do not fit into memory take {size(needed)} in {folder}: {error.strerror}"
        raise UserError(what, where=where, how=_ROOM) from error


_ROOM = "point ACTBENCH_DATA at a folder with room, or a smaller dataset.size, or fewer samples"


def _folder(needed: int, where: str) -> Path:
    folder = data_root() / "decoded"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        what = f"data that do not fit into memory are kept in {folder}, which cannot be made ({error.strerror})"
        raise UserError(what, where=where, how=_ROOM) from error
    if needed > free:
        what = f"data that do not fit into memory take {size(needed)} in {folder}, which has {size(free)}"
        raise UserError(what, where=where, how=_ROOM)
    return folder
