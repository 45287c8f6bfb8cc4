"""What is wrong with units: dead, dormant, saturated; and how active they are.

A unit is a feature of a linear layer or a channel of a convolution (all its positions together), at an activation site
with pre-activation z and output h = f(z). f' comes from autograd, so that the words mean the same for every activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from actbench.machine import sums_dtype
from actbench.stacking import Ensemble, Member

DORMANT = 0.025  # τ of Sokar et al. 2023, arXiv:2302.12902
SATURATED = 0.01  # share of the steepest slope below which a unit's slopes all lie
STATISTICS = ("dead", "dormant", "saturated", "active", "mean", "std")

_TAUS = (0.0, 0.01, DORMANT, 0.05, 0.1)
_SELDOM = 0.01  # share of samples
DEFINITIONS = ("exact", *(f"dormant<={tau:g}" for tau in _TAUS), f"fires<{_SELDOM:.0%}")  # see DefinitionRecord

_CHUNK = 1 << 18  # elements looked at in one go: what a core's cache holds, so that the passes over them are cheap
_GRID = torch.linspace(-10.0, 10.0, 801)  # where the steepest slope of an activation is looked for

Apply = Callable[[Tensor], Tensor]  # z (S, B, F, ...) -> f(z), for the S seeds that one module serves


@dataclass
class _Site:
    """Running sums over the samples of one activation site, for the seeds that one module serves: (S,) or (S, F)."""

    apply: Apply
    parameters: int = 0  # values of one seed's parameter: more than one means that units differ
    selects: bool = False  # the activation lets some units through, by all of them: then these are the active ones
    thorough: bool = True  # otherwise only what tells the dead
    pairs: int = 0  # (sample, position) pairs of one unit
    sums: dict[str, Tensor] = field(default_factory=dict)

    def observe(self, z: Tensor) -> None:
        """Takes a batch of pre-activations (S, B, F, ...)."""
        per_sample = max(1, z[:, 0].numel())
        portion = max(1, _CHUNK // per_sample) if z.device.type == "cpu" else z.shape[1]
        for part in z.split(portion, dim=1):
            self._observe(part.to(torch.promote_types(part.dtype, torch.float32)))
        self.pairs += z.shape[1] * z[0, 0, 0].numel()

    def _observe(self, z: Tensor) -> None:
        h, slope = slopes(self.apply, z)
        peak = _over_samples(torch.amax, slope.abs())
        self.sums["peak"] = peak if "peak" not in self.sums else torch.maximum(self.sums["peak"], peak)
        if not self.thorough:
            return
        scratch = torch.empty_like(h)  # for shares as numbers, which are added up ten times as fast
        of_a_sample = tuple(range(2, z.ndim))
        double = sums_dtype(z.device)  # for sums over samples: all of a chunk would cost float32 too many digits
        active = torch.ne(h, 0, out=scratch) if self.selects else torch.gt(z, 0, out=scratch)
        self._add("active", _over_samples(torch.sum, active).to(double))
        self._add("output", h.sum(of_a_sample).to(double).sum(1))
        self._add("square", torch.linalg.vector_norm(h, dim=of_a_sample).to(double).square().sum(1))
        self._add("absolute", _over_samples(torch.sum, torch.abs(h, out=scratch)).to(double))

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    @property
    def dead(self) -> Tensor:
        """Which units are dead: (S, F)."""
        return self.sums["peak"] == 0

    def judge(self) -> Tensor:
        """The shares and moments named in STATISTICS: (6, S)."""
        sums, units = self.sums, self.sums["peak"].shape[1]
        values = units * self.pairs  # of one seed
        mean = sums["output"] / values
        square = sums["square"] / values
        return torch.stack(
            [
                _share(self.dead),
                _share(self._dormant(DORMANT)),
                _share(sums["peak"] < SATURATED * self._steepest()),
                sums["active"].sum(1) / values,
                mean,
                (square - mean.square()).clamp(min=0).sqrt(),
            ]
        )

    def define(self) -> Tensor:
        """The share of units that are dead by each of DEFINITIONS: (7, S)."""
        seldom = self.sums["active"] / self.pairs < _SELDOM
        return torch.stack([_share(self.dead), *(_share(self._dormant(tau)) for tau in _TAUS), _share(seldom)])

    def _dormant(self, tau: float) -> Tensor:
        size = self.sums["absolute"]  # (S, F): of each unit, not yet divided by its pairs
        return size <= tau * size.mean(1, keepdim=True)

    def _steepest(self) -> Tensor:
        peak = self.sums["peak"]  # (S, F)
        if self.selects:  # no unit has a slope by itself
            return peak.amax(1, keepdim=True)
        return steepest_slope(self.apply, peak.shape[1] if self.parameters > 1 else 1, len(peak), peak)


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


def slopes(apply: Apply, z: Tensor) -> tuple[Tensor, Tensor]:
    """(f(z), f'(z)) of an elementwise f, both of z's shape."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        h = apply(z)
        if not h.requires_grad:  # a constant
            return h, torch.zeros_like(h)
        (slope,) = torch.autograd.grad(h.sum(), z)
    return h.detach(), slope


def steepest_slope(apply: Apply, units: int, seeds: int, like: Tensor) -> Tensor:
    """The largest |f'(z)| for z in [-10, 10], (S, F), or (S, 1) where all units share one activation; as `like` is."""
    z = _GRID.to(like).view(1, -1, 1).expand(seeds, -1, units)
    return slopes(apply, z)[1].abs().amax(1)


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
        """Layer -> the largest |f'(z)| of each unit over all samples, (S, F), on the CPU: 0 is dead."""
        return {layer: torch.cat([s.sums["peak"] for s in sites]).cpu() for layer, sites in self._sites.items()}


@contextmanager
def watch_units(network: Ensemble, *, thorough: bool = True) -> Iterator[UnitWatch]:
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
            site = _Site(*_as_stacked(module, member), _selects(module), thorough)
            sites[layer].append(site)
            handles.append(module.register_forward_pre_hook(partial(_look, site, member.stacked)))
    try:
        yield UnitWatch(sites)
    finally:
        for handle in handles:
            handle.remove()


def _selects(module: nn.Module) -> bool:
    """Whether an activation keeps some units and drops others, by all of them, as `TopK` does."""
    return any(getattr(part, "selects", False) for part in module.modules())


def _look(site: _Site, stacked: bool, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    (z,) = arguments
    with torch.autocast(z.device.type, enabled=False):
        site.observe(z if stacked else z.unsqueeze(0))


def _as_stacked(module: nn.Module, member: Member) -> tuple[Apply, int]:
    """The module without its hooks, as a function of z (S, B, F, ...), and the values that one seed's parameter has."""
    parameters = max((parameter.numel() for parameter in module.parameters()), default=0) // member.seeds
    if member.stacked:
        return module.forward, parameters
    return lambda z: module.forward(z.squeeze(0)).unsqueeze(0), parameters
