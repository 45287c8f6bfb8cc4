"""The files of a dataset as people have them on disk: under any usual name and in any usual place, checked and read.

Usual are the names of the original files, the same with a dot (`train-images.idx3-ubyte`), both packed (`.gz`) or in
a folder of their own name; in `ROOT/MNIST/raw`, where torchvision has them, in `ROOT/MNIST`, or in ROOT itself. What a
file is, its content says: a page saved as `.gz` is recognised, an archive that was unpacked on its way is taken.
Nothing is written here.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actbench.errors import UserError

_PAGES = (  # how files begin that are not what their names say
    (re.compile(rb"\s*(<!doctype html|<html|<head|<\?xml|<!--)", re.IGNORECASE),
     "it is an HTML page, probably the error page of a mirror"),
    (re.compile(rb"PK\x03\x04"), "it is a zip archive: unpack it"),
    (re.compile(rb"version https://git-lfs"), "it is Git LFS's pointer to the file, not the file"),
    (re.compile(rb"\s*\{"), "it is JSON, probably the error of a server"),
)  # fmt: skip


@dataclass(frozen=True)
class GoodFile:
    """A file that can be taken: where it is, what it holds (header and all), and whether it is packed there."""

    path: Path
    content: bytes
    packed: bool


@dataclass(frozen=True)
class Fault:
    """A file under a usual name that cannot be taken. `foreign`: it is whole, and another dataset's."""

    path: Path
    what: str
    foreign: bool = False


@dataclass(frozen=True)
class Place:
    """A folder to look into; of a `shared` one other datasets may have files of the same names in it."""

    folder: Path
    shared: bool = False


def find(
    name: str, shape: Sequence[int], places: Sequence[Place], check: Callable[[Path, bytes], str]
) -> tuple[GoodFile | None, list[Fault]]:
    """The first good file for `name`, and what is wrong with those that were found before it.

    Args:
        shape: of the array that it holds.
        check: what else is wrong with a whole file of that shape, or an empty string.

    Raises:
        UserError: a file may not be read.
    """
    faults = []
    for place in places:
        for path in _candidates(place.folder, name):
            if not os.path.lexists(path):
                continue
            try:
                content, packed = _content(path, shape)
            except _Damaged as error:
                faults.append(Fault(path, str(error)))
                continue
            if what := check(path, content):
                faults.append(Fault(path, what, foreign=place.shared))
                continue
            return GoodFile(path, content, packed), faults
    return None, faults


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    for written in (name, re.sub(r"-(idx\d)", r".\1", name)):
        inner = folder / written / written
        if inner.is_file():
            yield inner
        else:
            yield folder / written
        yield folder / f"{written}.gz"


class _Damaged(Exception):
    """What is wrong with a file."""


def _content(path: Path, shape: Sequence[int]) -> tuple[bytes, bool]:
    if not path.exists():
        raise _Damaged(f"a link to nowhere ({os.readlink(path)})")
    if not path.is_file():
        raise _Damaged("a folder, not a file" if path.is_dir() else "not a file")
    header = header_of(shape)
    expected = len(header) + int(np.prod(shape))
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            content = _unpacked(gzip.GzipFile(fileobj=file), expected) if packed else file.read(expected + 1)
    except PermissionError as error:
        raise UserError(
            f"cannot be read ({error.strerror})",
            where=str(path),
            how="make it readable, or point ACTBENCH_DATA elsewhere",
        ) from error
    if what := foreign(content[:200]):
        raise _Damaged(f"damaged: {what}")
    if len(content) != expected:
        size = f"{len(content):,}" if packed and len(content) < expected else ""
        size = size or ("more" if packed else f"{path.stat().st_size:,}")
        raise _Damaged(f"damaged: {size} bytes instead of {expected:,}")
    if content[: len(header)] != header:
        raise _Damaged(f"damaged: its header is not that of {' × '.join(map(str, shape))} bytes")
    return content, packed


def foreign(beginning: bytes) -> str:
    """What a file is by its first bytes, if it is certainly no data, such as a saved page; else an empty string."""
    return next((what for found, what in _PAGES if found.match(beginning)), "")


def _unpacked(file: gzip.GzipFile, expected: int) -> bytes:
    try:
        return file.read(expected + 1)  # one more than there should be: the checksum at the end is read too
    except EOFError:
        raise _Damaged("damaged: it ends too early, like half a download") from None
    except (OSError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the disk
        raise _Damaged(f"damaged: it cannot be unpacked ({error})") from None


def header_of(shape: Sequence[int]) -> bytes:
    """The first bytes of an IDX file of unsigned bytes."""
    return struct.pack(f">{1 + len(shape)}i", 0x0800 + len(shape), *shape)


def array_of(content: bytes, shape: Sequence[int]) -> np.ndarray:
    """The array that the content of an IDX file holds."""
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()


def md5_of(content: bytes) -> str:
    """The MD5 as 32 hexadecimal digits in small letters, as lists of checksums have them."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def belongs(content: bytes, shape: Sequence[int], *, mean: float | None, others: Mapping[str, str]) -> str:
    """What tells that a whole file is another dataset's, or an empty string.

    Args:
        mean: of the pixels on the scale 0..1, by which images are recognised; None where it is not known.
        others: MD5 -> the dataset whose file that is.
    """
    if others and (owner := others.get(md5_of(content))):
        return f"damaged: it is a file of {owner}"
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * len(shape))
    if len(shape) == 1 and values.max(initial=0) > 9:
        return f"damaged: it has labels up to {values.max()}, and there are ten classes"
    if len(shape) == 3 and mean is not None and abs(values.mean() / 255 - mean) > 0.01:
        return f"damaged: the mean of its pixels is {values.mean() / 255:.3f} instead of {mean:.3f}: another dataset's"
    return ""
