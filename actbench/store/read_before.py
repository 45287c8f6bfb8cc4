"""What was read of the runs of a large study, so that it need not be read again: `.runs.sqlite` in the study's folder.

It is never trusted over the files: a run is taken from it only where its files are those that were read then, by their
sizes, inodes and times, and where it was written by the same version of actbench and the same user. Otherwise the files
are read as if there were no cache. It is replaced as a whole, in one step, so that any number of processes may read and
write it without locks, which not every network has. Where it cannot be written, there is none.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from actbench.files.atomic import replacing
from actbench.store.packed import VERSION, Packed, Parts, Stored, pack, unpack

FILE = ".runs.sqlite"
AT_LEAST = 200  # runs: fewer are read faster than one can tell
_NEW = 0.02  # a share of runs that were read anew, above which the cache is written again
FILES = ("settings.yaml", "summary.json", "history.csv", "environment.json")  # of a run, that are read
_RECENT = 2 * 10**9  # ns: a file may change again within the resolution of its times
_LARGEST = 4 * 10**9  # bytes of a cache that is read


@dataclass
class ReadBefore:
    """The runs of one study that were read before, by the names of their folders."""

    study: Path
    rows: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # name -> key, packed run, checksum
    parts: Parts = field(default_factory=Parts)
    used: dict[str, Packed] = field(default_factory=dict)
    new: int = 0

    @classmethod
    def of(cls, study: Path) -> ReadBefore:
        """What the study's cache has; nothing where there is none that can be used."""
        cache = cls(study)
        if _is_ours(study / FILE):
            with contextlib.suppress(sqlite3.Error, OSError, ValueError, TypeError):
                cache.rows, cache.parts = _load(study / FILE)
        return cache

    def get(self, folder: str, name: str) -> Stored | None:
        """What was read of the run in `folder`, whose last part is `name`, if its files are still the same."""
        row = self.rows.get(name)
        key = key_of(folder) if row else ""
        if not key or row is None or row[0] != key or zlib.crc32(row[1].encode()) != row[2]:
            return None
        try:
            stored = unpack(row[1], self.parts)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return None
        self.used[name] = Packed(key, row[1])
        return stored

    def add(self, folder: Path, key: str, stored: Stored) -> None:
        """Keeps what was read of a run, whose files had this `key` before."""
        packed = pack(stored, self.parts) if may_be_kept(key) else None
        if packed is not None:
            self.new += 1
            self.used[folder.name] = Packed(key, packed)

    def keep(self, folder: str, packed: Packed) -> Stored:
        """Keeps a run that another process has read, and whose parts are among `parts`."""
        self.new += 1
        self.used[os.path.basename(folder)] = packed
        return unpack(packed.run, self.parts)

    def save(self) -> None:
        """Writes the cache, if there is enough in it that is new, or gone."""
        others = self.rows.keys() - self.used.keys()  # which nobody asked for, or that are not as they were
        gone = {name for name in others if not os.path.lexists(self.study / name)}
        if len(self.used) < AT_LEAST or self.new + len(gone) <= _NEW * len(self.used):
            return
        for name in others - gone:
            self.used[name] = Packed(*self.rows[name][:2])
        path = self.study / FILE
        if os.path.lexists(path) and not _is_ours(path):
            return
        with contextlib.suppress(sqlite3.Error, OSError), replacing(path) as part:
            _write(part, self.used, self.parts)


def key_of(folder: str) -> str:
    """The files of a run as they are now; empty where one of them is a link, or something else than a file."""
    words = []
    for name in FILES:
        try:
            status = os.lstat(f"{folder}/{name}")
        except FileNotFoundError:
            words.append("-")
            continue
        except OSError:
            return ""
        if not stat.S_ISREG(status.st_mode):
            return ""
        words.append(f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return ";".join(words)


def may_be_kept(key: str) -> bool:
    """Not where one of the files was changed just now: it may be changed once more without a sign of it."""
    newest = max((int(time) for words in key.split(";") for time in words.split(" ")[2:]), default=0)
    return bool(key) and time.time_ns() - newest >= _RECENT


def _is_ours(path: Path) -> bool:
    """Whether a cache is a plain file that this user has written, and nobody else could."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
        return False
    return os.name != "posix" or (status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


# ---------------------------------------------------------------- the file


def _load(path: Path) -> tuple[dict[str, tuple[str, str, int]], Parts]:
    """Raises what SQLite raises where the file is damaged."""
    address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"  # it is replaced, never changed: no locks are needed
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        if database.execute("SELECT version FROM about").fetchone() != (VERSION,):
            return {}, Parts()
        texts = dict(database.execute("SELECT name, part FROM parts ORDER BY name"))
        rows = database.execute("SELECT name, files, run, checksum FROM runs").fetchall()
        (checksum,) = database.execute("SELECT checksum FROM about").fetchone()
    if _checksum(texts) != checksum:
        raise ValueError("it is damaged")
    return {name: (key, run, number) for name, key, run, number in rows}, Parts(texts)


def _checksum(texts: Mapping[str, str]) -> int:
    return zlib.crc32(repr(sorted(texts.items())).encode())


def _write(path: Path, used: dict[str, Packed], parts: Parts) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644 & ~0o022))
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")  # a file that is torn by a crash is not used
        with database:
            database.execute("CREATE TABLE about (version TEXT, checksum INTEGER)")
            database.execute("CREATE TABLE parts (name TEXT PRIMARY KEY, part TEXT)")
            database.execute("CREATE TABLE runs (name TEXT PRIMARY KEY, files TEXT, run TEXT, checksum INTEGER)")
            database.execute("INSERT INTO about VALUES (?, ?)", (VERSION, _checksum(parts.texts)))
            database.executemany("INSERT INTO parts VALUES (?, ?)", sorted(parts.texts.items()))
            rows = ((name, one.key, one.run, zlib.crc32(one.run.encode())) for name, one in sorted(used.items()))
            database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?)", rows)
