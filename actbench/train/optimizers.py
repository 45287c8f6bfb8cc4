"""Settings -> optimizers and learning rate schedulers."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.errors import UserError
from actbench.identity import DECAY
from actbench.settings import Choice, Settings, decays_all, is_torchs
from actbench.sites.exchange import Exchanged
from actbench.stacking import activation_sites
from actbench.train.construct import construct, constructor_of
from actbench.train.updates import spare_dynamo

TOTAL_STEPS = "total_steps"  # as the value of a scheduler's parameter: how often it is stepped in the run


def optimizer_constructor(settings: Settings) -> partial[Any]:
    """The optimizer's class, bound to its parameters.

    Raises:
        UserError: it is not a class, or not trusted.
    """
    choice = settings.optimizer
    if is_torchs(choice):  # none of which has such a parameter
        choice = replace(choice, params={key: value for key, value in choice.params.items() if key != DECAY})
    constructor = constructor_of("optimizer", choice, settings.trust)
    if not isinstance(constructor.func, type):
        raise UserError(f"{constructor.func} is not a class", where="optimizer", how="a `_target_` that is one")
    return constructor


def build_optimizer(
    settings: Settings, constructor: partial[Any], network: nn.Module, device: torch.device, *, plain: nn.Module
) -> Optimizer:
    """The optimizer of a network's parameters, fused only where torch has a fused one.

    Args:
        settings: of the run.
        constructor: of the optimizer.
        network: of one seed, or of several that are stacked.
        device: on which it lies.
        plain: the ordinary network of one of these seeds, whose parameters have the same names.

    Raises:
        UserError: it cannot be built.
    """
    spare_dynamo()
    fused = constructor.keywords.get("fused")
    possible = partial(constructor, fused=None) if fused and device.type not in ("cpu", "cuda") else constructor
    parameters = [*network.parameters()] if decays_all(settings.optimizer) else _by_decay(network, plain)
    return construct("optimizer", lambda: possible(parameters), settings.optimizer, settings.trust)


def _by_decay(network: nn.Module, plain: nn.Module) -> list[dict[str, Any]]:
    """Two groups of parameters, the second without weight decay: biases, and those of norms and activations.

    A network of the user's own may name others, such as positional embeddings, by its method `no_weight_decay`.
    """
    spared = {id(parameter) for module in activation_sites(plain).values() for parameter in module.parameters()}
    if isinstance(plain, Exchanged):
        spared |= {id(parameter) for parameter in plain.without_decay()}
    for module in plain.modules():
        if isinstance(module, _NORMS):
            spared |= {id(parameter) for parameter in module.parameters(recurse=False)}
    decayed = {name for name, p in plain.named_parameters() if p.ndim > 1 and id(p) not in spared}
    named = dict(network.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for name, parameter in named.items() if name in decayed]},
        {"params": [parameter for name, parameter in named.items() if name not in decayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, *filter(None, [getattr(nn, "RMSNorm", None)]))


def build_scheduler(settings: Settings, optimizer: Optimizer, samples: int) -> LRScheduler | None:
    """The scheduler of an optimizer; None where the settings have none.

    Args:
        settings: of the run.
        optimizer: which must not have taken a step.
        samples: of the training set, which decide how many steps the run has.

    Raises:
        UserError: it cannot be built, or is not one of torch's.
    """
    if settings.scheduler.target is None:
        return None
    params = {key: value for key, value in settings.scheduler.params.items() if key != "interval"}
    steps = math.ceil(samples / settings.train.batch_size) if steps_each_batch(settings) else 1
    total = settings.train.epochs * steps
    params = {key: total if value == TOTAL_STEPS else value for key, value in params.items()}
    choice = Choice(settings.scheduler.name, settings.scheduler.target, params)
    constructor = constructor_of("scheduler", choice, settings.trust)
    scheduler = construct("scheduler", lambda: constructor(optimizer), settings.scheduler, settings.trust)
    if not isinstance(scheduler, LRScheduler):
        raise UserError(
            f"{settings.scheduler.target} returned {type(scheduler).__name__}",
            where=f"scheduler={settings.scheduler.name}",
            how="return a torch.optim.lr_scheduler.LRScheduler",
        )
    return scheduler


def steps_each_batch(settings: Settings) -> bool:
    """Whether the scheduler is stepped after every training step, instead of after every epoch."""
    return settings.scheduler.params.get("interval") == "step"
