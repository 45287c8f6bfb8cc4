"""Activations that torch.nn lacks. Everything torch has is torch's own module."""

from actbench.activations.squared_relu import SquaredReLU
from actbench.activations.swish import Swish

__all__ = ["SquaredReLU", "Swish"]
