"""The multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from actbench.errors import UserError
from actbench.models.layers import Components, Residual, gated_layer, layer


def mlp(
    components: Components,
    *,
    inputs: tuple[int, ...],
    classes: int,
    width: int | Sequence[int] = 512,
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
        width: units of each hidden layer; or of one hidden layer each, first to last.
        depth: number of hidden layers, 1 or more; 1, or as many as there are, where `width` has one for each.
        residual: whether all hidden layers but the first have a residual connection.
        gated: whether hidden layers are f(W·x)·(V·x) instead of f(W·x), see `gated_layer`.

    Shapes: x (B, *inputs) -> logits (B, classes).

    Raises:
        UserError: `width` and `depth` contradict each other, or layers with a residual connection differ in width.

    >>> network = mlp(Components(activation=lambda units: nn.ReLU()), inputs=(1, 28, 28), classes=10)
    >>> list(network.state_dict())
    ['hidden1.linear.weight', 'hidden1.linear.bias', 'output.weight', 'output.bias']
    """
    widths = _widths(width, depth, residual=residual)
    depth = len(widths)
    hidden = [f"hidden{number}" for number in range(1, depth + 1)]
    network = Residual(skipped=hidden[1:], scale=1 / max(1, depth - 1)) if residual else nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    fan_in = math.prod(inputs)
    make = gated_layer if gated else layer
    for site, (name, units) in enumerate(zip(hidden, widths, strict=True)):
        linear = nn.Linear(fan_in, units)
        network.add_module(name, make(linear, activation=components.at(site, depth), components=components))
        fan_in = units
    network.add_module("output", nn.Linear(fan_in, classes))
    return network


def _widths(width: int | Sequence[int], depth: int, *, residual: bool) -> list[int]:
    """The units of each hidden layer."""
    if isinstance(width, int):
        return [width] * depth
    listed = f"model.width=[{','.join(map(str, width))}]"
    if not width or depth not in (1, len(width)):
        what = f"has {len(width)} widths, and there are {depth} hidden layers" if width else "has no hidden layer"
        raise UserError(what, where=listed, how="leave model.depth out: a list has a number for each hidden layer")
    if residual and len(set(width)) > 1:
        what = "has different widths, and a residual connection adds layers of one width"
        raise UserError(what, where=f"{listed} model.residual=true", how="model.residual=false, or one width")
    return [*width]
