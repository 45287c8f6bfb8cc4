"""Dropout, whose masks come from a generator of each seed. Shape letters: S seeds, B batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.stacking.protocol import Generators, StackedLayer, stack_layer


class StackedDropout(StackedLayer):
    """`nn.Dropout` for S seeds: in training, elements are zeroed with probability p and the others divided by 1 - p.

    Args:
        p: the probability.
        generators: one for each seed, on the device of x; the masks of a seed come from its own.
    """

    def __init__(self, p: float, generators: Generators) -> None:
        super().__init__()
        self.p, self.generators = p, generators

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, ...) -> the same shape."""
        if not self.training or self.p == 0.0:
            return x
        keep = torch.empty_like(x, memory_format=torch.contiguous_format)
        for mask, generator in zip(keep, self.generators, strict=True):
            mask.bernoulli_(1.0 - self.p, generator=generator)
        return self.dropped(x, keep)

    def dropped(self, x: Tensor, keep: Tensor) -> Tensor:
        """x where `keep` is 1, scaled, and the value of what is dropped where it is 0; `keep` may be overwritten."""
        return x * keep.div_(1.0 - self.p)


class SeedDropout(StackedDropout):
    """Dropout in the ordinary network of one seed, with the masks that the seed would have in a stack.

    Args:
        p: the probability.
        generators: a sequence of one, the generator of the seed.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, ...) -> the same shape."""
        return super().forward(x.unsqueeze(0)).squeeze(0)


class StackedAlphaDropout(StackedDropout):
    """`nn.AlphaDropout` for S seeds: what is dropped becomes the value that SELU tends to for z -> -∞.

    Outputs are scaled and shifted so that their mean and variance stay what they are for inputs of mean 0 and variance
    1. Klambauer et al. 2017, arXiv:1706.02515.

    Args:
        p: the probability.
        generators: one for each seed, on the device of x; the masks of a seed come from its own.
    """

    def dropped(self, x: Tensor, keep: Tensor) -> Tensor:
        """The same for alpha dropout."""
        scale = ((1.0 - self.p) * (1.0 + self.p * _LEAST_OF_SELU**2)) ** -0.5
        return scale * (x * keep + _LEAST_OF_SELU * (1.0 - keep) - _LEAST_OF_SELU * self.p)


_LEAST_OF_SELU = -1.0507009873554805 * 1.6732632423543772  # -scale·alpha


class SeedAlphaDropout(SeedDropout, StackedAlphaDropout):
    """Alpha dropout in the ordinary network of one seed, with the masks that the seed would have in a stack."""


@stack_layer.register
def _(layer: nn.AlphaDropout, _replicas: Sequence[nn.AlphaDropout], generators: Generators) -> nn.Module:
    return StackedAlphaDropout(layer.p, generators)


@stack_layer.register
def _(layer: nn.Dropout, _replicas: Sequence[nn.Dropout], generators: Generators) -> nn.Module:
    return StackedDropout(layer.p, generators)
