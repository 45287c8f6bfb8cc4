"""Loss and accuracy. Shape letters: S seeds, B batch, C classes, N samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from actbench.machine import sums_dtype
from actbench.train.parts import Parts


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of each sample, in nats: logits (S, B, C), y (S, B) -> (S, B)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)


@torch.no_grad()
def evaluate(parts: Parts, x: Tensor, y: Tensor) -> tuple[list[float], list[float]]:
    """Mean loss (nats) and accuracy (%) of every seed over x (N, ...) and y (N,), in evaluation mode."""
    network, seeds = parts.network, len(parts.seeds)
    network.eval()
    scores: list[tuple[Tensor, Tensor]] = []
    for inputs, labels in zip(x.split(parts.eval_batch_size), y.split(parts.eval_batch_size), strict=True):
        with parts.autocast():
            logits = network(inputs.expand(seeds, *inputs.shape))  # (S, B, C)
        target = labels.expand(seeds, -1)
        scores.append((cross_entropy(logits, target), logits.argmax(-1) == target))
    return means(scores)


def means(scores: Sequence[tuple[Tensor, Tensor]]) -> tuple[list[float], list[float]]:
    """Mean loss and accuracy (%) of each seed, from the losses and the hits (S, B) of all batches."""
    losses, hits = (torch.cat(part, dim=1) for part in zip(*scores, strict=True))  # (S, N)
    sums = sums_dtype(losses.device)
    loss, share = torch.stack([losses.mean(1, dtype=sums), hits.mean(1, dtype=sums)]).tolist()
    return loss, [100.0 * part for part in share]
