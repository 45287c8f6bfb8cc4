"""Histograms of pre-activations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from actbench.measures.computing.sums import sums_dtype
from actbench.stacking import Replicas

BINS = 64


@dataclass(frozen=True)
class Histogram:
    """`counts` (BINS,) between `edges` (BINS + 1,), with the exact sums over all values."""

    edges: list[float]
    counts: list[float]
    num: int
    sum: float
    sum_squares: float
    min: float
    max: float


@torch.no_grad()
def preactivation_histograms(network: Replicas, x: Tensor) -> dict[str, list[Histogram | None]]:
    """`preactivation/LAYER` -> each seed's histogram of z over the samples x (B, ...), in evaluation mode.

    None where not all values are finite.
    """
    kept: dict[str, list[Tensor]] = {layer: [] for layer in network.layers()}
    handles = []

    def keep(_module: object, arguments: tuple[Tensor, ...], *, layer: str, stacked: bool) -> None:
        z = arguments[0].float().clone()  # the activation may write to it
        kept[layer].extend(z.unbind() if stacked else [z])

    for group in network.groups:
        for layer, module in group.sites().items():
            handles.append(module.register_forward_pre_hook(partial(keep, layer=layer, stacked=group.stacked)))
    try:
        network.eval()
        network(x.expand(network.seeds, *x.shape))
    finally:
        for handle in handles:
            handle.remove()
    return {f"preactivation/{layer}": [histogram(z) for z in values] for layer, values in kept.items()}


def histogram(z: Tensor) -> Histogram | None:
    """The histogram of all values of `z`; None where not all are finite, or all are equal."""
    low, high = (float(bound) for bound in z.aminmax())
    if not (torch.isfinite(z).all() and low < high):
        return None
    counts = torch.histc(z, BINS, low, high)
    edges = torch.linspace(low, high, BINS + 1)
    exact = z.to(sums_dtype(z.device))
    total, squares = exact.sum(), exact.square().sum()
    return Histogram(edges.tolist(), counts.tolist(), z.numel(), float(total), float(squares), low, high)
