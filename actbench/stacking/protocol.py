"""`StackedLayer`, and `stack_layer`, with which a type of layer registers the function that stacks it.

Shape letters: S seeds, B batch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor, nn

Generators = Sequence[torch.Generator]  # of random numbers, one for each seed


class NotStackable(Exception):
    """This network has no stacked form; the message names the part that has none."""


class StackedLayer(nn.Module):
    """A layer for S seeds, whose parameters and buffers have the seed dimension in front.

    A subclass defines `forward`, from x (S, B, ...) to y (S, B, ...). If it stores its parameters in another layout
    than the plain layer does with the seed dimension added, it also overrides `seed_state`.

    Attributes:
        memory_format: the layout of images that a convolution is to compute with; other layers ignore it.
    """

    memory_format: torch.memory_format = torch.contiguous_format

    def seed_state(self, seed: int) -> dict[str, Tensor]:
        """The state of the plain layer of seed number `seed` (0..S-1): name -> tensor, possibly a view."""
        tensors = [*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)]
        return {name: tensor[seed] for name, tensor in tensors}


class PerSample(StackedLayer):
    """A layer without parameters that treats all samples alike (pooling, top-k): it is given S·B samples.

    Args:
        plain: the layer, which this module owns from now on.
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, ...) -> (S, B, ...)."""
        return self.plain(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def stack_tensors(replicas: Sequence[nn.Module], name: str) -> Tensor:
    """The parameter or buffer `name` of all replicas as a new tensor (S, ...)."""
    return torch.stack([getattr(replica, name).detach() for replica in replicas])


def stack_parameters(layer: StackedLayer, replicas: Sequence[nn.Module]) -> None:
    """Gives `layer` the parameters and buffers of `replicas` (but not of their children), stacked, by the same names.

    A parameter that is None, such as the bias of a layer without one, stays None.
    """
    for name, parameter in replicas[0]._parameters.items():
        stacked = None if parameter is None else nn.Parameter(stack_tensors(replicas, name))
        layer.register_parameter(name, stacked)
    for name, _ in replicas[0].named_buffers(recurse=False):
        layer.register_buffer(name, stack_tensors(replicas, name))


@singledispatch
def stack_layer(layer: nn.Module, replicas: Sequence[nn.Module], generators: Generators) -> nn.Module:
    """The stacked form of one layer: a module from x (S, B, ...) to y (S, B, ...), which shares nothing with the layer.

    A type of layer is supported by one function of this signature, registered with `@stack_layer.register`, in a module
    of `stacking/layers` (which is discovered without being listed) or beside the layer's own class:

        @stack_layer.register
        def _(layer: Scale, replicas: Sequence[Scale], generators: Generators) -> nn.Module:
            return StackedScale(replicas)

    A module without parameters, buffers and children needs none. It is assumed to treat all elements alike, which
    `make_replicas` tests.

    Args:
        layer: the first of the replicas, whose type decides.
        replicas: the same layer of every seed.
        generators: one for each seed, from which the layer may draw random numbers.

    Raises:
        NotStackable: nothing is registered for this type, or the layer's options have no stacked form.
    """
    if not [*layer.parameters(), *layer.buffers(), *layer.children()]:  # `make_replicas` tests it
        return copy.deepcopy(layer)
    raise NotStackable(f"{type(layer).__module__}.{type(layer).__qualname__} has no stacked form")


def stack_children(layer: nn.Module, replicas: Sequence[nn.Module], generators: Generators) -> nn.Module:
    """The stacked form of a module that only connects its children: a copy of it around its stacked children.

    Its `forward` has to work with an extra leading dimension, so it counts dimensions from the last one. For such a
    module, `stack_layer.register(Kind)(stack_children)` is the whole registration.

    Raises:
        NotStackable: the module has parameters or buffers of its own, or a child that has no stacked form.
    """
    if [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
        raise NotStackable(f"{type(layer).__qualname__} has parameters of its own")
    stacked = copy.deepcopy(layer, {id(child): child for child in layer.children()})  # without copying the children
    for name, child in layer._modules.items():  # unlike named_children(), this has all names of a module used twice
        if child is not None:
            children = [replica.get_submodule(name) for replica in replicas]
            stacked._modules[name] = stack_layer(child, children, generators)
    return stacked
