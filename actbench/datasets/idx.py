"""MNIST and datasets of its shape: taken from wherever they are on disk, and fetched where they are missing or damaged.

A file counts as good when its size and header (and, where known, its MD5) are what they must be, so that a truncated or
swapped file is named here and does not spoil a training. Downloads are locked against other processes and renamed into
place. Nothing that was there before is overwritten or deleted.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from actbench.datasets.mirrors import Unreachable, download
from actbench.datasets.on_disk import Fault, GoodFile, Place, array_of, belongs, find, md5_of
from actbench.errors import Failure, Problem, UserError
from actbench.files.atomic import replacing, write_bytes, write_text

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
        files = _look(family)
        if not all(good for good, _ in files.values()):
            _fetch(folder, family)
            files = _look(family)
        train_x, train_y, test_x, test_y = (_taken(name, *files[name], folder, family) for name in (*_TRAIN, *_TEST))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # nobody's mistake
        raise (Failure if full else UserError)(
            f"{error.strerror or error}",
            where=str(error.filename or folder),
            how="point ACTBENCH_DATA at a folder with room that you may write to, or choose dataset=digits",
        ) from error
    return (train_x, train_y), (test_x, test_y)


def _look(family: Family) -> dict[str, tuple[GoodFile | None, list[Fault]]]:
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


def _taken(name: str, file: GoodFile | None, faults: list[Fault], folder: Path, family: Family) -> np.ndarray:
    """The array of a file. One that is packed is unpacked where torchvision has them, if there is room for it."""
    if file is None:  # another process has removed it
        raise UserError("was there, and is gone", where=str(folder / name), how="the same command again")
    for fault in faults:
        if not fault.foreign:
            _say(f"{fault.path} is {fault.what}; {file.path} is taken instead")
    path = folder / name
    if file.packed and not os.path.lexists(path):
        with contextlib.suppress(OSError):  # it is read as well as it is
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, file.content, family)
    return array_of(file.content, _SHAPES[name])


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
        files = _look(family)  # again: another process may have mended them meanwhile
        lacking = [name for name, (good, _) in files.items() if good is None]
        mirrors, archives = _sources(family) if lacking else ([], {})
        for name in sorted(lacking, key=lambda name: not _damage(files[name][1])):  # damage is said first
            for fault in _damage(files[name][1]):
                print(f"{fault.path} is {fault.what}; fetching it again", file=sys.stderr)
            try:
                _fetch_one(folder / name, family, mirrors, archives[f"{name}.gz"])
            except Unreachable as error:
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
    """Why there are no data: every file that is damaged, or else that they are not there."""
    files = {name: faults for name, (good, faults) in _look(family).items() if good is None}
    damaged = [fault for faults in files.values() for fault in _damage(faults)]
    if damaged:
        how = "replace it with a good copy, point ACTBENCH_DATA elsewhere, or choose dataset=digits"
        return UserError.of(Problem(f"{fault.what}; {why}", str(fault.path), how) for fault in damaged)
    foreign = [str(fault.path) for faults in files.values() for fault in faults]
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


def _fetch_one(path: Path, family: Family, mirrors: list[str], md5: str) -> None:
    """Puts a file in its place; what was there under its name is kept beside it."""
    archive, mirror = download(f"{path.name}.gz", mirrors, md5)
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
