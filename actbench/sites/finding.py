"""Finds the activation sites of any network by trial passes, however they are written: as modules or as calls.

Modules are found as they are called, calls (`F.relu(x)`, `x.relu()`, `torch.tanh(x)`) by a mode of torch that sees all
functions. What the network does with an output tells a gate from an activation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from actbench.sites import kinds
from actbench.sites.places import Place
from actbench.sites.site import Found, Site, named
from actbench.sites.trial import Trial


def find(network: nn.Module, inputs: Tensor, check: Callable[[Any], None] | None = None) -> list[Site]:
    """The sites of a network, in the order in which a pass meets them.

    A copy of the network is tried in training mode and in evaluation mode; the network itself is left as it is, and so
    are torch's random numbers.

    Args:
        network: any module, on the CPU.
        inputs: a small batch (B, ...), B ≥ 2.
        check: is given what the network returns.

    Raises:
        Exception: what the network or `check` raises.
    """
    network = copy.deepcopy(network)
    found: dict[tuple[Any, ...], Found] = {}
    recomputed: set[Place] = set()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for training in (True, False):  # training tells what is recomputed
            trial = Trial(network.train(training), found, recomputed)
            with trial:
                output = network(inputs.clone())
            trial.ends_with(output)
            if check is not None:
                check(output)
    return named([*found.values()], {name for name, _ in network.named_modules()})


def untie(network: nn.Module) -> None:
    """Gives an activation that stands at several paths a module at each of them, which share its parameters.

    `nn.Sequential(linear1, act, linear2, act)` calls one module at two sites, which only their paths tell apart.
    """
    paths: dict[int, list[str]] = {}
    for path, module in network.named_modules(remove_duplicate=False):
        if kinds.kind_of(module) or kinds.kind_by_trial(module):
            paths.setdefault(id(module), []).append(path)
    for _, *others in paths.values():
        for path in others:
            above, _, last = path.rpartition(".")
            holder = network.get_submodule(above)
            module = holder._modules[last]
            assert module is not None
            holder._modules[last] = shallow_copy(module)


def shallow_copy(module: nn.Module) -> nn.Module:
    """Another module with the same parameters and buffers, and without hooks."""
    copied = copy.copy(module)
    copied.__dict__.pop("forward", None)
    for name, value in vars(module).items():
        if "_hooks" in name and isinstance(value, dict):
            copied.__dict__[name] = type(value)()
    return copied
