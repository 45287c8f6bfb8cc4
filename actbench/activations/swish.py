"""Swish with a learned beta."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.activations.learned import LearnedActivation


class Swish(LearnedActivation):
    """f(z) = z·σ(βz) with β learned, as `weight`.

    Args:
        num_parameters: 1 for one β, or the number of units for one β each.
        init: the β that training starts from. 1 gives SiLU, 0 gives z/2, β → ∞ gives ReLU.

    Shapes: z (B, F) or (B, F, ...) with the units in dimension 1, as for `torch.nn.PReLU`; the output has z's shape.

    Source: Ramachandran et al. 2017, "Searching for Activation Functions", arXiv:1710.05941, § 4.1.

    >>> swish = Swish()
    >>> torch.allclose(swish(torch.tensor([[2.0]])), torch.nn.functional.silu(torch.tensor([[2.0]])))
    True
    """

    def __init__(self, num_parameters: int = 1, init: float = 1.0) -> None:
        super().__init__(num_parameters, weight=init)

    @staticmethod
    def formula(z: Tensor, **parameters: Tensor) -> Tensor:
        """z·σ(βz), elementwise."""
        return z * torch.sigmoid(parameters["weight"] * z)
