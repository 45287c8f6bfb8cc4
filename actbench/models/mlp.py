"""The multilayer perceptron."""

from __future__ import annotations

import math

from torch import nn

from actbench.models.layers import Components, Residual, gated_layer, layer


def mlp(
    components: Components,
    *,
    inputs: tuple[int, ...],
    classes: int,
    width: int = 512,
    depth: int = 1,
    residual: bool = False,
    gated: bool = False,
) -> nn.Sequential:
    """flatten -> hidden1 -> ... -> hidden{depth} -> output.

    With `residual`, hidden2, hidden3, ... compute x + layer(x)/(depth - 1). The scales of all layers add up to 1:
    signals keep their size at any depth if that sum is bounded (Hanin & Rolnick 2018, arXiv:1803.01719).
    1/sqrt(depth - 1) would be enough for tanh, whose outputs have mean zero, but the mean of ReLU's outputs would grow
    with depth.

    Args:
        components: activation, norm and dropout of the hidden layers.
        inputs: shape of one sample: (C, H, W), (T, F) or (F,).
        classes: number of logits.
        width: units of each hidden layer.
        depth: number of hidden layers, 1 or more.
        residual: whether all hidden layers but the first have a residual connection.
        gated: whether hidden layers are f(W·x)·(V·x) instead of f(W·x), see `gated_layer`.

    Shapes: x (B, *inputs) -> logits (B, classes).

    >>> network = mlp(Components(activation=lambda units: nn.ReLU()), inputs=(1, 28, 28), classes=10)
    >>> list(network.state_dict())
    ['hidden1.linear.weight', 'hidden1.linear.bias', 'output.weight', 'output.bias']
    """
    hidden = [f"hidden{number}" for number in range(1, depth + 1)]
    network = Residual(skipped=hidden[1:], scale=1 / max(1, depth - 1)) if residual else nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    fan_in = math.prod(inputs)
    make = gated_layer if gated else layer
    for site, name in enumerate(hidden):
        linear = nn.Linear(fan_in, width)
        network.add_module(name, make(linear, activation=components.at(site, depth), components=components))
        fan_in = width
    network.add_module("output", nn.Linear(fan_in, classes))
    return network
