"""What activations with learned parameters have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


class LearnedActivation(nn.Module):
    """An elementwise f(z) with learned parameters, one of each for a layer or one of each for a unit.

    A subclass says what it computes (`formula`) and where its parameters start; the rest, and how S of them are
    stacked, is the same for all.

    Args:
        num_parameters: 1 for one of each parameter, or the number of units.
        starts: name of each parameter -> the value that training starts from.

    Shapes: z (B, F) or (B, F, ...) with the units in dimension 1, as for `torch.nn.PReLU`; the output has z's shape.
    """

    def __init__(self, num_parameters: int, **starts: float) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        for name, start in starts.items():
            self.register_parameter(name, nn.Parameter(torch.full((num_parameters,), float(start))))

    @staticmethod
    @abstractmethod
    def formula(z: Tensor, **parameters: Tensor) -> Tensor:
        """f(z), elementwise; each parameter comes by its name, in a shape that broadcasts against z."""

    def forward(self, z: Tensor) -> Tensor:
        positions = z.ndim - 2 if self.num_parameters > 1 else 0  # (F, 1, ...): against dimension 1
        parameters = {name: parameter.view(-1, *(1,) * positions) for name, parameter in self.named_parameters()}
        return self.formula(z, **parameters)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
