"""Statistics of batch normalisation for a network that has not been trained yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from actbench.stacking import Replicas


@contextmanager
def as_if_trained_on(network: Replicas, x: Tensor) -> Iterator[None]:
    """Within the block the running statistics of batch normalisation are those of the samples x (B, ...).

    Before the first step they are 0 and 1 and normalise nothing: in evaluation mode the network would differ from the
    one that is about to be trained. Afterwards they are restored, bit for bit.
    """
    norms = [module for module in network.modules() if isinstance(getattr(module, "running_mean", None), Tensor)]
    if not norms or len(x) < 2:  # one sample has no standard deviation
        yield
        return
    buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
    before = [buffer.clone() for buffer in buffers]
    try:
        _take_statistics(network, norms, x)
        yield
    finally:
        for buffer, old in zip(buffers, before, strict=True):
            buffer.copy_(old)


@torch.no_grad()
def _take_statistics(network: Replicas, norms: list[nn.Module], x: Tensor) -> None:
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0  # type: ignore[assignment]  # so that earlier statistics do not count
    try:
        network(x.expand(network.seeds, *x.shape))
    finally:
        network.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
