"""What is wrong with units: dead, dormant, saturated; and how active they are.

A unit is a feature of a linear layer or a channel of a convolution (all its positions together), at an activation site
with pre-activation z and output h = f(z). f' comes from autograd, so that the words mean the same for every activation.

Where f is not elementwise (softmax, what centres or normalises, units that compete) a unit has no slope of its own.
What matters is how much of a gradient reaches it through all outputs, the norm of its column of the Jacobian,
c_i = sqrt(Σ_j (∂h_j/∂z_i)²), which is |f'(z_i)| where f is elementwise:

- dead: c_i is exactly 0 for every sample and position, so that no gradient can reach the unit. One backward pass of a
  gradient without any structure tells that: Σ_j v_j ∂h_j/∂z_i with v_j drawn from N(0, 1) is 0 only if the column is.
- saturated: c_i < 0.01 × the largest c of the layer, for each of the first `_COLUMN_SAMPLES` samples. Not defined, and
  NaN, where a sample's outputs depend on other samples, or are too many for a backward pass each.
- dormant, active, mean and std need no slope, and mean what they always do.

A layer in which some unit's outputs or slopes are not finite numbers has no shares: they are NaN.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from actbench.activations.coupling import Apply, Coupling, any_gradient, column_norms, coupling_of, is_known, selects
from actbench.measures.sums import sums_dtype
from actbench.stacking import Member, Replicas, StackedLearned, StackedPReLU
from actbench.stacking.layers import PerSample

DORMANT = 0.025  # τ of Sokar et al. 2023, arXiv:2302.12902
SATURATED = 0.01  # share of the steepest slope below which a unit's slopes all lie
STATISTICS = ("dead", "dormant", "saturated", "active", "mean", "std")

_TAUS = (0.0, 0.01, DORMANT, 0.05, 0.1)
_SELDOM = 0.01  # share of samples
DEFINITIONS = ("exact", *(f"dormant<={tau:g}" for tau in _TAUS), f"fires<{_SELDOM:.0%}")  # see DefinitionRecord

_CHUNK = 1 << 18  # elements looked at in one go: what a core's cache holds, so that the passes over them are cheap
_GRID = torch.linspace(-10.0, 10.0, 801)  # where the steepest slope of an activation is looked for
_STACKED = (StackedPReLU, StackedLearned, PerSample)  # forms of activations that are known
_COLUMN_SAMPLES = 32  # samples whose column norms are computed one by one


@dataclass
class _Site:
    """Running sums over the samples of one activation site, for the seeds that one module serves: (S,) or (S, F)."""

    apply: Apply
    parameters: int = 0  # values of one seed's parameter: more than one means that units differ
    selects: bool = False  # the activation lets some units through, by all of them: then these are the active ones
    thorough: bool = True  # otherwise only what tells the dead
    foreign: bool = False  # the activation is anyone's: whether it is elementwise is seen from the first samples
    coupling: Coupling = field(default_factory=Coupling)
    positions: int = 0  # dimensions behind the units
    pairs: int = 0  # (sample, position) pairs of one unit
    outputs: int = 0  # values of h of one seed
    sums: dict[str, Tensor] = field(default_factory=dict)

    def observe(self, z: Tensor) -> None:
        """Takes a batch of pre-activations (S, B, F, ...)."""
        per_sample = max(1, z[:, 0].numel())
        portion = max(1, _CHUNK // per_sample) if z.device.type == "cpu" else z.shape[1]
        if self.foreign and self.pairs == 0:
            self.coupling = coupling_of(self.apply, _wide(z))
        if self.coupling:
            self._observe_coupled(_wide(z), z.shape[1] if self.coupling.samples else portion)
        else:
            for part in map(_wide, z.split(portion, dim=1)):
                self._observe(part, *slopes(self.apply, part))
        self.positions = z.ndim - 3
        self.pairs += z.shape[1] * z[0, 0, 0].numel()

    def _observe(self, z: Tensor, h: Tensor, slope: Tensor) -> None:
        peak = _over_samples(torch.amax, slope.abs())
        self.sums["peak"] = peak if "peak" not in self.sums else torch.maximum(self.sums["peak"], peak)
        self.outputs += h[0].numel()
        if not self.thorough:
            self._add("absolute", _over_samples(torch.sum, h).abs().to(sums_dtype(z.device)))  # is it finite?
            return
        scratch = torch.empty_like(h)  # for shares as numbers, which are added up ten times as fast
        of_a_sample = tuple(range(2, h.ndim))
        double = sums_dtype(z.device)  # for sums over samples: all of a chunk would cost float32 too many digits
        active = torch.ne(h, 0, out=scratch) if self.selects else torch.gt(z, 0, out=_like(scratch, z))
        self._add("active", _over_samples(torch.sum, active).to(double))
        self._add("output", h.sum(of_a_sample).to(double).sum(1))
        self._add("square", torch.linalg.vector_norm(h, dim=of_a_sample).to(double).square().sum(1))
        self._add("absolute", _over_samples(torch.sum, torch.abs(h, out=scratch)).to(double))

    def _observe_coupled(self, z: Tensor, portion: int) -> None:
        """The same for an f that is not elementwise: what reaches a unit of any gradient stands for its slope."""
        left = _COLUMN_SAMPLES - self.pairs // z[0, 0, 0].numel()
        if self.thorough and left > 0:
            norms = column_norms(self.apply, z[:, :left], self.coupling)
            if norms is not None:
                columns = _over_samples(torch.amax, norms)
                self.sums["columns"] = torch.maximum(self.sums.get("columns", columns), columns)
        for part in z.split(portion, dim=1):
            self._observe(part, *slopes(self.apply, part, any_gradient))

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    @property
    def dead(self) -> Tensor:
        """Which units are dead: (S, F)."""
        return self.sums["peak"] == 0

    @property
    def lost(self) -> Tensor:
        """The seeds of which some unit has outputs or slopes that are not numbers: (S,)."""
        return self.sums["peak"].isnan().any(1) | ~self.sums["absolute"].isfinite().all(1)

    def peaks(self) -> Tensor:
        """The largest |f'(z)| of each unit (S, F); NaN where it is not known, or an output is not finite."""
        peak, absolute = self.sums["peak"], self.sums["absolute"]
        if absolute.shape != peak.shape:  # f gives more or fewer outputs than it has inputs
            return peak.masked_fill(self.lost[:, None], math.nan)
        return peak.masked_fill(~absolute.isfinite(), math.nan)

    def judge(self) -> Tensor:
        """The shares and moments named in STATISTICS: (6, S)."""
        sums, units = self.sums, self.sums["peak"].shape[1]
        values = self.outputs if self.selects else units * self.pairs  # of one seed
        mean = sums["output"] / self.outputs
        square = sums["square"] / self.outputs
        std = (square - mean.square()).clamp(min=0).sqrt()
        shares = [
            _share(self.dead),
            _share(self._dormant(DORMANT)),
            self._saturated(),
            sums["active"].sum(1) / values,
        ]
        moments = torch.stack([mean, std])
        return torch.cat(
            [
                torch.stack(shares).masked_fill(self.lost, math.nan),
                moments.masked_fill(~moments.isfinite(), math.nan),
            ]
        )

    def define(self) -> Tensor:
        """The share of units that are dead by each of DEFINITIONS: (7, S)."""
        seldom = self.sums["active"] / self.pairs < _SELDOM
        shares = [_share(self.dead), *(_share(self._dormant(tau)) for tau in _TAUS), _share(seldom)]
        return torch.stack(shares).masked_fill(self.lost, math.nan)

    def _dormant(self, tau: float) -> Tensor:
        size = self.sums["absolute"]  # (S, F): of each unit, not yet divided by its pairs
        return size <= tau * size.mean(1, keepdim=True)

    def _saturated(self) -> Tensor:
        """(S,)"""
        peak = self.sums["peak"]  # (S, F)
        if not self.coupling:
            return _share(peak < SATURATED * self._steepest())
        columns = self.sums.get("columns")
        if columns is None:
            return torch.full_like(_share(self.dead), math.nan)
        return _share(columns < SATURATED * columns.amax(1, keepdim=True))

    def _steepest(self) -> Tensor:
        peak = self.sums["peak"]  # (S, F)
        if self.selects:  # no unit has a slope by itself
            return peak.amax(1, keepdim=True)
        units = peak.shape[1] if self.parameters > 1 else 1
        if not self.foreign:
            return steepest_slope(self.apply, units, len(peak), peak)
        try:
            steepest = steepest_slope(self.apply, units, len(peak), peak, positions=self.positions)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):  # it counts on a layer's shape
            return peak.amax(1, keepdim=True)
        return steepest if steepest.shape[1] == units else peak.amax(1, keepdim=True)


