"""Gradient clipping, for each seed by itself.

A clip is a function `(gradients, ...)` that changes gradients in place. Each of `gradients` has the seeds in front:
(S, ...), or is one seed's with S = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def seed_norms(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of each seed's whole gradient: (S,)."""
    norms = [torch.linalg.vector_norm(gradient.reshape(len(gradient), -1), dim=1) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms), dim=0)


def clip_norm(gradients: Sequence[Tensor], *, max_norm: float) -> None:
    """Scales a seed's gradient by min(1, max_norm/(norm + 1e-6)): `torch.nn.utils.clip_grad_norm_` for each model.

    Source: Pascanu et al. 2013, arXiv:1211.5063, algorithm 1.
    """
    scale = (max_norm / (seed_norms(gradients) + 1e-6)).clamp(max=1.0)  # (S,)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *(1,) * (gradient.ndim - 1)))


def clip_value(gradients: Sequence[Tensor], *, clip_value: float) -> None:
    """Holds each entry within ±clip_value, as `torch.nn.utils.clip_grad_value_` does."""
    for gradient in gradients:
        gradient.clamp_(-clip_value, clip_value)
