"""The size of gradients: of the whole network and of each layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from actbench.clipping import seed_norms
from actbench.stacking import Member, Replicas, layer_of


def gradient_norms(member: Member) -> Tensor:
    """Euclidean norms of the gradients that the last backward pass left: (1 + L, s), the whole network first.

    A layer's gradient is that of all parameters within it, its norm's and its activation's too.
    """
    gradients, layers = member.gradients(), list(member.sites())
    whole = seed_norms(list(gradients.values()))
    of_layers: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for name, gradient in gradients.items():
        layer = layer_of(name, layers)
        if layer is not None:
            of_layers[layer].append(gradient)
    return torch.stack([whole, *(seed_norms(g) if g else torch.zeros_like(whole) for g in of_layers.values())])


def untrained_gradient_norms(network: Replicas, x: Tensor, y: Tensor) -> Tensor:
    """The same (1 + L, S) for the mean loss over x (B, ...) and y (B,) in evaluation mode.

    `network` has no gradients before, and none afterwards.
    """
    network.eval()
    logits = network(x.expand(network.seeds, *x.shape))  # (S, B, C)
    loss = F.cross_entropy(logits.flatten(0, 1), y.repeat(network.seeds), reduction="sum") / len(y)
    loss.backward()
    norms = torch.cat([gradient_norms(member) for member in network.members], dim=1)
    network.zero_grad(set_to_none=True)
    return norms
