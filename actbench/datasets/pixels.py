"""One image of Pillow's -> its pixels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")  # Pillow's modes without colours


def pixels_of(image: Image, side: tuple[int, int], grey: bool) -> np.ndarray:
    """The pixels (1 or 3, H, W) of an image: upright, of 8 bits, the shorter side scaled and the longer one cropped.

    Args:
        image: in any of Pillow's modes.
        side: height and width.
        grey: whether one channel is wanted, else three.

    Raises:
        ValueError: it has numbers of 32 bits, of which nobody knows how bright they are.
    """
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if image.mode == "F" or (image.mode == "I" and image.format not in (None, "PNG", "PPM")):
            raise ValueError("it has numbers of 32 bits, whose white is not known: save it with 8 or 16 bits")
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits: Pillow would cut them off at 255
            levels = np.asarray(image, dtype=np.float64)
            image = Image.fromarray((levels * (255 / 65535)).round().clip(0, 255).astype(np.uint8))
        image = image.convert("L" if grey else "RGB")
        if (image.height, image.width) != side:
            image = ImageOps.fit(image, side[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
