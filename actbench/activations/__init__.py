"""Activations that torch.nn lacks. Everything torch has is torch's own module."""

from actbench.activations.acon import AconC
from actbench.activations.bipolar_relu import BipolarReLU
from actbench.activations.learned import LearnedActivation
from actbench.activations.pact import PACT
from actbench.activations.squared_relu import SquaredReLU
from actbench.activations.swish import Swish
from actbench.activations.topk import TopK

__all__ = ["PACT", "AconC", "BipolarReLU", "LearnedActivation", "SquaredReLU", "Swish", "TopK"]
