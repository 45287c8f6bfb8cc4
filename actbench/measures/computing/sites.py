"""Statistics of the activation sites of a network while it is evaluated; `measures.units` defines the terms."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from actbench.activations.coupling import Apply, Coupling, any_gradient, column_norms, coupling_of, is_known, selects
from actbench.errors import UserError
from actbench.measures.computing.slopes import slopes, steepest_slope
from actbench.measures.computing.sums import sums_dtype
from actbench.measures.definitions import SELDOM, TAUS
from actbench.measures.look import SiteObserver
from actbench.measures.units import DORMANT, SATURATED
from actbench.stacking import Replicas, StackedLearned, StackedPReLU
from actbench.stacking.protocol import PerSample

_CHUNK = 1 << 18  # elements processed at a time: they fit into a core's cache, so that several passes are cheap
STACKED = (StackedPReLU, StackedLearned, PerSample)  # forms of activations that are known
_COLUMN_SAMPLES = 32  # samples whose column norms are computed one by one


@dataclass
class SiteSums:
    """Running sums over the samples of one activation site, for the seeds that one module serves: (S,) or (S, F)."""

    apply: Apply
    parameters: int = 0  # values of one seed's parameter: more than one means that units differ
    selects: bool = False  # the activation compares units and lets some through: these are the active ones
    thorough: bool = True  # False: only what is needed to find dead units
    observers: dict[type, SiteObserver] = field(default_factory=dict)  # what single measurements add up
    foreign: bool = False  # a user's own activation: whether it is elementwise is measured on the first samples
    coupling: Coupling = field(default_factory=Coupling)
    positions: int = 0  # number of dimensions after the units, such as H and W
    pairs: int = 0  # (sample, position) pairs of one unit
    outputs: int = 0  # values of h of one seed
    sums: dict[str, Tensor] = field(default_factory=dict)

    def observe(self, z: Tensor) -> None:
        """Adds a batch of pre-activations (S, B, F, ...)."""
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
        for observer in self.observers.values():
            observer.update(z.detach(), h, slope)
        scratch = torch.empty_like(h)  # booleans as floats, which are summed ten times as fast
        of_a_sample = tuple(range(2, h.ndim))
        double = sums_dtype(z.device)  # for sums over samples, in which float32 would lose too many digits
        active = torch.ne(h, 0, out=scratch) if self.selects else torch.gt(z, 0, out=_like(scratch, z))
        self._add("active", _over_samples(torch.sum, active).to(double))
        self._add("output", h.sum(of_a_sample).to(double).sum(1))
        self._add("square", torch.linalg.vector_norm(h, dim=of_a_sample).to(double).square().sum(1))
        self._add("absolute", _over_samples(torch.sum, torch.abs(h, out=scratch)).to(double))

    def _observe_coupled(self, z: Tensor, portion: int) -> None:
        """The same for an f that is not elementwise: the gradient that reaches a unit takes the place of its slope."""
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
        """The seeds in which some unit's outputs or slopes are not finite: (S,)."""
        return self.sums["peak"].isnan().any(1) | ~self.sums["absolute"].isfinite().all(1)

    def peaks(self) -> Tensor:
        """The largest |f'(z)| of each unit (S, F); NaN where it is not known, or an output is not finite."""
        peak, absolute = self.sums["peak"], self.sums["absolute"]
        if absolute.shape != peak.shape:  # f gives more or fewer outputs than it has inputs
            return peak.masked_fill(self.lost[:, None], math.nan)
        return peak.masked_fill(~absolute.isfinite(), math.nan)

    def statistics(self) -> Tensor:
        """The shares and moments that `measures.units.STATISTICS` names: (6, S)."""
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

    def dead_by_definition(self) -> Tensor:
        """The share of units that are dead by each of `measures.definitions.DEFINITIONS`: (7, S)."""
        seldom = self.sums["active"] / self.pairs < SELDOM
        shares = [_share(self.dead), *(_share(self._dormant(tau)) for tau in TAUS), _share(seldom)]
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
        if self.selects:  # a unit has no slope of its own
            return peak.amax(1, keepdim=True)
        units = peak.shape[1] if self.parameters > 1 else 1
        if not self.foreign:
            return steepest_slope(self.apply, units, len(peak), peak)
        try:
            steepest = steepest_slope(self.apply, units, len(peak), peak, positions=self.positions)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):  # it needs this layer's shape
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


