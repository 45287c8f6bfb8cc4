"""Finds the activation sites of any network by trial passes, however they are written: as modules or as calls.

Modules are found as they are called, calls (`F.relu(x)`, `x.relu()`, `torch.tanh(x)`) by a mode of torch that sees all
functions. What the network does with an output tells a gate from an activation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from actbench.sites import kinds
from actbench.sites.places import Place
from actbench.sites.site import Found, Site, named
from actbench.sites.trial import Trial


def find(
    network: nn.Module, inputs: Tensor, activations: Mapping[str, str], check: Callable[[Any], None] | None = None
) -> list[Site]:
    """The sites of a network, in the order in which a pass meets them.

    A copy of the network is tried in training mode and in evaluation mode; the network itself is left as it is, and so
    are torch's random numbers.

    Args:
        network: any module, on the CPU.
        inputs: a small batch (B, ...), B ≥ 2.
        activations: path of a module that is one -> its kind, as `untie` returns them.
        check: is given what the network returns.

    Raises:
        Exception: what the network or `check` raises.
    """
    network = copy.deepcopy(network)
    found: dict[tuple[Any, ...], Found] = {}
    recomputed: set[Place] = set()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for training in (True, False):  # training tells what is recomputed
            x = inputs.clone()
            trial = Trial(network.train(training), [x], activations, found, recomputed)
            with trial:
                output = network(x)
            trial.ends_with(output)
            if check is not None:
                check(output)
    return named([*found.values()], {name for name, _ in network.named_modules()})


def untie(network: nn.Module) -> dict[str, str]:
    """Gives an activation that stands at several paths a module at each of them, which share its parameters.

    `nn.Sequential(linear1, act, linear2, act)` calls one module at two sites, which only their paths tell apart.

    Returns:
        The path of each module that is an activation -> its kind.
    """
    known: dict[int, str | None] = {id(network): _kind(network)}
    untied = {"": known[id(network)]}
    for above, holder in [*network.named_modules()]:  # each once: one that stands at several paths stays one
        for name, module in [*holder._modules.items()]:
            if module is None:
                continue
            if id(module) not in known:
                known[id(module)] = _kind(module)
            elif known[id(module)] is not None:
                holder._modules[name] = shallow_copy(module)
            untied[f"{above}.{name}" if above else name] = known[id(module)]
    return {path: kind for path, kind in untied.items() if kind is not None}


def _kind(module: nn.Module) -> str | None:
    return kinds.kind_of(module) or kinds.kind_by_trial(module)


def shallow_copy(module: nn.Module) -> nn.Module:
    """Another module with the same parameters and buffers, and without hooks."""
    copied = copy.copy(module)
    copied.__dict__.pop("forward", None)
    for name, value in vars(module).items():
        if "_hooks" in name and isinstance(value, dict):
            copied.__dict__[name] = type(value)()
    return copied
