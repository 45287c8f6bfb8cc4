"""The slope of an activation, by autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from actbench.activations.coupling import Apply

_GRID = torch.linspace(-10.0, 10.0, 801)  # where the steepest slope of an activation is searched


def slopes(apply: Apply, z: Tensor, gradient: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """(f(z), f'(z)) of an elementwise f, both of z's shape; for another f, the gradient of z given `gradient(f(z))`."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        h = apply(z)
        if not h.requires_grad:  # a constant
            return h, torch.zeros_like(z)
        (slope,) = torch.autograd.grad((h if gradient is None else h * gradient(h)).sum(), z)
    return h.detach(), slope


def steepest_slope(apply: Apply, units: int, seeds: int, like: Tensor, *, positions: int = 0) -> Tensor:
    """The largest |f'(z)| for z in [-10, 10], (S, F), or (S, 1) where all units share one activation; as `like` is.

    Slopes that are not finite, such as that of sqrt|z| at 0, do not count. z has `positions` more dimensions.
    """
    z = _GRID.to(like).view(1, -1, 1, *(1,) * positions).expand(seeds, -1, units, *(1,) * positions)
    steep = slopes(apply, z)[1].abs()
    return steep.where(steep.isfinite(), 0).amax(1).flatten(1)