@dataclass
class UnitWatch:
    """The statistics that `watch_units` has collected so far."""

    _sites: dict[str, list[SiteSums]]

    @property
    def layers(self) -> list[str]:
        """The layers that have an activation site, the first layer first."""
        return list(self._sites)

    def units(self) -> list[int]:
        """Units of each layer."""
        return [sites[0].sums["peak"].shape[1] for sites in self._sites.values()]

    def statistics(self) -> Tensor:
        """The shares and moments of every layer that `measures.units.STATISTICS` names: (L, 6, S), on the device."""
        return torch.stack([torch.cat([site.statistics() for site in sites], dim=1) for sites in self._sites.values()])

    def dead_by_definition(self) -> Tensor:
        """The share of units that are dead by each of `measures.definitions.DEFINITIONS`: (L, 7, S), on the device."""
        return torch.stack(
            [torch.cat([site.dead_by_definition() for site in sites], dim=1) for sites in self._sites.values()]
        )

    def peaks(self) -> dict[str, Tensor]:
        """Layer -> the largest |f'(z)| of each unit over all samples, (S, F), on the CPU: 0 is dead, NaN is not known.

        Where f is not elementwise, it is the gradient that reaches the unit from a random gradient of the outputs.
        """
        return {layer: torch.cat([s.peaks() for s in sites]).cpu() for layer, sites in self._sites.items()}

    def observed(self, observer: type[SiteObserver]) -> dict[str, Tensor]:
        """Layer -> what one kind of `observers` has found there, (S, ...), on the CPU.

        Raises:
            KeyError: it is not among the observers of this watch.
        """
        found = {layer: [site.observers[observer].finish() for site in sites] for layer, sites in self._sites.items()}
        return {layer: torch.cat(parts).cpu() for layer, parts in found.items()}


@contextmanager
def watch_units(
    network: Replicas, *, thorough: bool = True, observers: Sequence[type[SiteObserver]] = ()
) -> Iterator[UnitWatch]:
    """Within the block, every forward pass of `network` adds to the statistics of its activation sites.

    `thorough=False` costs less, and the watch then has only `peaks`, `layers` and `units`; otherwise one of each of
    `observers` is called at each site.

    >>> with watch_units(network) as watch:  # doctest: +SKIP
    ...     network(x)
    >>> watch.statistics()  # doctest: +SKIP
    """
    sites: dict[str, list[SiteSums]] = {layer: [] for layer in network.layers()}
    handles = []
    for group in network.groups:
        for layer, module in group.sites().items():
            apply, parameters = as_stacked(module, group.seeds, stacked=group.stacked)
            selecting = selects_units(module, apply, group.seeds, parameters)
            observing = {observer: observer() for observer in observers if thorough}
            site = SiteSums(apply, parameters, selecting, thorough, observing, not is_known(module, *STACKED))
            sites[layer].append(site)
            handles.append(module.register_forward_pre_hook(partial(_look, site, group.stacked)))
    try:
        yield UnitWatch(sites)
        _check_all_called(sites)
    finally:
        for handle in handles:
            handle.remove()


def _check_all_called(sites: Mapping[str, Sequence[SiteSums]]) -> None:
    """Raises a UserError where some sites were looked at and others were left out by their network."""
    seen = [all(one.sums for one in of_seeds) for of_seeds in sites.values()]
    left_out = ", ".join(layer for layer, called in zip(sites, seen, strict=True) if not called)
    if any(seen) and left_out:
        raise UserError("was not called over the validation split", where=left_out, how="probe=false")


_SELECTS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # measured once for each module of a network


def selects_units(module: nn.Module, apply: Apply, seeds: int, parameters: int) -> bool:
    """Whether an activation keeps some units and drops others, depending on all of them, as `TopK` does."""
    if module not in _SELECTS:
        like = next(module.parameters(), None)
        _SELECTS[module] = selects(apply, seeds=seeds, units=max(1, parameters), like=like)
    return _SELECTS[module]


def _look(site: SiteSums, stacked: bool, _module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
    (z,) = arguments
    with torch.autocast(z.device.type, enabled=False):
        site.observe(z if stacked else z.unsqueeze(0))


def as_stacked(module: nn.Module, seeds: int, *, stacked: bool) -> tuple[Apply, int]:
    """The module without its hooks, as a function of z (S, B, F, ...), and the values that one seed's parameter has.

    A module of unknown kind may write to its input, or keep a reference to it: it is copied, and so is its input.
    """
    known = is_known(module, *STACKED)
    if not known:
        with suppress(RuntimeError):  # it holds a tensor that cannot be copied
            module = copy.deepcopy(module)
    held = [*module.parameters(), *(() if known else module.buffers())]
    parameters = max((tensor.numel() for tensor in held), default=0) // seeds
    forward = module.forward if known else lambda z: module.forward(z.clone())
    if stacked:
        return forward, parameters
    return lambda z: forward(z.squeeze(0)).unsqueeze(0), parameters
