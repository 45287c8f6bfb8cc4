"""`correct.npz`: which images of the test set each seed classified correctly, eight to a byte.

The comparison needs it to say what would change with other test images: a mean over the same images does not know.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.errors import UserError
from actbench.files.atomic import write_bytes
from actbench.files.reading import MB
from actbench.store.plausible import AWAY, check_stays, reason

FILE = "correct.npz"
LARGEST = 64 * MB  # that is read: 50 seeds of ten million images


def write(folder: Path, seeds: Sequence[int], correct: NDArray[np.bool_]) -> None:
    """Writes `correct.npz`.

    Args:
        folder: of the run.
        seeds: the S seeds.
        correct: (S, N), whether seed s classified image n correctly, in the order of the dataset's test set.
    """
    content = io.BytesIO()
    bits = np.packbits(correct, axis=1)  # (S, ceil(N / 8))
    np.savez_compressed(content, seeds=np.asarray(seeds, dtype=np.int64), images=np.int64(correct.shape[1]), bits=bits)
    write_bytes(folder / FILE, content.getvalue())


def read(folder: Path) -> dict[int, NDArray[np.bool_]]:
    """Seed -> (N,), whether it classified each image of the test set correctly; empty where there is no such file.

    Raises:
        UserError: the file is damaged, or was not written by actbench.
    """
    path = folder / FILE
    try:
        check_stays(path)
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"{size:,} bytes are more than a run leaves")
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise ValueError("it unpacks to more than a run leaves")
        with np.load(path, allow_pickle=False) as content:
            return _by_seed(content["seeds"], content["images"], content["bits"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=AWAY) from error


def _by_seed(seeds: NDArray[Any], images: NDArray[Any], bits: NDArray[Any]) -> dict[int, NDArray[np.bool_]]:
    number = int(images)
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or bits.dtype != np.uint8:
        raise ValueError("its arrays are of other types than actbench writes")
    if number < 1 or bits.shape != (len(seeds), -(-number // 8)) or len({*seeds.tolist()}) != len(seeds):
        raise ValueError("its arrays do not fit together")
    correct = np.unpackbits(bits, axis=1, count=number).astype(bool)  # (S, N)
    return dict(zip(map(int, seeds), correct, strict=True))
