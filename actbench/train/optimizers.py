"""Settings -> optimizers and learning rate schedulers."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.errors import UserError
from actbench.settings import Choice, Settings
from actbench.train.construct import construct, constructor_of
from actbench.train.updates import spare_dynamo

TOTAL_STEPS = "total_steps"  # as the value of a scheduler's parameter: how often it is stepped in the run


def optimizer_constructor(settings: Settings) -> partial[Any]:
    """The optimizer's class, bound to its parameters.

    Raises:
        UserError: it is not a class, or not trusted.
    """
    constructor = constructor_of("optimizer", settings.optimizer, settings.trust)
    if not isinstance(constructor.func, type):
        raise UserError(f"{constructor.func} is not a class", where="optimizer", how="a `_target_` that is one")
    return constructor


def build_optimizer(
    settings: Settings, constructor: partial[Any], parameters: list[nn.Parameter], device: torch.device
) -> Optimizer:
    """The optimizer of these parameters, which lie on `device`; fused only where torch has a fused one.

    Raises:
        UserError: it cannot be built.
    """
    spare_dynamo()
    fused = constructor.keywords.get("fused")
    possible = partial(constructor, fused=None) if fused and device.type not in ("cpu", "cuda") else constructor
    return construct("optimizer", lambda: possible(parameters), settings.optimizer, settings.trust)


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
