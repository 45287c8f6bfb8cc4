"""MNIST and datasets of its shape: taken from wherever they are on disk, and fetched where they are missing or damaged.

A file counts as good when its size and header (and, where known, its MD5) are what they must be: a truncated or swapped
file is named here rather than found out in training. Downloads are locked against other processes, checked by MD5 and
renamed into place. Nothing that was there before is overwritten or deleted.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import http.client
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO
from urllib.request import Request, urlopen

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from actbench.datasets.found import Fault, Found, Place, array_of, belongs, find, md5_of
from actbench.errors import Failure, Problem, UserError
from actbench.files.atomic import replacing, write_bytes, write_text

PATIENCE = 9.0  # seconds to wait for any mirror to answer, all mirrors together
_LARGEST = 200_000_000  # bytes of an archive: the largest there is has 31 million

_SHAPES = {
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
_TRAIN, _TEST = list(_SHAPES)[:2], list(_SHAPES)[2:]

Arrays = tuple[np.ndarray, np.ndarray]  # images (N, 28, 28) and labels (N,), uint8


class Unavailable(UserError):
    """The data are not on disk and no mirror answers."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A dataset of MNIST's shape. `torchvision` names its folder, and the class that knows mirrors and checksums."""

    title: str
    torchvision: str
    mean: float
    std: float
    md5: Mapping[str, str] = field(default_factory=dict)  # of the extracted files, where known
    recognised: bool = False  # its images, by `mean`, where there is no MD5
    others: Mapping[str, str] = field(default_factory=dict)  # MD5 of files that are another dataset's -> its title


def data_root() -> Path:
    """`$ACTBENCH_DATA`, or actbench's folder in the user's cache."""
    chosen = os.environ.get("ACTBENCH_DATA")
    return Path(chosen).expanduser() if chosen else user_cache_path("actbench")


def load(family: Family) -> tuple[Arrays, Arrays]:
    """The training and the test set, from wherever below the data root they are; fetches what is missing or damaged.

    Raises:
        UserError: a file is damaged and cannot be fetched, or the folder cannot be read or written.
        Unavailable: files are missing, and nothing answers or nothing can be put there.
    """
    folder = data_root() / family.torchvision / "raw"
    try:
        seen = _look(family)
        if not all(found for found, _ in seen.values()):
            _fetch(folder, family)
            seen = _look(family)
        train_x, train_y, test_x, test_y = (_taken(name, *seen[name], folder, family) for name in (*_TRAIN, *_TEST))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # nobody's mistake
        raise (Failure if full else UserError)(
            f"{error.strerror or error}",
            where=str(error.filename or folder),
            how="point ACTBENCH_DATA at a folder with room that you may write to, or choose dataset=digits",
        ) from error
    return (train_x, train_y), (test_x, test_y)


def _look(family: Family) -> dict[str, tuple[Found | None, list[Fault]]]:
    """Each file: where it was found, and what is wrong with others of its names."""
    root = data_root()
    own = root / family.torchvision
    places = [Place(own / "raw"), Place(own), Place(root, shared=True)]
    return {name: find(name, shape, places, _check(name, shape, family)) for name, shape in _SHAPES.items()}


def _check(name: str, shape: tuple[int, ...], family: Family) -> Callable[[Path, bytes], str]:
    """What is wrong with a whole file of the right shape: it is another one, or it was changed."""

    def check(path: Path, content: bytes) -> str:
        md5 = family.md5.get(name) or _noted_md5(path)
        if md5 is not None and md5_of(content) != md5:
            return "damaged: its MD5 is wrong"
        mean = family.mean if family.recognised and family.md5.get(name) is None else None
        return "" if name in family.md5 else belongs(content, shape, mean=mean, others=family.others)

    return check


