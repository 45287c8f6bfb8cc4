"""What a model of images says to samples that are none."""

from __future__ import annotations

from actbench.errors import UserError


def image_shape(inputs: tuple[int, ...], model: str) -> tuple[int, int, int]:
    """Channels, height and width of one sample.

    Raises:
        UserError: samples are no images, but features or sequences.
    """
    if len(inputs) != 3:
        what = f"is for images (C, H, W), and a sample of this dataset has the shape {inputs}"
        how = "model=mlp takes any shape; dataset.shape=[C,H,W] makes images of arrays and columns that are some"
        raise UserError(what, where=f"model={model}", how=how)
    channels, height, width = inputs
    return channels, height, width
