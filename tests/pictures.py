"""Small images in folders by class, for tests of data of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, *, height: int = 8, width: int = 8, colours: bool = True) -> np.ndarray:
    shape = (height, width, 3) if colours else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, image: np.ndarray, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **more)
    return path


def fill(folder: Path, counts: dict[str, int], *, first: int = 0, **more) -> Path:
    """So many different images for each class: `folder/CLASS/N.png`."""
    for name, number in counts.items():
        for n in range(number):
            save(folder / name / f"{n}.png", pixels(first := first + 1, **more))
    return folder