def _taken(name: str, found: Found | None, faults: list[Fault], folder: Path, family: Family) -> np.ndarray:
    """The array of a file. One that is packed is unpacked where torchvision has them, if there is room for it."""
    if found is None:  # another process has removed it
        raise UserError("was there, and is gone", where=str(folder / name), how="the same command again")
    for fault in faults:
        if not fault.foreign:
            _say(f"{fault.path} is {fault.what}; {found.path} is taken instead")
    path = folder / name
    if found.packed and not os.path.lexists(path):
        with contextlib.suppress(OSError):  # it is read as well as it is
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, found.content, family)
    return array_of(found.content, _SHAPES[name])


@lru_cache(maxsize=64)  # once, and not for each run of a sweep
def _say(words: str) -> None:
    print(words, file=sys.stderr)


def _write(path: Path, content: bytes, family: Family) -> None:
    write_bytes(path, content)
    if path.name not in family.md5:
        write_text(_checksum(path), md5_of(content) + "\n")


def _checksum(path: Path) -> Path:
    return path.with_name(f"{path.name}.md5")


def _noted_md5(path: Path) -> str | None:
    """The MD5 that a file had when it was unpacked here, if that was noted."""
    if not _checksum(path).is_file():
        return None
    words = _checksum(path).read_text(encoding="utf-8", errors="replace").split()
    return words[0].lower() if words and re.fullmatch(r"[0-9a-fA-F]{32}", words[0]) else None


# ---------------------------------------------------------------- fetching


_CHOICE = {"FashionMNIST": "fashion_mnist"}  # else `dataset=` has torchvision's name in small letters
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)  # the last where no folder can be made: /proc


def _fetch(folder: Path, family: Family) -> None:
    _check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".download.lock", timeout=600)
        lock.acquire()
    except Timeout:
        raise UserError(
            "another process has been downloading for more than 10 minutes",
            where=str(folder),
            how=f"wait for it, or delete {folder / '.download.lock'}",
        ) from None
    except OSError as error:
        if error.errno not in _CLOSED:
            raise
        raise _explained(folder, family, f"nothing can be written into its folder: {error.strerror}") from error
    try:
        seen = _look(family)  # again: another process may have mended them meanwhile
        lacking = [name for name, (found, _) in seen.items() if found is None]
        mirrors, archives = _sources(family) if lacking else ([], {})
        for name in sorted(lacking, key=lambda name: not _damage(seen[name][1])):  # damage is said first
            for fault in _damage(seen[name][1]):
                print(f"{fault.path} is {fault.what}; fetching it again", file=sys.stderr)
            try:
                _fetch_one(folder / name, family, mirrors, archives[f"{name}.gz"])
            except _Unreachable as error:
                raise _explained(folder, family, f"it cannot be downloaded: {error}") from error
    finally:
        lock.release()


def _damage(faults: list[Fault]) -> list[Fault]:
    return [fault for fault in faults if not fault.foreign]


def _check_folder(folder: Path) -> None:
    """A file, or a link to nowhere, in the place of the folder or of one above it."""
    for place in (*reversed(folder.parents), folder):
        if os.path.lexists(place) and not place.is_dir():
            nowhere = f"is a link to nowhere ({os.readlink(place)})" if place.is_symlink() else "is a file"
            raise UserError(
                f"{nowhere}, where the data's folder should be",
                where=str(place),
                how="point ACTBENCH_DATA at a folder, or choose dataset=digits",
            )


def _explained(folder: Path, family: Family, why: str) -> UserError:
    """Why the data cannot be had: every file that is damaged, or else that they are not there."""
    seen = {name: faults for name, (found, faults) in _look(family).items() if found is None}
    damaged = [fault for faults in seen.values() for fault in _damage(faults)]
    if damaged:
        how = "replace it with a good copy, point ACTBENCH_DATA elsewhere, or choose dataset=digits"
        return UserError.of(Problem(f"{fault.what}; {why}", str(fault.path), how) for fault in damaged)
    foreign = [str(fault.path) for faults in seen.values() for fault in faults]
    beside = f"; {', '.join(foreign)}: another dataset's" if foreign else ""
    return Unavailable(
        f"{family.title} is not in {folder}, and {why}{beside}",
        where=f"dataset={_CHOICE.get(family.torchvision, family.torchvision.lower())}",
        how="put its four IDX files there, point ACTBENCH_DATA at a folder that has them, or choose dataset=digits",
    )


