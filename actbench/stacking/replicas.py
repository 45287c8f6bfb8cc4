"""S networks of one shape as an `Replicas`, and back to one plain state_dict for each seed.

Replicas has members, which train one after the other, each with an optimizer of its own: either one `Stack`, which
serves all seeds with one batched kernel a layer, or an `Alone` for each seed, the ordinary module, where a stack cannot
be had or does not pay. Both give seed s what it would compute alone.

Shape letters: S seeds of the replicas, s of a member, B batch, C classes.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice, pairwise

import torch
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.stacking.layers import Noise, NotStackable, StackedConv2d, StackedDropout, StackedLayer, stack_layer

# Optimizers that treat every element of a parameter alike, so that stacked parameters are trained as separate ones are.
ELEMENTWISE_OPTIMIZERS = (
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.Adadelta,
    torch.optim.Adagrad, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop, torch.optim.Rprop, torch.optim.ASGD,
)  # fmt: skip


LARGE = 1 << 20  # weights of a layer, from which on a CPU is as fast or faster with one matrix after the other
MANY = 1 << 10  # values that a sample's tokens have together, from which on the same is true
WORTH_A_THREAD = 1 << 18  # multiplications of a layer's kernel, from which on a stack is split over several threads


class Member(nn.Module):
    """Some seeds of replicas, which train together: x (s, B, ...) -> logits (s, B, C)."""

    seeds: int
    stacked: bool  # whether parameters have the seeds in front
    network: nn.Module

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def gradients(self) -> dict[str, Tensor]:
        """Name -> gradient with the seeds in front, a view that may be written to."""

    @abstractmethod
    def state_dicts(self) -> list[dict[str, Tensor]]:
        """One plain state_dict for each seed, as the ordinary module of that seed would have it, on the CPU."""

    def sites(self) -> dict[str, nn.Module]:
        """Layer -> the module at its activation site."""
        return activation_sites(self.network)


class Stack(Member):
    """One network whose parameters have the seeds in front."""

    stacked = True

    def __init__(self, networks: Sequence[nn.Module], noise: Noise) -> None:
        super().__init__()
        self.seeds = len(networks)
        self.template = list(networks[0].state_dict())
        self.network = stack_layer(networks[0], networks, noise)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def gradients(self) -> dict[str, Tensor]:
        return {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}

    def state_dicts(self) -> list[dict[str, Tensor]]:
        return [self._state(seed) for seed in range(self.seeds)]

    def _state(self, seed: int) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for prefix, layer in self.network.named_modules():
            if isinstance(layer, StackedLayer):
                for name, tensor in layer.seed_state(seed).items():
                    state[f"{prefix}.{name}" if prefix else name] = tensor.detach().cpu().contiguous().clone()
        return {name: state[name] for name in self.template}


class Alone(Member):
    """The ordinary module of one seed, with random numbers of its own.

    Args:
        network: the module; its dropout is exchanged for one that draws from `generator`, whatever the memory format.
        generator: of the seed.
        draws: the network draws from torch's global random numbers, dropout aside: these are the seed's, too.
    """

    seeds, stacked = 1, False

    def __init__(self, network: nn.Module, generator: torch.Generator, *, draws: bool = False) -> None:
        super().__init__()
        self.network, self.draws, self.generator = network, draws, generator
        self.memory_format = torch.contiguous_format
        if not draws:
            _exchange_dropout(network, generator)

    def forward(self, x: Tensor) -> Tensor:
        (x,) = x
        if x.ndim == 4:
            x = x.contiguous(memory_format=self.memory_format)
        with own_randomness(self.generator) if self.draws and self.training else nullcontext():
            return self.network(x).unsqueeze(0)

    def gradients(self) -> dict[str, Tensor]:
        named = self.network.named_parameters()
        return {name: p.grad.unsqueeze(0) for name, p in named if p.grad is not None}

    def state_dicts(self) -> list[dict[str, Tensor]]:
        state = self.network.state_dict()
        return [{name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}]


class Share:
    """Neighbouring members of replicas, which train in one thread: x (s, B, ...) -> logits (s, B, C)."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.portions = [member.seeds for member in members]
        self.seeds = sum(self.portions)

    def __call__(self, x: Tensor) -> Tensor:
        parts = zip(self.members, x.split(self.portions), strict=True)
        return torch.cat([member(part) for member, part in parts])


class Replicas(nn.Module):
    """S networks of one shape: x (S, B, ...) -> logits (S, B, C).

    Args:
        members: who together have all S seeds, in their order.
        execution: how the seeds are run and why, for the log and the summary.
        shares: how many of the members each share has, in their order; by default one share has all.
    """

    plain_network: Callable[[int], nn.Module]  # the ordinary module of seed number 0, 1, ..., on the CPU

    def __init__(self, members: Sequence[Member], execution: str, shares: Sequence[int] | None = None) -> None:
        super().__init__()
        self.members: Sequence[Member] = nn.ModuleList(members)  # type: ignore[assignment]
        self.execution = execution
        rest = iter(self.members)
        self.shares = [Share([*islice(rest, size)]) for size in shares or [len(members)]]
        self.seeds = sum(share.seeds for share in self.shares)

    @property
    def stacked(self) -> bool:
        return all(member.stacked for member in self.members)

    def forward(self, x: Tensor) -> Tensor:
        parts = zip(self.shares, x.split([share.seeds for share in self.shares]), strict=True)
        return torch.cat([share(part) for share, part in parts])

    def layers(self) -> list[str]:
        """The layers that have an activation site, from below."""
        return list(self.members[0].sites())

    def state_dicts(self) -> list[dict[str, Tensor]]:
        """One plain state_dict for each seed, on the CPU."""
        return [state for member in self.members for state in member.state_dicts()]


