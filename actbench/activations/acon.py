"""ACON-C: learns whether to activate at all."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.activations.learned import LearnedActivation


class AconC(LearnedActivation):
    """f(z) = (p1 - p2)·z·σ(β·(p1 - p2)·z) + p2·z with p1, p2 and β learned.

    A smooth maximum of p1·z and p2·z: β → ∞ gives max(p1·z, p2·z), β = 0 gives their mean, a straight line.

    Training starts from the same values everywhere, by default those of SiLU (p1 = 1, p2 = 0, β = 1), and not from the
    random p1 and p2 of the authors' code: activations are compared from the same start.

    Args:
        num_parameters: 1 for one of each, or the number of units, as in the paper.
        p1: the start of the slope towards +∞ (where β > 0 and p1 > p2).
        p2: the start of the slope towards -∞.
        beta: the start of β.

    Shapes: z (B, F) or (B, F, ...) with the units in dimension 1, as for `torch.nn.PReLU`; the output has z's shape.

    Source: Ma et al. 2021, "Activate or Not: Learning Customized Activation", arXiv:2009.04759, § 3.

    >>> z = torch.linspace(-3, 3, 7)[:, None]
    >>> torch.allclose(AconC()(z), torch.nn.functional.silu(z))
    True
    """

    def __init__(self, num_parameters: int = 1, p1: float = 1.0, p2: float = 0.0, beta: float = 1.0) -> None:
        super().__init__(num_parameters, p1=p1, p2=p2, beta=beta)

    @staticmethod
    def formula(z: Tensor, **parameters: Tensor) -> Tensor:
        """(p1 - p2)·z·σ(β·(p1 - p2)·z) + p2·z, elementwise."""
        p2 = parameters["p2"]
        steep = (parameters["p1"] - p2) * z
        return steep * torch.sigmoid(parameters["beta"] * steep) + p2 * z
