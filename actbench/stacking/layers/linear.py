"""Linear layers. Shape letters: S seeds, B batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.stacking.protocol import Generators, StackedLayer, stack_layer, stack_tensors


class StackedLinear(StackedLayer):
    """`nn.Linear` for S seeds, by one batched matrix product.

    The weight is kept as (S, in, out) and the bias as (S, 1, out), the layout that the product takes.

    Args:
        replicas: the layer of every seed.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, replicas: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(stack_tensors(replicas, "weight").mT.contiguous())  # (S, in, out)
        without = replicas[0].bias is None
        self.bias = None if without else nn.Parameter(stack_tensors(replicas, "bias").unsqueeze(1))  # (S, 1, out)

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, ..., in) -> (S, B, ..., out)."""
        if x.ndim > 3:
            return StackedLinear.forward(self, x.flatten(1, -2)).unflatten(1, x.shape[1:-1])
        return torch.bmm(x, self.weight) if self.bias is None else torch.baddbmm(self.bias, x, self.weight)

    def seed_state(self, seed: int) -> dict[str, Tensor]:
        """The weight (out, in) and the bias (out,) of one seed."""
        state = super().seed_state(seed)
        bias = {} if self.bias is None else {"bias": state["bias"].squeeze(0)}
        return {**state, "weight": state["weight"].mT, **bias}


@stack_layer.register
def _(_layer: nn.Linear, replicas: Sequence[nn.Linear], _generators: Generators) -> nn.Module:
    return StackedLinear(replicas)
