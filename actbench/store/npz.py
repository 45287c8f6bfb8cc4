"""Arrays in a run's folder (`*.npz`), written as one file and read with care: someone else may have changed it."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from actbench.errors import UserError
from actbench.files.atomic import write_bytes
from actbench.files.reading import read_bytes
from actbench.store.plausible import AWAY, check_stays, reason

Content = TypeVar("Content")
Arrays = Mapping[str, NDArray[Any]]


def write(path: Path, arrays: Arrays) -> None:
    """Writes the arrays, compressed."""
    content = io.BytesIO()
    np.savez_compressed(content, **dict(arrays))  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def read(path: Path, largest: int, check: Callable[[Arrays], Content]) -> Content | None:
    """What `check` makes of the arrays; None where there is no such file.

    Args:
        path: of the file.
        largest: bytes that are read at most, packed or unpacked.
        check: raises a ValueError, KeyError or TypeError where these are not the arrays that actbench writes.

    Raises:
        UserError: the file is damaged, or was not written by actbench.
    """
    try:
        check_stays(path)
        packed = io.BytesIO(read_bytes(path, largest))
        with zipfile.ZipFile(packed) as archive:
            if sum(part.file_size for part in archive.infolist()) > largest:
                raise ValueError("it unpacks to more than a run leaves")
            return check({name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()})
    except FileNotFoundError:
        return None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError, SyntaxError, RuntimeError,
        zipfile.BadZipFile, zipfile.zlib.error,  # type: ignore[attr-defined]
    ) as error:  # fmt: skip
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=AWAY) from error


def _array(content: bytes) -> NDArray[Any]:
    """An array as NumPy writes it, but no objects. Of thousands of files, `np.load` would parse each header again."""
    width = {(1, 0): 2, (2, 0): 4}[content[6], content[7]] if content[:6] == b"\x93NUMPY" else 0
    if not width:
        raise ValueError("it is no array")
    end = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    shape, by_columns, dtype = _header(content[:end])
    values = np.frombuffer(content, dtype, math.prod(shape), end).copy()
    return values.reshape(shape, order="F" if by_columns else "C")


@lru_cache(maxsize=256)
def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    stream = io.BytesIO(content)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, by_columns, dtype = read[np.lib.format.read_magic(stream)[0]](stream)
    if dtype.hasobject or not dtype.itemsize or any(size < 0 for size in shape):
        raise ValueError("its values are no numbers")
    return shape, by_columns, dtype
