"""The squared ReLU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SquaredReLU(nn.Module):
    """f(z) = max(0, z)², elementwise on any shape.

    Source: So et al. 2021, "Primer: Searching for Efficient Transformers for Language Modeling", arXiv:2109.08668, § 3.

    >>> SquaredReLU()(torch.tensor([-1.0, 0.5, 3.0]))
    tensor([0.0000, 0.2500, 9.0000])
    """

    def forward(self, z: Tensor) -> Tensor:
        """max(0, z)² for z of any shape."""
        return torch.relu(z).square()
