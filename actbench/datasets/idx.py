"""IDX files on disk: checked, fetched where they are missing or damaged, and read.

A file counts as good when its size and header (and, where known, its MD5) are what they must be: a truncated or swapped
file is named here rather than found out in training. Downloads are locked against other processes, checked by MD5 and
renamed into place.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO
from urllib.request import Request, urlopen

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from actbench.atomic import replacing, write_text
from actbench.errors import UserError

PATIENCE = 9.0  # seconds to wait for any mirror to answer, all mirrors together

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


def data_root() -> Path:
    """`$ACTBENCH_DATA`, or actbench's folder in the user's cache."""
    chosen = os.environ.get("ACTBENCH_DATA")
    return Path(chosen).expanduser() if chosen else user_cache_path("actbench")


def load(family: Family) -> tuple[Arrays, Arrays]:
    """The training and the test set; fetches what is missing or damaged.

    Raises:
        UserError: a file is damaged and cannot be fetched, or the folder cannot be read or written.
        Unavailable: files are missing and nothing answers.
    """
    folder = data_root() / family.torchvision / "raw"
    try:
        if _faults(folder, family):
            _fetch(folder, family)
        train_x, train_y, test_x, test_y = (_read(folder / name, _SHAPES[name]) for name in (*_TRAIN, *_TEST))
    except OSError as error:
        raise UserError(
            f"{error.strerror or error}",
            where=str(error.filename or folder),
            how="point ACTBENCH_DATA at a folder with room that you may write to, or choose dataset=digits",
        ) from error
    return (train_x, train_y), (test_x, test_y)


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.fromfile(path, dtype=np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def _faults(folder: Path, family: Family) -> dict[str, str]:
    """File -> what is wrong with it ("missing" where it is not there)."""
    found = {name: _fault(folder / name, shape, _known_md5(folder / name, family)) for name, shape in _SHAPES.items()}
    return {name: fault for name, fault in found.items() if fault}


def _fault(path: Path, shape: tuple[int, ...], md5: str | None) -> str:
    if not path.exists():
        return "missing"
    header = struct.pack(f">{1 + len(shape)}i", 0x0800 + len(shape), *shape)
    expected = len(header) + int(np.prod(shape))
    size = path.stat().st_size
    if size != expected:
        return f"damaged: {size:,} bytes instead of {expected:,}"
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return f"damaged: its header is not that of {' × '.join(map(str, shape))} bytes"
    if md5 is not None and _md5(path) != md5:
        return "damaged: its MD5 is wrong"
    return ""


def _checksum(path: Path) -> Path:
    return path.with_name(f"{path.name}.md5")


def _known_md5(path: Path, family: Family) -> str | None:
    """The MD5 that the file must have: of the dataset, or as it was when it was unpacked here."""
    if path.name in family.md5:
        return family.md5[path.name]
    return _checksum(path).read_text().strip() if _checksum(path).exists() else None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.md5(usedforsecurity=False)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fetch(folder: Path, family: Family) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".download.lock", timeout=600)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            "another process has been downloading for more than 10 minutes",
            where=str(folder),
            how=f"wait for it, or delete {folder / '.download.lock'}",
        ) from None
    try:
        faults = _faults(folder, family)  # again: another process may have mended them meanwhile
        if not faults:
            return
        mirrors, archives = _sources(family)
        for name, fault in sorted(faults.items(), key=lambda item: item[1] == "missing"):  # damage is said first
            if fault != "missing":
                print(f"{folder / name} is {fault}; fetching it again", file=sys.stderr)
            try:
                _fetch_one(folder / name, family, mirrors, archives[f"{name}.gz"])
            except _Unreachable as error:
                raise _explained(folder / name, fault, family, error) from error
    finally:
        lock.release()


def _explained(path: Path, fault: str, family: Family, error: Exception) -> UserError:
    if fault == "missing":
        return Unavailable(
            f"{family.title} is not in {path.parent} and cannot be downloaded ({error})",
            where=f"dataset={family.torchvision.lower()}",
            how="put its four IDX files there, point ACTBENCH_DATA at a folder that has them, or choose dataset=digits",
        )
    return UserError(
        f"{fault}, and it cannot be downloaded again ({error})",
        where=str(path),
        how="replace it with a good copy, point ACTBENCH_DATA elsewhere, or choose dataset=digits",
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
    archive = path.with_name(f"{path.name}.gz")
    if not (archive.exists() and _md5(archive) == md5):
        _download(archive, mirrors, md5)
    with replacing(path) as part:
        with gzip.open(archive, "rb") as packed, part.open("wb") as file:
            shutil.copyfileobj(packed, file)
        if fault := _fault(part, _SHAPES[path.name], family.md5.get(path.name)):
            raise UserError(f"{fault}, although its archive has the right MD5", where=str(archive), how="delete it")
    write_text(_checksum(path), _md5(path) + "\n")
    archive.unlink()


def _download(archive: Path, mirrors: list[str], md5: str) -> None:
    reasons = []
    for mirror in mirrors:
        try:
            with replacing(archive) as part:
                with _answer(mirror + archive.name, PATIENCE / len(mirrors)) as response, part.open("wb") as file:
                    _copy_with_progress(_blocks(response), response.headers.get("Content-Length"), file, archive.name)
                if _md5(part) != md5:
                    raise _Unreachable("what it sends has a wrong MD5")
            return
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
    while True:
        try:
            block = response.read(1 << 16)
        except OSError as error:
            raise _Unreachable(error.strerror or str(error)) from error
        if not block:
            return
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
