"""Activations that have parameters, or that treat the units of a layer differently.

Shape letters: S seeds, B batch, F features.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from actbench.activations import BipolarReLU, LearnedActivation, TopK
from actbench.stacking.protocol import Generators, PerSample, StackedLayer, stack_layer, stack_parameters


class StackedPReLU(StackedLayer):
    """`nn.PReLU` for S seeds: max(0, z) + a·min(0, z) with a slope for each seed's layer or unit.

    He et al. 2015, arXiv:1502.01852.

    Args:
        replicas: the activation of every seed; weight (S, 1) or (S, F).
    """

    weight: nn.Parameter

    def __init__(self, replicas: Sequence[nn.PReLU]) -> None:
        super().__init__()
        stack_parameters(self, replicas)

    def forward(self, z: Tensor) -> Tensor:
        """z (S, B, F, ...) -> the same shape."""
        seeds = z.shape[0]
        if self.weight.shape[1] == 1:
            return F.prelu(z.reshape(1, seeds, -1), self.weight.flatten()).view(z.shape)
        units_of_all = z.transpose(0, 1).flatten(1, 2)  # (B, S·F, ...)
        return F.prelu(units_of_all, self.weight.flatten()).unflatten(1, (seeds, -1)).transpose(0, 1)


class StackedLearned(StackedLayer):
    """A `LearnedActivation` for S seeds: its formula with the parameters of each seed's layer or unit.

    Args:
        replicas: the activation of every seed; each parameter (S, 1) or (S, F).
    """

    def __init__(self, replicas: Sequence[LearnedActivation]) -> None:
        super().__init__()
        self.formula = replicas[0].formula
        stack_parameters(self, replicas)

    def forward(self, z: Tensor) -> Tensor:
        """z (S, B, F, ...) -> the same shape."""
        parameters = {name: _broadcast(parameter, z) for name, parameter in self.named_parameters()}
        return self.formula(z, **parameters)


def _broadcast(parameter: Tensor, z: Tensor) -> Tensor:
    """(S, 1) or (S, F) against z (S, B, F, ...)."""
    return parameter.view(parameter.shape[0], 1, -1, *(1,) * (z.ndim - 3))


@stack_layer.register
def _(_layer: nn.PReLU, replicas: Sequence[nn.PReLU], _generators: Generators) -> nn.Module:
    return StackedPReLU(replicas)


@stack_layer.register
def _(_layer: LearnedActivation, replicas: Sequence[LearnedActivation], _generators: Generators) -> nn.Module:
    return StackedLearned(replicas)


@stack_layer.register(BipolarReLU)
@stack_layer.register(TopK)
def _(layer: nn.Module, _replicas: Sequence[nn.Module], _generators: Generators) -> nn.Module:
    return PerSample(copy.deepcopy(layer))