def activation_sites(network: nn.Module) -> dict[str, nn.Module]:
    """Layer -> the module at its activation site, from below. A site is a child called `activation` of the layer.

    >>> from torch.nn import Linear, ReLU, Sequential
    >>> hidden = Sequential(); hidden.add_module("linear", Linear(4, 3)); hidden.add_module("activation", ReLU())
    >>> network = Sequential(); network.add_module("hidden1", hidden)
    >>> list(activation_sites(network))
    ['hidden1']
    """
    found = network.named_modules(remove_duplicate=False)
    return {name.removesuffix("activation").rstrip("."): m for name, m in found if name.split(".")[-1] == "activation"}


# ---------------------------------------------------------------- which way


def assemble(
    networks: Sequence[nn.Module],
    noise: Noise,
    *,
    optimizer: type,
    sample: Tensor,
    device: torch.device,
    execution: str = "auto",
    memory_format: str = "auto",
    batch: int = 1,
    cores: int = 1,
) -> Replicas:
    """The networks stacked where a stack computes the same and pays, otherwise one after the other.

    The choice is a rule and not a trial run: the same settings take the same way every time, and give the same bits.

    Args:
        networks: one for each seed, of one shape, on the CPU.
        noise: one generator for each seed, for dropout.
        optimizer: the class of the optimizer; one that is not elementwise needs separate parameters.
        sample: a small input (B, ...), by which modules of unknown kind are put to the test.
        device: where the networks will run.
        execution: `auto`; `stacked` and `seed_by_seed` insist.
        memory_format: of convolutions: `auto`, `contiguous` or `channels_last`.
        batch: samples of a training step.
        cores: shares that may train side by side.

    Raises:
        NotStackable: `stacked` was insisted on, and cannot be had.
        UserError: `channels_last` was insisted on, and cannot be had.
    """
    draws = _draws_globally(networks[0], sample)
    can = memory_format != "contiguous" and _takes_channels_last(networks[0], sample)
    if memory_format == "channels_last" and not can:
        raise UserError(
            "the network has no convolution, or a layer that counts on the order in memory",
            where="train.memory_format=channels_last",
            how="train.memory_format=auto",
        )
    members: Sequence[Member]
    most = min(cores, len(networks)) if not draws and _is_known(networks[0]) else 1  # shares side by side
    try:
        if execution == "seed_by_seed":
            raise NotStackable("asked for")
        if execution == "auto" and (reason := _does_not_pay(networks[0], device)):
            raise NotStackable(reason)
        portions = _portions(len(networks), most if _weights_of_a_layer(networks[0]) * batch >= WORTH_A_THREAD else 1)
        members = [_stack(networks[part], noise[part], optimizer, sample, draws) for part in portions]
        way, why, shares = "stacked", "", [1] * len(members)
    except NotStackable as reason:
        if execution == "stacked":
            raise
        portions = _portions(len(networks), most)
        members = [Alone(network, own, draws=draws) for network, own in zip(networks, noise, strict=True)]
        way, why, shares = "seed by seed", f": {reason}", [len(networks[part]) for part in portions]
    pays = way == "seed by seed" and device.type == "cpu" and not draws
    if can and (pays or memory_format == "channels_last"):
        for member in members:
            _lay_channels_last(member)
        way += ", channels_last"
    if len(shares) > 1:
        way += f", {len(shares)} workers"
    return Replicas(members, way + why, shares)


def _stack(networks: Sequence[nn.Module], noise: Noise, optimizer: type, sample: Tensor, draws: bool) -> Stack:
    if optimizer not in ELEMENTWISE_OPTIMIZERS:  # a class of the user's own that inherits from one need not be
        raise NotStackable(f"{optimizer.__name__} is not known to be elementwise")
    if draws:
        raise NotStackable("the network draws from torch's global random numbers")
    owned = [id(parameter) for _, parameter in networks[0].named_parameters(remove_duplicate=False)]
    if len(set(owned)) < len(owned):
        raise NotStackable("two of its layers share a parameter")
    stacked = Stack(networks, noise)
    if not _computes_the_same(stacked, networks, noise, sample):
        raise NotStackable("stacked, it would not compute what one network computes")
    return stacked


