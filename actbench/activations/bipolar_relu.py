"""The bipolar ReLU: every other unit upside down."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BipolarReLU(nn.Module):
    """f(z) = max(0, z) for the units 0, 2, 4, ... and -max(0, -z) = min(0, z) for the units 1, 3, 5, ...

    Each unit is a ReLU, but the outputs of a layer lie symmetrically about zero: their mean is near zero, and a
    symmetric quantiser uses its whole range.

    Shapes: z (B, F) or (B, F, ...) with the units in dimension 1; the output has z's shape.

    Source: Eidnes & Nøkland 2017, "Shifting Mean Activation Towards Zero with Bipolar Activation Functions",
    arXiv:1709.04054.

    >>> BipolarReLU()(torch.tensor([[2.0, 2.0, -2.0, -2.0]]))
    tensor([[ 2., -0.,  0., -2.]])
    """

    def forward(self, z: Tensor) -> Tensor:
        """f(z) for z (B, F) or (B, F, ...)."""
        sign = 1 - 2 * (torch.arange(z.shape[1], device=z.device) % 2)  # (F,)
        sign = sign.to(z.dtype).view(-1, *(1,) * (z.ndim - 2))
        return sign * torch.relu(sign * z)
