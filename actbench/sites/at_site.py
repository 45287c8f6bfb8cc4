"""The module at one site of a network: an activation that was put in, or the network's own as it can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from actbench.sites import kinds
from actbench.sites.finding import shallow_copy
from actbench.sites.site import Call, Site


class AtSite(nn.Module):
    """The activation at one site, which gets its units along the second axis, whatever the network's layout.

    An activation of the network's own is no child of this module, since the network has it.

    Args:
        activation: of z (B, F, ...).
        axis: of the network's tensor, which counts its units.
        overwrites: whether the input takes the value of the output, since the network reads it again after an
            activation in place.
        copies: whether the network gets a copy of the output, since it writes to it, and an activation that was put
            in may need its output in the backward pass, as tanh does.
        own: whether it is the network's own.
    """

    activation: nn.Module

    def __init__(self, activation: nn.Module, *, axis: int, overwrites: bool, copies: bool, own: bool) -> None:
        super().__init__()
        self.axis, self.overwrites, self.copies, self.own = axis, overwrites, copies, own
        if own:
            self.__dict__["activation"] = activation
        else:
            self.activation = activation

    def forward(self, x: Tensor, call: Call | None = None) -> Tensor:
        """x -> f(x), of the same shape; `call` is what the network calls, if it is its own."""
        with torch._C.DisableTorchFunction(), _calling(self.activation, call):  # what it calls is no site
            z = x.clone() if self.overwrites else x
            h = self.activated(z.movedim(self.axis, 1)).movedim(1, self.axis) if self.axis > 1 else self.activated(z)
            if self.copies:
                h = h.clone()
            return x.copy_(h) if self.overwrites else h

    def activated(self, z: Tensor) -> Tensor:
        """z (B, F, ...) -> f(z), of the same shape."""
        return self.activation(z)

    def train(self, mode: bool = True) -> AtSite:
        """As of every module; an own activation is no child, and has to be told."""
        super().train(mode)
        self.activation.train(mode)
        return self


class OwnCall(nn.Module):
    """A function that the network calls, as a module; `call` is the last call of it, or that of the trial."""

    def __init__(self, kind: str, call: Call) -> None:
        super().__init__()
        self.kind, self.call = kind, call

    def forward(self, z: Tensor) -> Tensor:
        """z -> f(z), of the same shape."""
        function, rest, named = self.call.function, self.call.rest, self.call.named
        if kinds.works_in_place(function, (z, *rest), named):
            return kinds.out_of_place(function, (z, *rest), named)
        return function(z, *rest, **named)

    def extra_repr(self) -> str:
        """What `print` shows of the module: the kind."""
        return self.kind


class InLayout(nn.Module):
    """An own activation, which is given its tensor as the network lays it out: the last bits may depend on that."""

    def __init__(self, activation: nn.Module, axis: int) -> None:
        super().__init__()
        self.activation, self.axis = activation, axis

    def forward(self, z: Tensor) -> Tensor:
        """z (B, F, ...) -> f(z), of the same shape."""
        if z.ndim <= self.axis:  # looked at by itself, not in the network
            return self.activation(z)
        return self.activation(z.movedim(1, self.axis)).movedim(self.axis, 1)


def at_site(site: Site, network: nn.Module, new: nn.Module | None) -> AtSite:
    """What stands at a site from now on: `new`, or the network's own activation."""
    if new is not None:
        return AtSite(new, axis=site.axis, overwrites=site.overwrites, copies=site.written, own=False)
    own: nn.Module
    if site.module is None:
        assert site.call is not None
        own = OwnCall(site.kind, site.call)
    else:
        own = shallow_copy(network.get_submodule(site.module))
        if getattr(own, "inplace", False):
            own.inplace = False  # type: ignore[assignment]
    if site.axis > 1:
        own = InLayout(own, site.axis)
    return AtSite(own, axis=site.axis, overwrites=site.overwrites, copies=False, own=True)


@contextmanager
def _calling(activation: Any, call: Call | None) -> Iterator[None]:
    """Within the block, the function that the network calls has the arguments of this call."""
    module = activation.activation if isinstance(activation, InLayout) else activation
    if call is None or not isinstance(module, OwnCall):
        yield
        return
    before, module.call = module.call, call
    try:
        yield
    finally:
        module.call = before