def _does_not_pay(network: nn.Module, device: torch.device) -> str | None:
    """Why a stack would be no faster than one seed after the other: measured, see BENCHMARKS.md."""
    if device.type != "cpu":
        return None
    if _convolves(network):
        return "on a CPU convolutions gain nothing from a stack"
    if max((parameter.numel() for parameter in network.parameters()), default=0) >= LARGE:
        return f"on a CPU layers of {LARGE:,} weights and more gain nothing from a stack"
    if max((getattr(module, "values_of_a_sample", 0) for module in network.modules()), default=0) >= MANY:
        return f"on a CPU tokens of {MANY:,} values and more together gain nothing from a stack"
    return None


def _portions(seeds: int, number: int) -> list[slice]:
    """`number` neighbouring portions of the seeds, as even as they can be.

    >>> _portions(5, 2)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    edges = [-(-seeds * k // number) for k in range(number + 1)]
    return [slice(*edge) for edge in pairwise(edges)]


def _weights_of_a_layer(network: nn.Module) -> float:
    """The mean number of weights of the layers that have a matrix: what a kernel has to do for one sample."""
    sizes = [parameter.numel() for parameter in network.parameters() if parameter.ndim > 1]
    return sum(sizes) / len(sizes) if sizes else 0.0


def _is_known(network: nn.Module) -> bool:
    """Whether all of it is torch's or ours: of a module of the user's own nobody knows what two threads do to it."""
    return all(
        type(module).__module__.split(".")[0] in ("torch", "torchvision", "actbench") for module in network.modules()
    )


def _convolves(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


@torch.no_grad()
def _takes_channels_last(network: nn.Module, sample: Tensor) -> bool:
    """Whether there are convolutions, which may have the channels innermost in memory, and all layers take that."""
    if not _convolves(network):
        return False
    trial = copy.deepcopy(network).eval()
    plain = trial(sample)
    try:
        other = trial.to(memory_format=torch.channels_last)(sample.contiguous(memory_format=torch.channels_last))
    except RuntimeError:  # a module that counts on the order in memory
        return False
    return _close(plain, other)


def _lay_channels_last(member: Member) -> None:
    if isinstance(member, Alone):
        member.memory_format = torch.channels_last
        member.network.to(memory_format=torch.channels_last)
    for module in member.modules():
        if isinstance(module, StackedConv2d):
            module.memory_format = torch.channels_last


@torch.no_grad()
def _draws_globally(network: nn.Module, sample: Tensor) -> bool:
    trial = copy.deepcopy(network).train()
    for module in trial.modules():
        if type(module) is nn.Dropout:  # for which there is one with a generator of its own
            module.eval()
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        trial(sample)
        return not torch.equal(before, torch.get_rng_state())


@torch.no_grad()
def _computes_the_same(stacked: Stack, networks: Sequence[nn.Module], noise: Noise, sample: Tensor) -> bool:
    """Whether a stack gives each seed what its own network gives, in training and evaluation, with its own images."""
    x = torch.stack([sample * (1.0 + 0.5 * seed) for seed in range(len(networks))])
    generators = {id(generator): generator for generator in noise}  # which are not copied, and not drawn from
    for training in (False, True):
        trial = _without_dropout(copy.deepcopy(stacked, dict(generators)).train(training))
        plain = [_without_dropout(copy.deepcopy(network).train(training)) for network in networks]
        theirs = torch.stack([network(part) for network, part in zip(plain, x, strict=True)])
        try:
            ours = trial(x)
        except (RuntimeError, ValueError, IndexError):  # a module that counts its dimensions
            return False
        if not _close(ours, theirs):
            return False
    return True


def _without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, (nn.Dropout, StackedDropout)):
            module.p = 0.0
    return network


def _close(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    size = float(torch.nan_to_num(theirs, 0.0, 0.0, 0.0).abs().max())
    return torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * size, equal_nan=True)


def layer_of(parameter: str, layers: Sequence[str]) -> str | None:
    """The layer (of `sites`) that a parameter's name lies in, or None; to that of a `gate` belongs the value beside it.

    >>> layer_of("hidden1.value.weight", ["hidden1.gate", "hidden2.gate"])
    'hidden1.gate'
    """
    inside = [layer for layer in layers if parameter.startswith(f"{layer.removesuffix('.gate')}.")]
    return max(inside, key=len) if inside else None


# ---------------------------------------------------------------- random numbers of one seed


class SeedDropout(StackedDropout):
    """Dropout of one seed's ordinary network: x (B, ...), with the masks that its part of a stack would have."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unsqueeze(0)).squeeze(0)


def _exchange_dropout(network: nn.Module, generator: torch.Generator) -> None:
    for module in list(network.modules()):
        for name, child in module._modules.items():  # by all its names, where one module has several
            if type(child) is nn.Dropout:
                setattr(module, name, SeedDropout(child.p, [generator]))


@contextmanager
def own_randomness(generator: torch.Generator) -> Iterator[None]:
    """Within the block torch's global generator of the device is `generator`, which goes on from where it was."""
    on_cpu = generator.device.type == "cpu"
    globally = torch.default_generator if on_cpu else _device_generator(generator.device)
    before = globally.get_state()
    globally.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(globally.get_state())
        globally.set_state(before)


def _device_generator(device: torch.device) -> torch.Generator:
    module = torch.get_device_module(device)
    return (
        module.default_generators[device.index or 0] if device.type == "cuda" else module._get_default_mps_generator()
    )