def _sources(family: Family) -> tuple[list[str], dict[str, str]]:
    """The mirrors, and archive -> MD5, as torchvision keeps them; `$ACTBENCH_MIRROR` replaces its mirrors."""
    from torchvision import datasets

    known = getattr(datasets, family.torchvision)
    own = os.environ.get("ACTBENCH_MIRROR")
    return ([own.rstrip("/") + "/"] if own else list(known.mirrors)), dict(known.resources)


# ---------------------------------------------------------------- one file


class _Unreachable(Exception):
    """No mirror has given this file."""


def _fetch_one(path: Path, family: Family, mirrors: list[str], md5: str) -> None:
    """Puts a file in its place; what was there under its name is kept beside it."""
    archive, mirror = _download(f"{path.name}.gz", mirrors, md5)
    with replacing(path) as part:
        with gzip.GzipFile(fileobj=BytesIO(archive)) as packed, part.open("wb") as file:
            shutil.copyfileobj(packed, file)
        shape = _SHAPES[path.name]
        _, faults = find(part.name, shape, [Place(part.parent)], _check(path.name, shape, family))
        if faults:
            what = f"{faults[0].what}, although its archive has the right MD5 (from {mirror})"
            raise UserError(what, where=str(path), how="ACTBENCH_MIRROR=URL of another mirror")
        _put_aside(path)
        if path.name not in family.md5:
            write_text(_checksum(path), md5_of(part.read_bytes()) + "\n")


def _put_aside(path: Path) -> None:
    """Renames what is at `path`, which is not ours to delete."""
    if not os.path.lexists(path):
        return
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in range(1_000))
    kept = next(name for name in names if not os.path.lexists(name))
    path.rename(kept)
    print(f"what was there is kept as {kept}", file=sys.stderr)


def _download(name: str, mirrors: list[str], md5: str) -> tuple[bytes, str]:
    """An archive, and the mirror that it is from."""
    reasons = []
    for mirror in mirrors:
        content = BytesIO()
        try:
            with _answer(mirror + name, PATIENCE / len(mirrors)) as response:
                _copy_with_progress(_blocks(response), response.headers.get("Content-Length"), content, name)
            if md5_of(content.getvalue()) != md5:
                raise _Unreachable("what it sends has a wrong MD5")
            return content.getvalue(), mirror
        except (_Unreachable, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reasons.append(f"{mirror}: {error or type(error).__name__}")
    raise _Unreachable("; ".join(reasons))


def _answer(url: str, patience: float) -> http.client.HTTPResponse:
    """The response to a request, or _Unreachable within `patience` seconds, even where looking the name up hangs."""
    box: SimpleQueue[http.client.HTTPResponse | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            box.put(urlopen(Request(url, headers={"User-Agent": "actbench"}), timeout=patience))
        except Exception as error:
            box.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = box.get(timeout=patience)
    except Empty:
        raise _Unreachable(f"no answer within {patience:.1f} s") from None
    if isinstance(answer, Exception):
        raise _Unreachable(str(getattr(answer, "reason", answer))) from answer
    return answer


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """What the response sends. Errors of the network become _Unreachable, so that those of the disk remain OSErrors."""
    sent = 0
    while True:
        try:
            block = response.read(1 << 16)
        except OSError as error:
            raise _Unreachable(error.strerror or str(error)) from error
        if not block:
            return
        sent += len(block)
        if sent > _LARGEST:
            raise _Unreachable(f"sends more than {_LARGEST:,} bytes")
        yield block


def _copy_with_progress(blocks: Iterator[bytes], length: str | None, file: BinaryIO, title: str) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    size = int(length) if length and length.isdigit() else None
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"downloading {title}", total=size)
        for block in blocks:
            file.write(block)
            progress.advance(task, len(block))
