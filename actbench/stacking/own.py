"""A network of the user's own for several seeds: its code runs once, and sees the samples of all seeds as one batch.

Its layers with parameters and its activations are stacked: each takes the samples of a seed to the parameters of that
seed. Everything between them has to treat each sample by itself (`straight`), so that it cannot tell.

Shape letters: S seeds, B batch, C classes, F units.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from actbench.sites.at_site import AtSite, InLayout
from actbench.sites.exchange import Exchanged
from actbench.sites.finding import shallow_copy
from actbench.stacking.protocol import Generators, NotStackable, StackedLayer, stack_layer
from actbench.stacking.randomness import draws_from_a_seed
from actbench.stacking.replicas import ReplicaGroup, StackedReplicas, State, on_cpu
from actbench.stacking.straight import check_straight


class StackedOwn(StackedReplicas):
    """A network of the user's own for several seeds.

    Args:
        networks: one for each seed, on the CPU; the first is kept as a template.
        generators: one for each seed, for dropout.
        sample: a small input (B, ...).

    Raises:
        NotStackable: it has a layer without stacked form, or its code does not treat each sample by itself.
    """

    def __init__(self, networks: Sequence[Exchanged], generators: Generators, sample: Tensor) -> None:
        ReplicaGroup.__init__(self, networks[0])
        self.seeds = len(networks)
        layers = _layers(networks[0])
        sites = {site.module for site in networks[0].found if site.module is not None and site.exchangeable}
        check_straight(networks[0].network, [*layers], sites, sample)
        self.network = _stack(networks, layers, generators)
        self.names = _names(networks[0])

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, ...) -> logits (S, B, C)."""
        return self.network(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def state_of(self, number: int) -> State:
        """A copy, on the CPU, of the plain state_dict of one seed."""
        state: State = {}
        for prefix, layer in self.network.named_modules():
            if isinstance(layer, StackedLayer):
                state |= {f"{prefix}.{name}": tensor for name, tensor in layer.seed_state(number).items()}
        return {name: on_cpu(state[inner]) for name, inner in self.names.items()}

    def seeds_in_front(self, value: Tensor) -> Tensor:
        """What a module between the activations takes or returns, (S·B, ...), as (S, B, ...)."""
        return value.unflatten(0, (self.seeds, -1))


# ---------------------------------------------------------------- what is stacked


def _layers(network: Exchanged) -> dict[str, nn.Module]:
    """Path -> the modules that are stacked: those with parameters, buffers or random numbers.

    Raises:
        NotStackable: one of them has no stacked form.
    """
    if network.home.recomputed:
        raise NotStackable("torch.utils.checkpoint runs parts of it again")
    found = {}
    for path, module in network.network.named_modules():
        if any(hooks for name, hooks in vars(module).items() if name.endswith("_hooks")):
            raise NotStackable(f"{path or 'the network'} has hooks")
        if draws_from_a_seed(module):
            found[path] = module
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            if not _has_a_stacked_form(module):
                raise NotStackable(f"{type(module).__name__} ({path or 'the network'}) has no stacked form")
            found[path] = module
    return found


def _has_a_stacked_form(module: nn.Module) -> bool:
    """Whether one is registered for exactly what a module is. A class derived from it may have another `forward`."""
    kind = type(module)
    ours = kind.__module__.startswith("actbench.")
    if [*module.children()] or not (ours or kind.__module__.startswith("torch.nn.modules.")):
        return False
    return stack_layer.dispatch(kind) is not stack_layer.dispatch(object) if ours else kind in stack_layer.registry


def _stack(networks: Sequence[Exchanged], layers: Mapping[str, nn.Module], generators: Generators) -> Exchanged:
    """A copy of the first network, in which stacked layers and activations have taken the place of its own."""
    first = networks[0]
    instead: dict[int, Any] = {}  # a module of the first network -> what the copy has for it
    for path, layer in layers.items():
        stacked = stack_layer(layer, [one.network.get_submodule(path) for one in networks], generators)
        for name in getattr(layer, "__constants__", ()):  # such as `in_features`, which its code may ask for
            if not hasattr(stacked, name):
                setattr(stacked, name, getattr(layer, name))
        stacked.__dict__["forward"] = _OfSamples(stacked, len(networks))
        instead[id(layer)] = stacked
    modules = {site.name: site.module for site in first.found}
    for name, at in first.at.items():
        module = modules[name]
        of_network = first.network.get_submodule(module) if at.own and module is not None else None
        shared = None if of_network is None else instead.get(id(of_network))
        if shared is not None and isinstance(at.activation, InLayout):
            raise NotStackable(f"{name} has parameters, and its units are not the second axis")
        activations = [one.at[name].activation for one in networks]
        stacked = stack_layer(at.activation, activations, generators) if shared is None else shallow_copy(shared)
        instead[id(at)] = StackedAtSite(stacked, at, len(networks))
    copied = copy.deepcopy(first, instead)
    for path, layer in layers.items():
        if "forward" in vars(layer):  # it takes calls to an activation site, which has its parameters
            copied.network.get_submodule(path).__dict__["forward"] = copy.deepcopy(vars(layer)["forward"], instead)
    return copied


class _OfSamples:
    """Takes the place of the `forward` of a stacked layer: S·B samples in, S·B samples out."""

    def __init__(self, layer: nn.Module, seeds: int) -> None:
        self.layer, self.seeds = layer, seeds

    def __call__(self, x: Tensor) -> Tensor:
        with torch._C.DisableTorchFunction():  # what it calls is no site
            return type(self.layer).forward(self.layer, x.unflatten(0, (self.seeds, -1))).flatten(0, 1)


class StackedAtSite(AtSite):
    """What stands at a site for several seeds: its activation gets z (S, B, F, ...), the network has S·B samples.

    Args:
        activation: the stacked form.
        plain: what stands there for the first seed.
        seeds: how many there are.
    """

    def __init__(self, activation: nn.Module, plain: AtSite, seeds: int) -> None:
        nn.Module.__init__(self)
        self.__dict__ |= {name: value for name, value in vars(plain).items() if name not in vars(self)}
        self.seeds = seeds
        if plain.own:  # no child of this module, since the network has it
            self.__dict__["activation"] = activation
        else:
            self.activation = activation

    def activated(self, z: Tensor) -> Tensor:
        """z (S·B, F, ...) -> f(z)."""
        return self.activation(z.unflatten(0, (self.seeds, -1))).flatten(0, 1)


class StackedInLayout(InLayout):
    """The same for several seeds, where the activation has no parameters."""

    def forward(self, z: Tensor) -> Tensor:
        """z (S, B, F, ...) -> f(z), of the same shape."""
        return super().forward(z.flatten(0, 1)).unflatten(0, z.shape[:2])


@stack_layer.register
def _(layer: InLayout, _replicas: Sequence[InLayout], _generators: Generators) -> nn.Module:
    if [*layer.parameters(), *layer.buffers()]:
        raise NotStackable(f"{type(layer.activation).__name__} has parameters, and its units are not the second axis")
    return StackedInLayout(copy.deepcopy(layer.activation), layer.axis)


# ---------------------------------------------------------------- names


def _names(network: Exchanged) -> dict[str, str]:
    """Name in the state_dict of a plain network -> the name within it, by which parameters are known in training."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    inner = {id(tensor): name for name, tensor in tensors}
    return {name: inner[id(tensor)] for name, tensor in network.state_dict(keep_vars=True).items()}
