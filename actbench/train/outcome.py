"""The results of a training step, on the device. Shape letters: s seeds of a group or shard, L layers, B batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class GradientLook(NamedTuple):
    """Gradient norms of one step.

    `total` (s,) is the Euclidean norm of each seed's whole gradient before clipping, `layers` (L, s) those of its
    layers, and `clipped` (s,) whether clipping changed it (NaN where nothing is clipped).
    """

    total: Tensor
    layers: Tensor
    clipped: Tensor


class StepOutcome(NamedTuple):
    """The loss (nats) of each sample and whether it was classified correctly (`hits`), both (s, B).

    `gradients` has the gradient norms, at steps where they were measured.
    """

    losses: Tensor
    hits: Tensor
    gradients: GradientLook | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> StepOutcome:
        """The same with `function` applied to every tensor."""
        gradients = None if self.gradients is None else GradientLook(*map(function, self.gradients))
        return StepOutcome(function(self.losses), function(self.hits), gradients)


def of_all_seeds(outcomes: Sequence[StepOutcome]) -> StepOutcome:
    """Joins the outcomes of several groups of seeds, in their order."""
    if len(outcomes) == 1:
        return outcomes[0]
    looks = [outcome.gradients for outcome in outcomes if outcome.gradients is not None]
    return StepOutcome(
        torch.cat([outcome.losses for outcome in outcomes]),
        torch.cat([outcome.hits for outcome in outcomes]),
        _side_by_side(looks) if looks else None,
    )


def _side_by_side(looks: Sequence[GradientLook]) -> GradientLook:
    """Joins the looks of neighbouring seeds: the seeds are the last dimension."""
    return GradientLook(*(torch.cat(parts, dim=-1) for parts in zip(*looks, strict=True)))


def mean_look(of_shards: Sequence[Sequence[GradientLook]]) -> GradientLook:
    """The mean over the looks of each shard, for the seeds of all shards.

    All numbers are summed as one tensor: torch would sum several tensors in another order, and round differently.
    """
    looks = [_side_by_side(shards) for shards in zip(*of_shards, strict=True)]
    numbers = torch.stack([torch.cat([look.total[None], look.layers, look.clipped[None]]) for look in looks])
    total, layers, clipped = numbers.mean(0).split([1, len(looks[0].layers), 1])  # (looks, 1 + L + 1, S) -> (..., S)
    return GradientLook(total[0], layers, clipped[0])
