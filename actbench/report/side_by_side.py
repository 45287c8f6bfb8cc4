"""Reads the files of thousands of runs in several processes: parsing them takes longer than everything else.

A run comes back packed, as the cache of its study keeps it. Whatever is odd about one (it cannot be read, or packed, or
was written just now) is left to the caller, who reads it as it reads few.
"""

from __future__ import annotations

import contextlib
import gc
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from actbench import cores
from actbench.errors import UserError
from actbench.files.reading import fetched
from actbench.report.runs import from_files, stored_of
from actbench.store.packed import Packed, Parts, pack
from actbench.store.read_before import FILES, key_of, may_be_kept

_AT_ONCE = 250  # runs that a process reads for one answer
_MOST = 8  # processes; the disk is the limit of more


Found = list[tuple[str, Packed]]  # folder, and what was read there


def read(folders: Sequence[Path]) -> Iterator[tuple[Found, dict[str, str]]]:
    """Some of the runs after others, with the texts of their parts; nothing where processes cannot be started or end.

    It starts Python anew, which imports the main module again: for commands, not for somebody's script.
    """
    number = min(cores.available(), _MOST, len(folders) // _AT_ONCE)
    if number < 2:
        return
    chunks = [[str(one) for one in folders[i : i + _AT_ONCE]] for i in range(0, len(folders), _AT_ONCE)]
    with contextlib.suppress(OSError, RuntimeError, ImportError):  # a broken pool is a RuntimeError
        pool = ProcessPoolExecutor(number, get_context("spawn"), initializer=_begin)
        try:
            yield from pool.map(_packed, chunks)
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started it says what happens then


def _packed(folders: Sequence[str]) -> tuple[Found, dict[str, str]]:
    found, parts = [], Parts()
    for folder in fetched(folders, FILES):
        key = key_of(folder)
        try:
            stored = stored_of(from_files(Path(folder))) if may_be_kept(key) else None
        except UserError:
            continue
        packed = pack(stored, parts) if stored else None
        if packed is not None:
            found.append((folder, Packed(key, packed)))
    return found, parts.texts
