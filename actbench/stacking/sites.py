"""Where the activations of a network are, and which layer a parameter belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def activation_sites(network: nn.Module) -> dict[str, nn.Module]:
    """Layer -> the module at its activation site, in the order of the network.

    An activation site is a child called `activation`; its layer is the module that holds it ("" for the network
    itself).

    >>> from torch.nn import Linear, ReLU, Sequential
    >>> hidden = Sequential(); hidden.add_module("linear", Linear(4, 3)); hidden.add_module("activation", ReLU())
    >>> network = Sequential(); network.add_module("hidden1", hidden)
    >>> list(activation_sites(network))
    ['hidden1']
    """
    modules = network.named_modules(remove_duplicate=False)
    return {
        name.removesuffix("activation").rstrip("."): module
        for name, module in modules
        if name.split(".")[-1] == "activation"
    }


def layer_of(parameter: str, layers: Sequence[str]) -> str | None:
    """The layer, out of those with an activation site, that the parameter of this name belongs to; None if to none.

    The second linear map of a gated layer, `value`, belongs to the layer of its `gate`.

    >>> layer_of("hidden1.value.weight", ["hidden1.gate", "hidden2.gate"])
    'hidden1.gate'
    """
    around = [layer for layer in layers if parameter.startswith(f"{layer.removesuffix('.gate')}.")]
    return max(around, key=len) if around else None
