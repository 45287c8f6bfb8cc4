"""Whether a stack computes for each seed what its own network does: tried on a few samples before training.

Shape letters: S seeds, B batch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from actbench.stacking.layers.dropout import StackedDropout
from actbench.stacking.layers.rrelu import StackedRReLU
from actbench.stacking.protocol import Generators
from actbench.stacking.randomness import draws_from_a_seed
from actbench.stacking.replicas import StackedReplicas


def computes_the_same(
    stacked: StackedReplicas, networks: Sequence[nn.Module], generators: Generators, sample: Tensor
) -> bool:
    """Whether a stack computes for each seed what its own network does, in training and in evaluation.

    Each seed is given other images, so that a layer that mixes the seeds is noticed.
    """
    x = torch.stack([sample * (1.0 + 0.5 * seed) for seed in range(len(networks))])
    for training in (False, True):
        trial, plain = _copies(stacked, networks, generators, training=training)
        with torch.no_grad():
            expected = torch.stack([network(of_seed.clone()) for network, of_seed in zip(plain, x, strict=True)])
            try:
                computed = trial(x.clone())
            except Exception:  # a module that expects a certain number of dimensions, or an attribute of a layer
                return False
        if not close(computed, expected):
            return False
    return True


@torch.enable_grad()
def has_the_same_gradients(
    stacked: StackedReplicas, networks: Sequence[nn.Module], generators: Generators, sample: Tensor
) -> bool:
    """Whether the gradients of all parameters are, for each seed, those of its own network in training."""
    x = torch.stack([sample * (1.0 + 0.5 * seed) for seed in range(len(networks))])
    trial, plain = _copies(stacked, networks, generators, training=True)
    logits = trial(x.clone())
    weights = torch.linspace(-1.0, 1.0, logits[0].numel(), dtype=logits.dtype).view_as(logits[0])
    (logits * weights).sum().backward()
    _become_gradients(trial)
    for seed, network in enumerate(plain):
        (network(x[seed].clone()) * weights).sum().backward()
        _become_gradients(network)
        largest = max((float(p.detach().abs().max()) for p in network.parameters() if p.numel()), default=0.0)
        found, expected = trial.state_of(seed), network.state_dict()
        if not all(close(found[name], value, 1e-5 * largest) for name, value in expected.items()):
            return False
    return True


@torch.no_grad()
def _become_gradients(module: nn.Module) -> None:
    """Gives all parameters the values of their gradients, which a state then has in the layout of a plain network."""
    for parameter in module.parameters():
        parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)


def _copies(
    stacked: StackedReplicas, networks: Sequence[nn.Module], generators: Generators, *, training: bool
) -> tuple[StackedReplicas, list[nn.Module]]:
    uncopied = {id(shared): shared for shared in (*generators, *stacked.template)}
    trial = copy.deepcopy(stacked, uncopied).train(training)
    plain = [copy.deepcopy(network).train(training) for network in networks]
    _without_randomness(trial)
    return trial, [_without_randomness(network) for network in plain]


def _without_randomness(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, (nn.Dropout, StackedDropout)):
            module.p = 0.0
        elif draws_from_a_seed(module) or isinstance(module, StackedRReLU):
            module.eval()
    return network


def close(computed: Tensor, expected: Tensor, noise: float = 0.0) -> bool:
    """Whether two tensors are the same up to the rounding of a trial, and up to `noise`."""
    if computed.shape != expected.shape:
        return False
    size = float(torch.nan_to_num(expected, 0.0, 0.0, 0.0).abs().max())
    return torch.allclose(computed, expected, rtol=1e-3, atol=max(noise, 1e-3 * size), equal_nan=True)
