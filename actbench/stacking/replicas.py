"""Networks of one architecture for S seeds, as one module; and one plain state_dict or network for each seed.

`Replicas` consist of groups, each trained by an optimizer of its own: `StackedReplicas` run several seeds with one
batched kernel per layer, a `SingleReplica` is the ordinary module of one seed. Both compute for a seed what its network
would compute by itself. Neighbouring groups form a shard, which one thread trains.

Shape letters: S seeds of all groups, s seeds of one group, B batch, C classes.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from actbench.stacking.protocol import Generators, StackedLayer, stack_layer
from actbench.stacking.randomness import global_rng_from, replace_random_layers
from actbench.stacking.sites import activation_sites, recomputing

State = dict[str, Tensor]  # a plain state_dict


class ReplicaGroup(nn.Module):
    """Some of the seeds, which train together. Either `StackedReplicas` or a `SingleReplica`.

    Attributes:
        seeds: how many there are, s.
        stacked: whether parameters have the seed dimension in front.
        network: the module that computes, with the parameters that are trained.
    """

    seeds: int
    stacked: bool
    network: nn.Module

    def __init__(self, template: nn.Module) -> None:
        super().__init__()
        self.template = (template,)  # an ordinary module; in a tuple, so that it is no part of this one

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """x (s, B, ...) -> logits (s, B, C)."""

    @abstractmethod
    def gradients(self) -> dict[str, Tensor]:
        """Parameter -> its gradient (s, ...), a view that may be written to; parameters without gradient are left out.

        The names are those within the plain network.
        """

    @abstractmethod
    def state_of(self, number: int) -> State:
        """A copy, on the CPU, of the plain state_dict of seed number `number` (0..s-1)."""

    def plain_network(self, number: int) -> nn.Module:
        """The ordinary module of seed number `number` (0..s-1) of this group, see `Replicas.plain_network`."""
        network = copy.deepcopy(self.template[0])
        network.load_state_dict(self.state_of(number))
        return network.eval()

    def seeds_in_front(self, value: Tensor) -> Tensor:
        """What a module within a stack, but none at an activation site, takes or returns, as (s, B, ...)."""
        return value

    def sites(self) -> dict[str, nn.Module]:
        """Layer -> the module at its activation site, in the order of the network."""
        return activation_sites(self.network)

    def recomputing(self) -> AbstractContextManager[Any]:
        """The context of a backward pass, in which a network may run parts of itself again."""
        return recomputing(self.network)


class StackedReplicas(ReplicaGroup):
    """One network for several seeds, whose parameters have the seed dimension in front.

    Args:
        networks: one for each seed, on the CPU; the first is kept as a template.
        generators: one for each seed, for dropout.

    Raises:
        NotStackable: the networks have no stacked form.
    """

    stacked = True

    def __init__(self, networks: Sequence[nn.Module], generators: Generators) -> None:
        super().__init__(networks[0])
        self.seeds = len(networks)
        self.network = stack_layer(networks[0], networks, generators)

    def forward(self, x: Tensor) -> Tensor:
        """x (s, B, ...) -> logits (s, B, C)."""
        return self.network(x)

    def gradients(self) -> dict[str, Tensor]:
        """Parameter -> its gradient (s, ...)."""
        return {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}

    def state_of(self, number: int) -> State:
        """A copy, on the CPU, of the plain state_dict of one seed."""
        state: State = {}
        for prefix, layer in self.network.named_modules():
            if isinstance(layer, StackedLayer):
                for name, tensor in layer.seed_state(number).items():
                    state[f"{prefix}.{name}" if prefix else name] = on_cpu(tensor)
        return {name: state[name] for name in self.template[0].state_dict()}  # in the plain network's order


class SingleReplica(ReplicaGroup):
    """The ordinary module of one seed, with random numbers of its own.

    Args:
        network: the module, on the CPU. Its dropout and RReLU are replaced by layers that draw from `generator`, so
            that what they draw depends neither on the memory format nor on the other seeds.
        generator: of the seed.
        uses_global_rng: whether the network draws from torch's global generator, these aside. If so, it is given the
            seed's random numbers there.
    """

    seeds, stacked = 1, False

    def __init__(self, network: nn.Module, generator: torch.Generator, *, uses_global_rng: bool = False) -> None:
        super().__init__(copy.deepcopy(network))
        self.network, self.generator, self.uses_global_rng = network, generator, uses_global_rng
        self.memory_format = torch.contiguous_format
        if not uses_global_rng:
            replace_random_layers(network, generator)

    def forward(self, x: Tensor) -> Tensor:
        """x (1, B, ...) -> logits (1, B, C)."""
        (x,) = x
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        with global_rng_from(self.generator) if self.uses_global_rng and self.training else nullcontext():
            return self.network(x).unsqueeze(0)

    def gradients(self) -> dict[str, Tensor]:
        """Parameter -> its gradient (1, ...)."""
        named = self.network.named_parameters()
        return {name: p.grad.unsqueeze(0) for name, p in named if p.grad is not None}

    def state_of(self, number: int) -> State:
        """A copy, on the CPU, of the plain state_dict of the seed, whose number is 0."""
        if number != 0:
            raise IndexError(number)
        return {name: on_cpu(tensor) for name, tensor in self.network.state_dict().items()}


class Shard:
    """Neighbouring groups, which one thread trains.

    Args:
        groups: in the order of their seeds.
    """

    def __init__(self, groups: Sequence[ReplicaGroup]) -> None:
        self.groups = groups
        self.sizes = [group.seeds for group in groups]
        self.seeds = sum(self.sizes)

    def __call__(self, x: Tensor) -> Tensor:
        """x (s, B, ...) -> logits (s, B, C), for the s seeds of all groups."""
        parts = zip(self.groups, x.split(self.sizes), strict=True)
        return torch.cat([group(part) for group, part in parts])


class Replicas(nn.Module):
    """Networks of one architecture for S seeds.

    Args:
        groups: which together have all S seeds, in their order.
        execution: how the seeds run and why, for the log and the summary.
        shards: how many of the groups each shard has, in their order; by default all are in one shard.
    """

    def __init__(self, groups: Sequence[ReplicaGroup], execution: str, shards: Sequence[int] | None = None) -> None:
        super().__init__()
        self.groups: Sequence[ReplicaGroup] = nn.ModuleList(groups)  # type: ignore[assignment]
        self.execution = execution
        rest = iter(self.groups)
        self.shards = [Shard([*islice(rest, size)]) for size in shards or [len(groups)]]
        self.seeds = sum(shard.seeds for shard in self.shards)

    @property
    def stacked(self) -> bool:
        """Whether the parameters of all groups have the seed dimension in front."""
        return all(group.stacked for group in self.groups)

    @property
    def uses_global_rng(self) -> bool:
        """Whether the networks draw from torch's global generator."""
        return any(isinstance(group, SingleReplica) and group.uses_global_rng for group in self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, ...) -> logits (S, B, C)."""
        parts = zip(self.shards, x.split([shard.seeds for shard in self.shards]), strict=True)
        return torch.cat([shard(part) for shard, part in parts])

    def layers(self) -> list[str]:
        """The layers that have an activation site, in the order of the network."""
        return list(self.groups[0].sites())

    def recomputing(self) -> AbstractContextManager[Any]:
        """The context of a backward pass of all seeds, see `ReplicaGroup.recomputing`."""
        contexts = ExitStack()
        for group in self.groups:
            contexts.enter_context(group.recomputing())
        return contexts

    def state_dicts(self) -> list[State]:
        """For each seed a copy, on the CPU, of the state_dict that its ordinary module would have."""
        return [group.state_of(number) for group in self.groups for number in range(group.seeds)]

    def plain_network(self, number: int) -> nn.Module:
        """The ordinary module of seed number `number` (0..S-1) with its current weights.

        It is on the CPU, in evaluation mode, and shares nothing with the replicas or with any other such module. Its
        state is `state_dicts()[number]`, and in evaluation it computes what the replicas compute for this seed, up to
        rounding.

        Raises:
            IndexError: there is no such seed.
        """
        if number < 0:
            raise IndexError(number)
        first = number
        for group in self.groups:
            if first < group.seeds:
                return group.plain_network(first)
            first -= group.seeds
        raise IndexError(number)


def on_cpu(tensor: Tensor) -> Tensor:
    """A contiguous copy on the CPU."""
    return tensor.detach().cpu().contiguous().clone()
