"""A multilayer perceptron with two activations in each block."""

from __future__ import annotations

import math

from torch import nn

from actbench.models.layers import Components, layer


def hybrid(
    components: Components, *, inputs: tuple[int, ...], classes: int, width: int = 512, blocks: int = 1
) -> nn.Sequential:
    """flatten -> block1 -> ... -> output; a block is Linear-`activation`-Linear-`upper_activation`.

    The lower half of each block uses `activation`, the upper half `upper_activation` (or `activation`, where there is
    no other); `split` is not used.

    Args:
        components: activations, norm and dropout of the blocks.
        inputs: shape of one sample: (C, H, W), (T, F) or (F,).
        classes: number of logits.
        width: units of both layers of a block.
        blocks: number of blocks, 1 or more.

    Shapes: x (B, *inputs) -> logits (B, classes).
    """
    upper_activation = components.upper_activation or components.activation
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    fan_in = math.prod(inputs)
    for number in range(1, blocks + 1):
        block = nn.Sequential()
        lower, upper = nn.Linear(fan_in, width), nn.Linear(width, width)
        block.add_module("lower", layer(lower, activation=components.activation, components=components))
        block.add_module("upper", layer(upper, activation=upper_activation, components=components))
        network.add_module(f"block{number}", block)
        fan_in = width
    network.add_module("output", nn.Linear(fan_in, classes))
    return network
