"""The stacked forms of activations that have parameters or whose units are not all alike.

Shape letters: S seeds, B batch, F features.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from actbench.activations import BipolarReLU, LearnedActivation, TopK
from actbench.stacking.layers import Noise, PerSample, StackedLayer, adopt, stack_layer


class StackedPReLU(StackedLayer):
    """max(0, z) + a·min(0, z) with a (S, 1) or (S, F): one slope for each seed's layer or unit."""

    weight: nn.Parameter

    def __init__(self, peers: Sequence[nn.PReLU]) -> None:
        super().__init__()
        adopt(self, peers)

    def forward(self, z: Tensor) -> Tensor:
        seeds = z.shape[0]
        if self.weight.shape[1] == 1:
            return F.prelu(z.reshape(1, seeds, -1), self.weight.flatten()).view(z.shape)
        beside = z.transpose(0, 1).flatten(1, 2)  # (B, S·F, ...)
        return F.prelu(beside, self.weight.flatten()).unflatten(1, (seeds, -1)).transpose(0, 1)


class StackedLearned(StackedLayer):
    """f(z) with parameters (S, 1) or (S, F): those of each seed's layer or unit."""

    def __init__(self, peers: Sequence[LearnedActivation]) -> None:
        super().__init__()
        self.formula = peers[0].formula
        adopt(self, peers)

    def forward(self, z: Tensor) -> Tensor:
        parameters = {name: _against_units(parameter, z) for name, parameter in self.named_parameters()}
        return self.formula(z, **parameters)


def _against_units(parameter: Tensor, z: Tensor) -> Tensor:
    """(S, 1) or (S, F) against z (S, B, F, ...)."""
    return parameter.view(parameter.shape[0], 1, -1, *(1,) * (z.ndim - 3))


@stack_layer.register
def _(_layer: nn.PReLU, peers: Sequence[nn.PReLU], _noise: Noise) -> nn.Module:
    return StackedPReLU(peers)


@stack_layer.register
def _(_layer: LearnedActivation, peers: Sequence[LearnedActivation], _noise: Noise) -> nn.Module:
    return StackedLearned(peers)


@stack_layer.register(BipolarReLU)
@stack_layer.register(TopK)
def _(layer: nn.Module, _peers: Sequence[nn.Module], _noise: Noise) -> nn.Module:
    return PerSample(copy.deepcopy(layer))
