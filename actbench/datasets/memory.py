"""Whether samples fit into the machine's memory, before they are read; and room on disk for those that do not."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np
from filelock import FileLock

from actbench.datasets.idx import data_root
from actbench.errors import UserError

SHARE = 0.7  # of the memory that is free: training needs some as well


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
    folder = _folder(prod(shape) * dtype.itemsize, where)
    with tempfile.TemporaryFile(dir=folder) as file:  # without a name; the mapping keeps it
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


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
            _folder(prod(shape), where)
            try:
                pixels = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
                fill(pixels)
                pixels.flush()
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
    return np.load(file, mmap_mode="r")


def _folder(needed: int, where: str) -> Path:
    folder = data_root() / "decoded"
    how = "point ACTBENCH_DATA at a folder with room, or a smaller dataset.size, or fewer samples"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        what = f"data that do not fit into memory are kept in {folder}, which cannot be made ({error.strerror})"
        raise UserError(what, where=where, how=how) from error
    if needed > free:
        what = f"data that do not fit into memory take {size(needed)} in {folder}, which has {size(free)}"
        raise UserError(what, where=where, how=how)
    return folder
