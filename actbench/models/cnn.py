"""A small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from actbench.errors import UserError
from actbench.models.inputs import image_shape
from actbench.models.layers import Components, layer


def cnn(
    components: Components,
    *,
    inputs: tuple[int, ...],
    classes: int,
    channels: Sequence[int] = (16, 32),
    kernel_size: int = 3,
    dense: int = 128,
) -> nn.Sequential:
    """conv1 -> ... (each with 2×2 max pooling) -> flatten -> dense -> output.

    Args:
        components: activation, norm and dropout of all layers but the output.
        inputs: shape of one sample, (C, H, W).
        classes: number of logits.
        channels: channels of each convolution stage; each stage halves height and width.
        kernel_size: an odd number; padding keeps height and width.
        dense: units of the dense layer.

    Shapes: x (B, C, H, W) -> logits (B, classes).

    Raises:
        UserError: samples are no images, `kernel_size` is even, or the image cannot be halved that often.
    """
    if kernel_size % 2 == 0:
        raise UserError("is even", where=f"model.kernel_size={kernel_size}", how="an odd one: 3, 5, ...")
    before, height, width = image_shape(inputs, "cnn")
    sites = len(channels) + 1
    network = nn.Sequential()
    for site, after in enumerate(channels):
        conv = nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2)
        stage = layer(conv, activation=components.at(site, sites), components=components, pool=nn.MaxPool2d(2))
        network.add_module(f"conv{site + 1}", stage)
        before, height, width = after, height // 2, width // 2
    if height * width == 0:
        raise UserError(
            f"{len(channels)} stages halve {inputs[1]}×{inputs[2]} pixels to nothing",
            where="model.channels",
            how="fewer stages: model.channels=[16,32]",
        )
    network.add_module("flatten", nn.Flatten())
    linear = nn.Linear(before * height * width, dense)
    network.add_module("dense", layer(linear, activation=components.at(sites - 1, sites), components=components))
    network.add_module("output", nn.Linear(dense, classes))
    return network
