"""A few convolutions followed by a deep fully connected network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from actbench.errors import UserError
from actbench.models.inputs import image_shape
from actbench.models.layers import Components, layer


def deep_cnn(
    components: Components,
    *,
    inputs: tuple[int, ...],
    classes: int,
    channels: Sequence[int] = (20, 50),
    kernel_size: int = 5,
    width: int = 500,
    depth: int = 12,
) -> nn.Sequential:
    """conv1 -> ... -> 2×2 max pooling -> dropout -> flatten -> hidden1 -> ... -> hidden{depth} -> output.

    The network of Mish's depth test (Misra 2019, arXiv:1908.08681, § 3.1), with 20 and 50 channels. The paper counts
    the convolutions and the output layer too: its "15 layers" are `depth` 12.

    Args:
        components: activation of all layers but the output; norm of the hidden layers; dropout after each hidden layer
            and after the pooling.
        inputs: shape of one sample, (C, H, W).
        classes: number of logits.
        channels: channels of each convolution. Without padding, each makes the image `kernel_size` - 1 pixels smaller.
        kernel_size: of all convolutions.
        width: units of each hidden layer.
        depth: number of hidden layers, 1 or more.

    Shapes: x (B, C, H, W) -> logits (B, classes).

    Raises:
        UserError: samples are no images, or the convolutions leave nothing of them.
    """
    before, *sides = image_shape(inputs, "deep_cnn")
    rows, columns = ((side - len(channels) * (kernel_size - 1)) // 2 for side in sides)
    if min(rows, columns) < 1:
        raise UserError(
            f"{len(channels)} convolutions leave nothing of {inputs[1]}×{inputs[2]} pixels",
            where=f"model.kernel_size={kernel_size}",
            how="a smaller one, or fewer model.channels",
        )
    sites = len(channels) + depth
    bare = replace(components, norm=None, dropout=0.0)
    network = nn.Sequential()
    for site, after in enumerate(channels):
        conv = nn.Conv2d(before, after, kernel_size)
        last = site == len(channels) - 1
        stage = layer(
            conv,
            activation=components.at(site, sites),
            components=replace(bare, dropout=components.dropout) if last else bare,
            pool=nn.MaxPool2d(2) if last else None,
        )
        network.add_module(f"conv{site + 1}", stage)
        before = after
    network.add_module("flatten", nn.Flatten())
    fan_in = before * rows * columns
    for number in range(depth):
        hidden = layer(
            nn.Linear(fan_in, width), activation=components.at(len(channels) + number, sites), components=components
        )
        network.add_module(f"hidden{number + 1}", hidden)
        fan_in = width
    network.add_module("output", nn.Linear(fan_in, classes))
    return network
