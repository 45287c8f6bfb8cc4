"""The size of gradients: of the whole network and of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actbench.measures.quantities import Row, measured

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.stacking import ReplicaGroup, Replicas


@dataclass(frozen=True)
class LayerGradient(Row):
    """The column of `layers.csv` for the gradient of a layer."""

    grad_norm: float = measured(
        "Euclidean norm of the gradient of the layer's parameters before clipping, mean over up to 8 steps of the "
        "epoch; before training, that of the first validation samples.",
        title="gradient norm", tag="grad_norm/{layer}",
    )  # fmt: skip


def gradient_norms(group: ReplicaGroup) -> tuple[Tensor, Tensor]:
    """Euclidean norms of the gradients of the last backward pass: of all parameters (s,), and of each layer (L, s).

    The parameters of a layer include those of its normalisation and its activation. A site that no layer's output
    reaches alone, in a network of one's own, has no norm (NaN).
    """
    import torch

    from actbench.clipping import seed_norms
    from actbench.stacking import layers_of_parameters

    gradients, owners = group.gradients(), layers_of_parameters(group.network)
    total = seed_norms(list(gradients.values()))  # (s,)
    of_layers: dict[str, list[Tensor]] = {layer: [] for layer in group.sites()}
    for name, gradient in gradients.items():
        layer = owners.get(name)
        if layer is not None:
            of_layers[layer].append(gradient)
    owning = {*owners.values()}
    norms = [
        seed_norms(g) if g else torch.full_like(total, 0.0 if layer in owning else torch.nan)
        for layer, g in of_layers.items()
    ]
    return total, torch.stack(norms) if norms else total.new_zeros(0, len(total))


def untrained_gradient_norms(network: Replicas, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The same, (S,) and (L, S), for the mean loss over x (B, ...) and y (B,) in evaluation mode.

    `network` must have no gradients, and has none afterwards.
    """
    import torch
    import torch.nn.functional as F

    network.eval()
    logits = network(x.expand(network.seeds, *x.shape))  # (S, B, C)
    loss = F.cross_entropy(logits.flatten(0, 1), y.repeat(network.seeds), reduction="sum") / len(y)
    with network.recomputing():
        loss.backward()
    total, layers = zip(*(gradient_norms(group) for group in network.groups), strict=True)
    network.zero_grad(set_to_none=True)
    return torch.cat(total), torch.cat(layers, dim=1)
