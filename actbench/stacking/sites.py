"""Where the activations of a network are, and which layer a parameter belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeGuard, runtime_checkable

from torch import nn


@runtime_checkable
class HasSites(Protocol):
    """A network whose activation sites do not follow from the names of its modules."""

    def activation_sites(self) -> dict[str, nn.Module]:
        """As the function of this name."""
        ...

    def layers_of_parameters(self) -> dict[str, str]:
        """As the function of this name."""
        ...

    def recomputing(self) -> AbstractContextManager[Any]:
        """The context of a backward pass that may run parts of the network again."""
        ...


def activation_sites(network: nn.Module) -> dict[str, nn.Module]:
    """Layer -> the module at its activation site, in the order of the network.

    An activation site is a child called `activation`; its layer is the module that holds it ("" for the network
    itself). A network with a method `activation_sites` says itself where they are.

    >>> from torch.nn import Linear, ReLU, Sequential
    >>> hidden = Sequential(); hidden.add_module("linear", Linear(4, 3)); hidden.add_module("activation", ReLU())
    >>> network = Sequential(); network.add_module("hidden1", hidden)
    >>> list(activation_sites(network))
    ['hidden1']
    """
    if says_its_own_sites(network):
        return network.activation_sites()
    modules = network.named_modules(remove_duplicate=False)
    return {
        name.removesuffix("activation").rstrip("."): module
        for name, module in modules
        if name.split(".")[-1] == "activation"
    }


def says_its_own_sites(network: nn.Module) -> TypeGuard[HasSites]:
    """Whether a network tells where its activations are, since their names do not."""
    return isinstance(network, HasSites)


def recomputing(network: nn.Module) -> AbstractContextManager[Any]:
    """The context of a backward pass, in which a network may run parts of itself again."""
    return network.recomputing() if says_its_own_sites(network) else nullcontext()


def layers_of_parameters(network: nn.Module) -> dict[str, str]:
    """Parameter -> the layer, out of those with an activation site, that it belongs to; without those of no layer."""
    if says_its_own_sites(network):
        return network.layers_of_parameters()
    layers = list(activation_sites(network))
    found = {name: layer_of(name, layers) for name, _ in network.named_parameters()}
    return {name: layer for name, layer in found.items() if layer is not None}


def layer_of(parameter: str, layers: Sequence[str]) -> str | None:
    """The layer, out of those with an activation site, that the parameter of this name belongs to; None if to none.

    The second linear map of a gated layer, `value`, belongs to the layer of its `gate`.

    >>> layer_of("hidden1.value.weight", ["hidden1.gate", "hidden2.gate"])
    'hidden1.gate'
    """
    around = [layer for layer in layers if parameter.startswith(f"{layer.removesuffix('.gate')}.")]
    return max(around, key=len) if around else None
