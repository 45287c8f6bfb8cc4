"""Activations with learned parameters: what they have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


class LearnedActivation(nn.Module):
    """An elementwise f(z) with learned parameters: each has one value for a layer, or one for each of its units.

    A subclass says what it computes (`formula`) and where its parameters start. Everything else, and how those of
    several seeds are stacked, is the same for all.

    Args:
        num_parameters: 1 for one value of each parameter, or the number of units.
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
        """f(z), elementwise.

        Args:
            z: pre-activations of any shape.
            parameters: by their names, each in a shape that broadcasts against z.

        Returns:
            A tensor of z's shape.
        """

    def forward(self, z: Tensor) -> Tensor:
        """f(z) for z (B, F) or (B, F, ...), with each unit's own parameters where there are several."""
        positions = z.ndim - 2 if self.num_parameters > 1 else 0  # (F, 1, ...): against dimension 1
        parameters = {name: parameter.view(-1, *(1,) * positions) for name, parameter in self.named_parameters()}
        return self.formula(z, **parameters)

    def extra_repr(self) -> str:
        """How many values each parameter has, as `repr` shows it."""
        return f"num_parameters={self.num_parameters}"
