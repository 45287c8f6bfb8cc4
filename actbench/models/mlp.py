"""The multilayer perceptron."""

from __future__ import annotations

import math

from torch import nn

from actbench.models.layers import Ingredients, layer


def mlp(
    ingredients: Ingredients, *, inputs: tuple[int, ...], classes: int, width: int = 512, depth: int = 1
) -> nn.Sequential:
    """flatten -> hidden1 -> ... -> hidden{depth} -> output.

    Args:
        ingredients: activation, norm and dropout of the hidden layers.
        inputs: shape of one sample, (C, H, W).
        classes: number of logits.
        width: units of each hidden layer.
        depth: number of hidden layers, 1 or more.

    Shapes: x (B, C, H, W) -> logits (B, classes).

    >>> network = mlp(Ingredients(activation=lambda units: nn.ReLU()), inputs=(1, 28, 28), classes=10)
    >>> list(network.state_dict())
    ['hidden1.linear.weight', 'hidden1.linear.bias', 'output.weight', 'output.bias']
    """
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    fan_in = math.prod(inputs)
    for site in range(depth):
        linear = nn.Linear(fan_in, width)
        network.add_module(
            f"hidden{site + 1}", layer(linear, activation=ingredients.at(site, depth), ingredients=ingredients)
        )
        fan_in = width
    network.add_module("output", nn.Linear(fan_in, classes))
    return network
