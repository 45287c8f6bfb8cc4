"""PACT: a ReLU that learns where it clips."""

from __future__ import annotations

import torch
from torch import Tensor

from actbench.activations.learned import LearnedActivation
from actbench.errors import UserError


class PACT(LearnedActivation):
    """f(z) = 0.5·(|z| - |z - α| + α): 0 below 0, z between, α above α, with α learned, as `alpha`.

    A bounded output can be quantised to few bits; α finds the bound. df/dα = 1 where z ≥ α and 0 elsewhere, so that α
    moves only while something is clipped, and by the optimizer's weight decay, by which the paper pulls it down.

    Args:
        num_parameters: 1 for one α, or the number of units for one α each.
        init: the α that training starts from, above 0. At 3, two of a hundred values are clipped at the start of a
            layer with He init, enough for α to move; 6 gives ReLU6.

    Shapes: z (B, F) or (B, F, ...) with the units in dimension 1, as for `torch.nn.PReLU`; the output has z's shape.

    Raises:
        UserError: `init` is not above 0.

    Source: Choi et al. 2018, "PACT: Parameterized Clipping Activation for Quantized Neural Networks",
    arXiv:1805.06085, eq. 1.

    >>> PACT(init=2.0)(torch.tensor([[-1.0, 0.5, 3.0]])).tolist()
    [[0.0, 0.5, 2.0]]
    """

    def __init__(self, num_parameters: int = 1, init: float = 3.0) -> None:
        if init <= 0:
            raise UserError("clips everything", where=f"activation.init={init:g}", how="a number above 0")
        super().__init__(num_parameters, alpha=init)

    @staticmethod
    def formula(z: Tensor, **parameters: Tensor) -> Tensor:
        """min(max(z, 0), α), elementwise; the gradient of α is 1 where z ≥ α, the bound itself included."""
        alpha = parameters["alpha"]
        return torch.where(z >= alpha, alpha, torch.relu(z))
