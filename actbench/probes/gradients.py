"""The size of gradients: of the whole network and of each layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from actbench.clipping import seed_norms
from actbench.stacking import Ensemble, layer_of


def gradient_norms(network: Ensemble, layers: Sequence[str]) -> Tensor:
    """Euclidean norms of the gradients that the last backward pass left: (1 + L, S), the whole network first.

    A layer's gradient is that of all parameters within it, its norm's and its activation's too.
    """
    return torch.cat([_norms(gradients, layers) for gradients in network.gradients()], dim=1)


def _norms(gradients: dict[str, Tensor], layers: Sequence[str]) -> Tensor:
    whole = seed_norms(list(gradients.values()))
    of_layers: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for name, gradient in gradients.items():
        layer = layer_of(name, layers)
        if layer is not None:
            of_layers[layer].append(gradient)
    return torch.stack([whole, *(seed_norms(g) if g else torch.zeros_like(whole) for g in of_layers.values())])


def untrained_gradient_norms(network: Ensemble, x: Tensor, y: Tensor, layers: Sequence[str]) -> Tensor:
    """The same for the mean loss over x (B, ...) and y (B,) in evaluation mode, for a network without gradients."""
    network.eval()
    logits = network(x.expand(network.seeds, *x.shape))  # (S, B, C)
    loss = F.cross_entropy(logits.flatten(0, 1), y.repeat(network.seeds), reduction="sum") / len(y)
    loss.backward()
    norms = gradient_norms(network, layers)
    network.zero_grad(set_to_none=True)
    return norms
