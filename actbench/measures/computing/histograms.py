"""The pre-activations that a network's activations see: their histograms, and how many lie where f' vanishes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from actbench.activations.coupling import Apply, coupling_of, is_known
from actbench.measures.computing.sites import STACKED, as_stacked, selects_units
from actbench.measures.computing.slopes import slopes, steepest_slope
from actbench.measures.computing.sums import sums_dtype
from actbench.measures.units import SATURATED
from actbench.stacking import ReplicaGroup, Replicas

BINS = 64
_AT_MOST = 1 << 19  # values of z of one seed and layer: a convolution has as many in a few images


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


@dataclass(frozen=True)
class Seen:
    """What the activation of one layer and seed saw.

    `histogram` is None where not all values of z are finite, or all are equal. `flat` is the share of them with
    f'(z) = 0, and `nearly_flat` that with |f'(z)| below a hundredth of the steepest slope; both NaN where f is not
    elementwise.
    """

    histogram: Histogram | None
    flat: float
    nearly_flat: float


@torch.no_grad()
def look_at_preactivations(network: Replicas, x: Tensor, *, with_slopes: bool = True) -> dict[str, list[Seen]]:
    """Layer -> what the activation of each seed sees in evaluation mode, for the samples x (B, ...).

    Of a layer with more than 2^19 values of z for a seed, the first samples count, and of one that runs several times
    in a pass, its first run. Nothing in the network changes.

    Args:
        network: of all seeds; it is in evaluation mode afterwards.
        x: samples, which every seed gets.
        with_slopes: whether the slopes are of interest; otherwise their shares are NaN.
    """
    seen: dict[str, list[Seen]] = {layer: [] for layer in network.layers()}
    handles = []

    def look(
        _module: object, arguments: tuple[Tensor, ...], *, layer: str, before: int, stacked: bool, shares: Shares
    ) -> None:
        if len(seen[layer]) > before:  # a loop of a network of one's own
            return
        z = arguments[0].detach() if stacked else arguments[0].detach().unsqueeze(0)  # (S, B, F, ...)
        z = z[:, : max(1, _AT_MOST // max(1, z[0, 0].numel()))]
        z = z.to(torch.promote_types(z.dtype, torch.float32), copy=True)  # the activation may write to it
        with torch.autocast(z.device.type, enabled=False):
            seen[layer] += [Seen(histogram(of), *share) for of, share in zip(z, shares(z), strict=True)]

    before = 0  # seeds of the groups that run before
    for group in network.groups:
        for layer, module in group.sites().items():
            shares = _shares_at(module, group) if with_slopes else _unknown
            hook = partial(look, layer=layer, before=before, stacked=group.stacked, shares=shares)
            handles.append(module.register_forward_pre_hook(hook))
        before += group.seeds
    try:
        network.eval()
        network(x.expand(network.seeds, *x.shape))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def histogram(z: Tensor) -> Histogram | None:
    """The histogram of all values of `z`; None where not all are finite, or all are equal."""
    low, high = (float(bound) for bound in z.aminmax())
    if not (math.isfinite(low) and math.isfinite(high) and low < high):  # NaN is the least and the greatest
        return None
    counts = torch.histc(z, BINS, low, high)
    edges = torch.linspace(low, high, BINS + 1)
    exact = z.to(sums_dtype(z.device))
    total, squares = exact.sum(), exact.square().sum()
    return Histogram(edges.tolist(), counts.tolist(), z.numel(), float(total), float(squares), low, high)


# ---------------------------------------------------------------- where the slope vanishes

Shares = Callable[[Tensor], list[tuple[float, float]]]  # z (S, B, F, ...) -> of each seed, `flat` and `nearly_flat`


def _unknown(z: Tensor) -> list[tuple[float, float]]:
    return [(math.nan, math.nan)] * len(z)


def _shares_at(module: nn.Module, group: ReplicaGroup) -> Shares:
    """How the shares at one activation site are computed."""
    apply, parameters = as_stacked(module, group.seeds, stacked=group.stacked)
    if selects_units(module, apply, group.seeds, parameters):
        return _unknown
    known = is_known(module, *STACKED)

    def shares(z: Tensor) -> list[tuple[float, float]]:
        if not known and coupling_of(apply, z):
            return _unknown(z)
        h, slope = slopes(apply, z)
        if h.shape != z.shape:
            return _unknown(z)
        steep = slope.abs()
        bound = SATURATED * _steepest(apply, parameters, steep)
        lost = (slope.isnan() | h.isnan()).flatten(1).any(1)
        flat, nearly = (
            here.flatten(1).to(sums_dtype(z.device)).mean(1).masked_fill(lost, math.nan).tolist()
            for here in (steep == 0, steep < bound)
        )
        return list(zip(flat, nearly, strict=True))

    return shares


def _steepest(apply: Apply, parameters: int, steep: Tensor) -> Tensor:
    """The largest |f'| of each activation, in a shape that broadcasts against `steep`, (S, B, F, ...)."""
    positions = steep.ndim - 3
    units = steep.shape[2] if parameters > 1 else 1
    try:
        steepest = steepest_slope(apply, units, len(steep), steep, positions=positions)  # (S, F) or (S, 1)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):  # it needs this layer's shape
        steepest = steep.amax((1, *range(3, steep.ndim)))
    return steepest.view(len(steep), 1, -1, *(1,) * positions)
