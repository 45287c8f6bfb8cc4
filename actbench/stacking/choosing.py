"""Chooses how the networks of the seeds run, stacked or one after the other, and says why.

The choice follows measured rules (see BENCHMARKS.md), never a trial run: the same settings always run the same way, and
give the same bits.

Shape letters: S seeds, B batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.sites.exchange import Exchanged
from actbench.stacking.own import StackedOwn
from actbench.stacking.parity import close, computes_the_same, has_the_same_gradients
from actbench.stacking.protocol import Generators, NotStackable, StackedLayer
from actbench.stacking.randomness import draws_from_a_seed
from actbench.stacking.replicas import ReplicaGroup, Replicas, SingleReplica, StackedReplicas

# Optimizers that treat every element of a parameter alike: they train stacked parameters as they do separate ones.
ELEMENTWISE_OPTIMIZERS = (
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax, torch.optim.Adadelta,
    torch.optim.Adagrad, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop, torch.optim.Rprop, torch.optim.ASGD,
)  # fmt: skip

# Measured on CPUs: from these sizes on, stacking is no faster than one seed after the other ...
LARGE_LAYER = 1 << 20  # weights of the largest layer
MANY_TOKEN_VALUES = 1 << 10  # values that the tokens of a sample have together
# ... and from this one on, a stack is faster when it is split over several threads.
WORTH_A_THREAD = 1 << 18  # multiplications of a layer for a batch and one seed
# From here on a seed that would be one more than the other threads have trains alone, and the threads share it: its
# kernels take longer than the calls that a stack saves.
WORTH_SHARING = 1 << 22


def make_replicas(
    networks: Sequence[nn.Module],
    generators: Generators,
    *,
    optimizer: type,
    sample: Tensor,
    device: torch.device,
    execution: str = "auto",
    memory_format: str = "auto",
    batch: int = 1,
    cores: int = 1,
) -> Replicas:
    """The networks stacked where that computes the same and is faster, otherwise one after the other.

    Args:
        networks: one for each seed, of one architecture, on the CPU. They belong to the replicas from now on.
        generators: one for each seed, on `device`, for dropout.
        optimizer: the class of the optimizer. One that is not known to be elementwise needs separate parameters.
        sample: a small input (B, ...), on which networks are tried out.
        device: where the replicas will run. They are not moved there.
        execution: `auto`, or `stacked` or `seed_by_seed` to force one way.
        memory_format: of convolutions, `auto`, `contiguous` or `channels_last`.
        batch: samples of a training step.
        cores: the largest number of shards that may train side by side.

    Raises:
        NotStackable: `execution` is `stacked`, and that is not possible.
        UserError: `memory_format` is `channels_last`, and that is not possible.
    """
    uses_global_rng, writes_to_input = _tried(networks[0], sample)
    for network in networks:
        if isinstance(network, Exchanged):
            network.copies_input = writes_to_input
    takes_channels_last = memory_format != "contiguous" and _takes_channels_last(networks[0], sample)
    if memory_format == "channels_last" and not takes_channels_last:
        raise UserError(
            "the network has no convolutions, or a layer that depends on the memory layout",
            where="train.memory_format=channels_last",
            how="train.memory_format=auto",
        )
    most = min(cores, len(networks)) if not uses_global_rng and _is_known(networks[0]) else 1  # shards side by side
    try:
        if execution == "seed_by_seed":
            raise NotStackable("as requested")
        if execution == "auto" and (reason := _why_not_faster(networks, device)):
            raise NotStackable(reason)
        if uses_global_rng:
            raise NotStackable("the network draws from torch's global random number generator")
        work = _mean_weights_of_layers(networks[0]) * batch
        parts = _split(len(networks), most if work >= WORTH_A_THREAD else 1, shared=work >= WORTH_SHARING)
        groups = _stacked(networks, generators, parts, optimizer, sample)
        way, why, shards = "stacked", "", [1] * len(groups)
    except NotStackable as reason:
        if execution == "stacked":
            raise
        groups = _single(networks, generators, uses_global_rng)
        way, why, shards = "seed by seed", f": {reason}", [1] * len(groups) if most > 1 else [len(groups)]
    faster = way == "seed by seed" and device.type == "cpu" and not uses_global_rng
    if takes_channels_last and (faster or memory_format == "channels_last"):
        for group in groups:
            _to_channels_last(group)
        way += ", channels_last"
    if len(shards) > 1:
        way += f", {min(len(shards), most)} workers"
    return Replicas(groups, way + why, shards)


def _stacked(
    networks: Sequence[nn.Module], generators: Generators, parts: Sequence[slice], optimizer: type, sample: Tensor
) -> Sequence[ReplicaGroup]:
    """A stack for each part of the networks.

    Raises:
        NotStackable: they would not train as they do one by one.
    """
    if optimizer not in ELEMENTWISE_OPTIMIZERS:  # a subclass of one of them need not be elementwise
        raise NotStackable(f"{optimizer.__name__} is not known to be elementwise")
    owners = [id(parameter) for _, parameter in networks[0].named_parameters(remove_duplicate=False)]
    if len(set(owners)) < len(owners):
        raise NotStackable("two of its layers share a parameter")
    groups: list[ReplicaGroup] = []
    for part in parts:
        own = [network for network in networks[part] if isinstance(network, Exchanged)]
        stack = StackedOwn(own, generators[part], sample) if own else StackedReplicas(networks[part], generators[part])
        if not computes_the_same(stack, networks[part], generators[part], sample):
            raise NotStackable("its stacked form does not compute what one network computes")
        if own and not has_the_same_gradients(stack, own, generators[part], sample):
            raise NotStackable("its stacked form does not have the gradients of one network")
        groups.append(stack)
    return groups


def _single(networks: Sequence[nn.Module], generators: Generators, uses_global_rng: bool) -> Sequence[ReplicaGroup]:
    pairs = zip(networks, generators, strict=True)
    return [SingleReplica(network, generator, uses_global_rng=uses_global_rng) for network, generator in pairs]


def _split(seeds: int, threads: int, *, shared: bool = False) -> list[slice]:
    """The seeds in neighbouring parts: one for each thread, of sizes as equal as possible.

    Args:
        shared: whether the parts are of one size, and the seeds that are left over are parts of their own.

    >>> _split(5, 2)
    [slice(0, 3, None), slice(3, 5, None)]
    >>> _split(5, 2, shared=True)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size, over = divmod(seeds, threads)
    sizes = [*[size] * threads, *[1] * over] if shared else [size + (k < over) for k in range(threads)]
    return [slice(*edge) for edge in pairwise(accumulate(sizes, initial=0))]