def _wide(z: Tensor) -> Tensor:
    return z.to(torch.promote_types(z.dtype, torch.float32))


def _like(scratch: Tensor, z: Tensor) -> Tensor:
    return scratch if scratch.shape == z.shape else torch.empty_like(z)


def _share(units: Tensor) -> Tensor:
    """(S, F) of yes and no -> (S,)."""
    return units.to(sums_dtype(units.device)).mean(1)


def _over_samples(reduce: Callable[..., Tensor], values: Tensor) -> Tensor:
    """Reduces (S, B, F, ...) to (S, F): samples first, in the order of memory, then positions."""
    channels_last = values.ndim > 3 and not values.is_contiguous()
    if channels_last:
        values = values.movedim(2, -1)  # (S, B, ..., F)
    reduced = reduce(values, 1)
    positions = tuple(range(1, reduced.ndim - 1)) if channels_last else tuple(range(2, reduced.ndim))
    return reduce(reduced, positions) if positions else reduced


def slopes(apply: Apply, z: Tensor, gradient: Callable[[Tensor], Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """(f(z), f'(z)) of an elementwise f, both of z's shape; of another f, what reaches z of `gradient(f(z))`."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        h = apply(z)
        if not h.requires_grad:  # a constant
            return h, torch.zeros_like(z)
        (slope,) = torch.autograd.grad((h if gradient is None else h * gradient(h)).sum(), z)
    return h.detach(), slope


def steepest_slope(apply: Apply, units: int, seeds: int, like: Tensor, *, positions: int = 0) -> Tensor:
    """The largest |f'(z)| for z in [-10, 10], (S, F), or (S, 1) where all units share one activation; as `like` is.

    Slopes that are not finite, as that of sqrt|z| at 0, do not count. With `positions`, z has so many dimensions more.
    """
    z = _GRID.to(like).view(1, -1, 1, *(1,) * positions).expand(seeds, -1, units, *(1,) * positions)
    steep = slopes(apply, z)[1].abs()
    return steep.where(steep.isfinite(), 0).amax(1).flatten(1)


@dataclass
class UnitWatch:
    """What `watch_units` has seen so far."""

    _sites: dict[str, list[_Site]]

    @property
    def layers(self) -> list[str]:
        return list(self._sites)

    def units(self) -> list[int]:
        """Units of each layer."""
        return [sites[0].sums["peak"].shape[1] for sites in self._sites.values()]

    def judge(self) -> Tensor:
        """STATISTICS of every layer: (L, 6, S), still on the device."""
        return torch.stack([torch.cat([site.judge() for site in sites], dim=1) for sites in self._sites.values()])

    def define(self) -> Tensor:
        """The share of units that are dead by each of DEFINITIONS, in every layer: (L, 7, S), still on the device."""
        return torch.stack([torch.cat([site.define() for site in sites], dim=1) for sites in self._sites.values()])

    def peaks(self) -> dict[str, Tensor]:
        """Layer -> the largest |f'(z)| of each unit over all samples, (S, F), on the CPU: 0 is dead, NaN is not known.

        Of an f that is not elementwise any measure of it: what reaches the unit of some gradient.
        """
        return {layer: torch.cat([s.peaks() for s in sites]).cpu() for layer, sites in self._sites.items()}


@contextmanager
def watch_units(network: Replicas, *, thorough: bool = True) -> Iterator[UnitWatch]:
    """Within the block every forward pass of `network` is looked at, at each activation site.

    With `thorough` off it costs less, and the watch can only tell the `dead`.

    >>> with watch_units(network) as watch:  # doctest: +SKIP
    ...     network(x)
    >>> watch.judge()  # doctest: +SKIP
    """
    sites: dict[str, list[_Site]] = {layer: [] for layer in network.layers()}
    handles = []
    for member in network.members:
        for layer, module in member.sites().items():
            apply, parameters = _as_stacked(module, member)
            keeps_some = _selects(module, apply, member.seeds, parameters)
            site = _Site(apply, parameters, keeps_some, thorough, not is_known(module, *_STACKED))
            sites[layer].append(site)
            handles.append(module.register_forward_pre_hook(partial(_look, site, member.stacked)))
    try:
        yield UnitWatch(sites)
    finally:
        for handle in handles:
            handle.remove()


_SELECTS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # what was measured of the modules of a network


def _selects(module: nn.Module, apply: Apply, seeds: int, parameters: int) -> bool:
    """Whether an activation keeps some units and drops others, by all of them, as `TopK` does."""
    if module not in _SELECTS:
        like = next(module.parameters(), None)
        _SELECTS[module] = selects(apply, seeds=seeds, units=max(1, parameters), like=like)
    return _SELECTS[module]


def _look(site: _Site, stacked: bool, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    (z,) = arguments
    with torch.autocast(z.device.type, enabled=False):
        site.observe(z if stacked else z.unsqueeze(0))


def _as_stacked(module: nn.Module, member: Member) -> tuple[Apply, int]:
    """The module without its hooks, as a function of z (S, B, F, ...), and the values that one seed's parameter has.

    A module of unknown kind may write to what it is given, or keep something of it: it is a copy, and gets one.
    """
    known = is_known(module, *_STACKED)
    if not known:
        with suppress(RuntimeError):  # it keeps a tensor that cannot be copied
            module = copy.deepcopy(module)
    held = [*module.parameters(), *(() if known else module.buffers())]
    parameters = max((tensor.numel() for tensor in held), default=0) // member.seeds
    forward = module.forward if known else lambda z: module.forward(z.clone())
    if member.stacked:
        return forward, parameters
    return lambda z: forward(z.squeeze(0)).unsqueeze(0), parameters
