"""RReLU, whose slopes come from a generator of each seed. Shape letters: S seeds, B batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actbench.stacking.protocol import Generators, StackedLayer, stack_layer


class StackedRReLU(StackedLayer):
    """`nn.RReLU` for S seeds: z for z > 0, a·z otherwise, a uniform in [lower, upper] in training and their mean else.

    Xu et al. 2015, arXiv:1505.00853.

    Args:
        lower: the smallest slope.
        upper: the largest slope.
        generators: one for each seed, on the device of z; the slopes of a seed come from its own.
    """

    def __init__(self, lower: float, upper: float, generators: Generators) -> None:
        super().__init__()
        self.lower, self.upper, self.generators = lower, upper, generators

    def forward(self, z: Tensor) -> Tensor:
        """z (S, B, ...) -> the same shape."""
        if not self.training:
            return F.leaky_relu(z, (self.lower + self.upper) / 2)
        slopes = torch.empty_like(z, memory_format=torch.contiguous_format)
        for of_seed, generator in zip(slopes, self.generators, strict=True):
            of_seed.uniform_(self.lower, self.upper, generator=generator)
        return torch.where(z > 0, z, z * slopes)


class SeedRReLU(StackedRReLU):
    """RReLU in the ordinary network of one seed, with the slopes that the seed would have in a stack.

    Args:
        lower: the smallest slope.
        upper: the largest slope.
        generators: a sequence of one, the generator of the seed.
    """

    def forward(self, z: Tensor) -> Tensor:
        """z (B, ...) -> the same shape."""
        return super().forward(z.unsqueeze(0)).squeeze(0)


@stack_layer.register
def _(layer: nn.RReLU, _replicas: Sequence[nn.RReLU], generators: Generators) -> nn.Module:
    return StackedRReLU(layer.lower, layer.upper, generators)