# ---------------------------------------------------------------- is stacking possible, and is it faster?


def _why_not_faster(networks: Sequence[nn.Module], device: torch.device) -> str | None:
    """Why stacking is no faster than one seed after the other; None where it is faster."""
    network = networks[0]
    if isinstance(network, Exchanged) and (reason := _why_own_is_not_faster(network, len(networks))):
        return reason
    if device.type != "cpu":
        return None
    if _has_convolutions(network):
        return "on a CPU, convolutions are no faster stacked"
    if max((parameter.numel() for parameter in network.parameters()), default=0) >= LARGE_LAYER:
        return f"on a CPU, layers of {LARGE_LAYER:,} or more weights are no faster stacked"
    if max((getattr(module, "values_per_sample", 0) for module in network.modules()), default=0) >= MANY_TOKEN_VALUES:
        return f"on a CPU, tokens of {MANY_TOKEN_VALUES:,} or more values per sample are no faster stacked"
    return None


def _why_own_is_not_faster(network: Exchanged, seeds: int) -> str | None:
    """The same for a network of one's own, on any device: nothing was measured on others than CPUs."""
    if seeds == 1:
        return "there is one seed"
    if any(isinstance(module, nn.modules.conv._ConvNd) for module in network.modules()):
        return "convolutions of a network of your own are no faster stacked"
    tokens = [math.prod(site.shape[1:]) for site in network.found if len(site.shape) == 3]
    if max(tokens, default=0) >= MANY_TOKEN_VALUES:
        return f"tokens of {MANY_TOKEN_VALUES:,} or more values per sample are no faster stacked"
    return None


def _mean_weights_of_layers(network: nn.Module) -> float:
    """The mean number of weights of the layers that have a matrix: multiplications of a layer for one sample."""
    sizes = [parameter.numel() for parameter in network.parameters() if parameter.ndim > 1]
    return sum(sizes) / len(sizes) if sizes else 0.0


def _is_known(network: nn.Module) -> bool:
    """Whether every module is torch's or ours. A user's own may hold state that two threads must not share."""
    return all(
        type(module).__module__.split(".")[0] in ("torch", "torchvision", "actbench") for module in network.modules()
    )


def _has_convolutions(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _tried(network: nn.Module, sample: Tensor) -> tuple[bool, bool]:
    """Whether training draws from torch's global generator, dropout and RReLU aside, and writes to its input.

    Where `torch.utils.checkpoint` runs dropout or RReLU again, they draw from the global generator, too: it is the one
    whose state is restored for the second time.
    """
    trial, x = copy.deepcopy(network).train(), sample.clone()
    layers = [module for module in trial.modules() if draws_from_a_seed(module)]
    for module in layers:  # which are replaced by layers with a generator of their own
        module.eval()
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        with torch.no_grad():
            trial(x)
        draws = not torch.equal(before, torch.get_rng_state())
        return draws or (bool(layers) and _runs_again(trial.train(), layers, sample.clone())), x._version > 0


def _runs_again(network: nn.Module, layers: Sequence[nn.Module], x: Tensor) -> bool:
    """Whether a backward pass runs any of these layers once more."""
    runs: list[nn.Module] = []
    for layer in layers:
        layer.register_forward_pre_hook(lambda layer, _: runs.append(layer))
    with torch.enable_grad(), network.recomputing() if isinstance(network, Exchanged) else nullcontext():
        output = network(x)
        forward = len(runs)
        if output.requires_grad:
            output.sum().backward()
    return len(runs) > forward


# ---------------------------------------------------------------- memory format


@torch.no_grad()
def _takes_channels_last(network: nn.Module, sample: Tensor) -> bool:
    """Whether there are convolutions, and all layers compute the same with the channels innermost in memory."""
    if not _has_convolutions(network):
        return False
    trial = copy.deepcopy(network).eval()
    expected = trial(sample)
    try:
        computed = trial.to(memory_format=torch.channels_last)(sample.contiguous(memory_format=torch.channels_last))
    except RuntimeError:  # a module that depends on the memory layout
        return False
    return close(computed, expected)


def _to_channels_last(group: ReplicaGroup) -> None:
    if isinstance(group, SingleReplica):
        group.memory_format = torch.channels_last
        group.network.to(memory_format=torch.channels_last)
    for module in group.modules():
        if isinstance(module, StackedLayer):
            module.memory_format = torch.channels_last
