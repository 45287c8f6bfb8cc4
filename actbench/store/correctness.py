"""`correct.npz`: which images of the test set each seed classified correctly, eight to a byte.

The comparison needs it to say what would change with other test images: a mean over the same images does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actbench.files.reading import MB
from actbench.store import npz

FILE = "correct.npz"
LARGEST = 64 * MB  # that is read: 50 seeds of ten million images


def write(folder: Path, seeds: Sequence[int], correct: NDArray[np.bool_]) -> None:
    """Writes `correct.npz`.

    Args:
        folder: of the run.
        seeds: the S seeds.
        correct: (S, N), whether seed s classified image n correctly, in the order of the dataset's test set.
    """
    bits = np.packbits(correct, axis=1)  # (S, ceil(N / 8))
    images = np.array(correct.shape[1], dtype=np.int64)
    npz.write(folder / FILE, {"seeds": np.array(seeds, dtype=np.int64), "images": images, "bits": bits})


def read(folder: Path) -> dict[int, NDArray[np.bool_]]:
    """Seed -> (N,), whether it classified each image of the test set correctly; empty where there is no such file.

    Raises:
        UserError: the file is damaged, or was not written by actbench.
    """
    return npz.read(folder / FILE, LARGEST, _by_seed) or {}


def _by_seed(content: npz.Arrays) -> dict[int, NDArray[np.bool_]]:
    seeds, bits, number = content["seeds"], content["bits"], int(content["images"])
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or bits.dtype != np.uint8:
        raise ValueError("its arrays are of other types than actbench writes")
    if number < 1 or bits.shape != (len(seeds), -(-number // 8)) or len({*seeds.tolist()}) != len(seeds):
        raise ValueError("its arrays do not fit together")
    correct = np.unpackbits(bits, axis=1, count=number).astype(bool)  # (S, N)
    return dict(zip(map(int, seeds), correct, strict=True))
