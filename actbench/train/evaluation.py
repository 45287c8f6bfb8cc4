"""Loss and accuracy. Shape letters: S seeds, s seeds of a shard, B batch, C classes, N samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from actbench.datasets.streaming import Streamed
from actbench.measures.computing.sums import sums_dtype
from actbench.stacking import Shard
from actbench.train.state import Training


class Scores(NamedTuple):
    """The losses (nats) of a batch and whether each sample was classified correctly (`hits`): (s, B)."""

    losses: Tensor
    hits: Tensor


class Means(NamedTuple):
    """The mean loss (nats) and accuracy (%) of each seed, and whether it classified each sample correctly: (S, N)."""

    losses: list[float]
    accuracies: list[float]
    hits: Tensor


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of each sample, in nats: logits (S, B, C), y (S, B) -> (S, B)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)


def evaluate(training: Training, x: Tensor | Streamed, y: Tensor) -> Means:
    """Mean loss and accuracy of every seed over x (N, ...) and y (N,), in evaluation mode."""
    training.network.eval()
    return means(training.workers.map(lambda shard: _scores(training, shard, x, y), training.network.shards))


@torch.no_grad()
def _scores(training: Training, shard: Shard, x: Tensor | Streamed, y: Tensor) -> list[Scores]:
    """The scores of a shard of the seeds, batch by batch.

    A shard of stacked replicas takes more samples at a time, so that its kernels are as large as those of all seeds.
    """
    size = training.eval_batch_size
    if training.network.stacked:
        size = size * len(training.seeds) // shard.seeds
    scores = []
    for inputs, labels in zip(x.split(size), y.split(size), strict=True):
        with training.autocast():
            logits = shard(inputs.expand(shard.seeds, *inputs.shape))  # (s, B, C)
        target = labels.expand(shard.seeds, -1)
        scores.append(Scores(cross_entropy(logits, target), logits.argmax(-1) == target))
    return scores


def means(of_shards: Sequence[Sequence[Scores]]) -> Means:
    """The means of each seed, from the scores of all batches of each shard.

    The shards are joined first: a sum over S rows may be rounded differently from one over fewer rows.
    """
    losses = torch.cat([torch.cat([batch.losses for batch in batches], dim=1) for batches in of_shards])  # (S, N)
    hits = torch.cat([torch.cat([batch.hits for batch in batches], dim=1) for batches in of_shards])
    sums = sums_dtype(losses.device)
    loss, share = torch.stack([losses.mean(1, dtype=sums), hits.mean(1, dtype=sums)]).tolist()
    return Means(loss, [100.0 * part for part in share], hits)
