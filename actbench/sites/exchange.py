"""Another activation at the sites of a network, or its own ones where they can be looked at."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actbench.errors import UserError
from actbench.sites import kinds
from actbench.sites.finding import Site
from actbench.sites.places import Place, place_of

Make = Callable[[Site], nn.Module]  # a fresh activation for a site


class AtSite(nn.Module):
    """The activation at one site, which gets its units along the second axis, whatever the network's layout.

    Args:
        activation: of z (B, F, ...).
        axis: of the network's tensor that counts units.
        overwrites: whether the input takes the value of the output, which the network reads again.
    """

    def __init__(self, activation: nn.Module, *, axis: int = 1, overwrites: bool = False) -> None:
        super().__init__()
        self.activation, self.axis, self.overwrites = activation, axis, overwrites

    def forward(self, x: Tensor) -> Tensor:
        """x -> f(x), of the same shape."""
        with torch._C.DisableTorchFunction():  # what an activation calls is no site of the network
            z = x.clone() if self.overwrites else x
            h = self.activation(z.movedim(self.axis, 1)).movedim(1, self.axis) if self.axis > 1 else self.activation(z)
            return x.copy_(h) if self.overwrites else h


class OwnCall(nn.Module):
    """A function that the network calls, as a module; the arguments behind its input are those of the last call."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.call: Callable[[Tensor], Tensor] = lambda z: z

    def forward(self, z: Tensor) -> Tensor:
        return self.call(z)

    def extra_repr(self) -> str:
        return self.kind


class ByCaller(nn.Module):
    """An activation that stood at several places of a network, with one of its own for each of them."""

    def __init__(self, at: Mapping[Place | None, AtSite], paths: Mapping[int, str]) -> None:
        super().__init__()
        self.sites = nn.ModuleList(at.values())
        self.places = list(at)
        self.paths = paths

    def forward(self, x: Tensor) -> Tensor:
        place = place_of(sys._getframe(1), self.paths)
        return self.sites[self.places.index(place)](x)


class Exchanged(nn.Module):
    """A network, the activations at whose sites can be looked at, and are others if `make` is given.

    Args:
        network: which belongs to this module from now on, and is changed.
        sites: of the network, from `finding.find`.
        make: a site -> the activation that it gets; None: its own.

    Attributes:
        sites: name of a site -> the `AtSite` there, of those that are exchanged.
    """

    def __init__(self, network: nn.Module, sites: Sequence[Site], make: Make | None = None) -> None:
        super().__init__()
        self.network = network
        self.paths = {id(module): name for name, module in network.named_modules()}
        self.at: dict[str, AtSite] = {}
        self.calls: dict[tuple[str, Place | None], AtSite | None] = {}
        at_modules: dict[str, dict[Place | None, Site]] = {}
        for site in sites:
            if site.module is not None:
                at_modules.setdefault(site.module, {})[site.place] = site
            else:
                here = self._at(site, make) if site.exchangeable else None
                self.calls[site.kind, site.place] = here
        for path, places in at_modules.items():
            self._replace(path, places, make)
        self.called = nn.ModuleList([here for here in self.calls.values() if here is not None])

    def _at(self, site: Site, make: Make | None) -> AtSite:
        if make is not None:
            activation = make(site)
        elif site.module is None:
            activation = OwnCall(site.kind)
        else:
            activation = copy.copy(self.network.get_submodule(site.module))  # which shares its parameters
            if getattr(activation, "inplace", False):
                activation.inplace = False  # type: ignore[assignment]
        here = AtSite(activation, axis=site.axis if make is not None else 1, overwrites=site.overwrites)
        self.at[site.name] = here
        return here

    def _replace(self, path: str, places: Mapping[Place | None, Site], make: Make | None) -> None:
        if not all(site.exchangeable for site in places.values()):
            return
        at = {place: self._at(site, make) for place, site in places.items()}
        new = next(iter(at.values())) if len(at) == 1 else ByCaller(at, self.paths)
        above, _, last = path.rpartition(".")
        self.network.get_submodule(above)._modules[last] = new

    def forward(self, x: Tensor) -> Any:
        """What the network computes."""
        if not self.calls:
            return self.network(x)
        with _Calls(self):
            return self.network(x)


class _Calls(TorchFunctionMode):
    """Takes the calls of activations to their sites."""

    def __init__(self, exchanged: Exchanged) -> None:
        super().__init__()
        self.of = exchanged

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        kind = kinds.called(func, args, kwargs)
        if kind is None or not args or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        place = place_of(sys._getframe(1), self.of.paths)
        if (kind, place) not in self.of.calls:
            raise UserError("not met at the trial", where=f"{kind} in {place}")
        here = self.of.calls[kind, place]
        if here is None:
            return func(*args, **kwargs)
        if isinstance(here.activation, OwnCall):
            in_place = kinds.works_in_place(func, args, kwargs)
            compute = kinds.out_of_place if in_place else _plainly
            here.activation.call = lambda z: compute(func, (z, *args[1:]), kwargs)
        return here(args[0])


def _plainly(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return function(*args, **kwargs)
