"""Gradient clipping, for each seed by itself.

A clip is a function `(gradients, ...)` that changes gradients in place and returns nothing. Each of `gradients` belongs
to one parameter and has the seeds in front, (S, ...); of seeds that train one by one S is 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def seed_norms(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of each seed's gradient over all parameters together.

    Args:
        gradients: (S, ...) each.

    Returns:
        Norms (S,), on the gradients' device.

    >>> seed_norms([torch.tensor([[3.0], [0.0]]), torch.tensor([[4.0], [2.0]])])
    tensor([5., 2.])
    """
    norms = [torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


def clip_norm(gradients: Sequence[Tensor], *, max_norm: float) -> None:
    """Scales each seed's gradient g by min(1, max_norm/(‖g‖ + 1e-6)), as `torch.nn.utils.clip_grad_norm_` does.

    Args:
        gradients: (S, ...) each; changed in place.
        max_norm: the largest Euclidean norm of a seed's whole gradient.

    Source: Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    scale = (max_norm / (seed_norms(gradients) + 1e-6)).clamp(max=1.0)  # (S,)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *(1,) * (gradient.ndim - 1)))


def clip_value(gradients: Sequence[Tensor], *, clip_value: float) -> None:
    """Clamps each entry to ±clip_value, as `torch.nn.utils.clip_grad_value_` does.

    Args:
        gradients: (S, ...) each; changed in place.
        clip_value: the largest absolute value of an entry.
    """
    for gradient in gradients:
        gradient.clamp_(-clip_value, clip_value)
