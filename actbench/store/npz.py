"""Arrays in a run's folder (`*.npz`), written as one file and read with care: someone else may have changed it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
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
        with np.load(packed, allow_pickle=False) as content:
            return check(content)
    except FileNotFoundError:
        return None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError, SyntaxError, RuntimeError,
        zipfile.BadZipFile, zipfile.zlib.error,  # type: ignore[attr-defined]
    ) as error:  # fmt: skip
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=AWAY) from error
