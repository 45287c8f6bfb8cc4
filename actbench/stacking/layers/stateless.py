"""Layers without parameters that change shapes or connect others: flattening, pooling, sequences."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import nn

from actbench.stacking.protocol import Generators, PerSample, stack_children, stack_layer

stack_layer.register(nn.Sequential)(stack_children)


@stack_layer.register
def _(layer: nn.Flatten, _replicas: Sequence[nn.Flatten], _generators: Generators) -> nn.Module:
    start, end = (dim + 1 if dim >= 0 else dim for dim in (layer.start_dim, layer.end_dim))
    return nn.Flatten(start, end)


@stack_layer.register(nn.MaxPool2d)
@stack_layer.register(nn.AvgPool2d)
@stack_layer.register(nn.AdaptiveAvgPool2d)
def _(layer: nn.Module, _replicas: Sequence[nn.Module], _generators: Generators) -> nn.Module:
    return PerSample(copy.deepcopy(layer))
