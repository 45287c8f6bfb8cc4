"""Top-k: the largest outputs of a layer, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actbench.errors import UserError


class TopK(nn.Module):
    """Keeps the k largest outputs of a layer for each sample, as they are, and sets the others to zero.

    The outputs of a layer are all its units, of a convolution all channels at all positions. Exactly k are kept,
    whatever is equal.

    Args:
        fraction: the share of the outputs that is kept, above 0 and up to 1; rounded, and at least one output.
        k: their number, instead of `fraction`.

    Shapes: z (B, F) or (B, F, ...); the output has z's shape.

    Raises:
        UserError: the layer has fewer than k outputs.

    Sources: Makhzani & Frey 2013, "k-Sparse Autoencoders", arXiv:1312.5663, § 2.1; for convolutions Xiao et al. 2019,
    "Enhancing Adversarial Defense by k-Winners-Take-All", arXiv:1905.10510.

    >>> TopK(fraction=0.5)(torch.tensor([[3.0, -1.0, 2.0, -2.0]])).tolist()
    [[3.0, 0.0, 2.0, 0.0]]
    """

    def __init__(self, fraction: float = 0.25, k: int | None = None) -> None:
        super().__init__()
        self.fraction, self.k = fraction, k

    def forward(self, z: Tensor) -> Tensor:
        """z where it is among the k largest of its sample, 0 elsewhere, for z (B, F) or (B, F, ...)."""
        outputs = z.flatten(1)  # (B, N)
        largest, places = outputs.topk(self._kept(outputs.shape[1]), sorted=False)
        return torch.zeros_like(outputs).scatter(1, places, largest).view(z.shape)

    def _kept(self, outputs: int) -> int:
        if self.k is None:
            return max(1, round(self.fraction * outputs))
        if self.k > outputs:
            raise UserError(
                f"is more than the {outputs} outputs of a layer",
                where=f"activation.k={self.k}",
                how=f"at most {outputs}",
            )
        return self.k

    def extra_repr(self) -> str:
        """What was asked for, as `repr` shows it."""
        return f"fraction={self.fraction}" if self.k is None else f"k={self.k}"
