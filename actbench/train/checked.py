"""Which jobs of a sweep need no check of their own: those like one in which nothing was wrong, but for numbers.

A learning rate decides nothing about a network that could fail. Of a job that differs from another one only in such
numbers, the optimizer, its scheduler and the clip are made and stepped, on a few weights.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from actbench.copies import like
from actbench.custom import loading
from actbench.custom.trust import is_own
from actbench.settings import GROUPS, Settings
from actbench.stacking.choosing import ELEMENTWISE_OPTIMIZERS
from actbench.train.checks import training_samples
from actbench.train.construct import optional_constructor
from actbench.train.optimizers import build_optimizer, build_scheduler, optimizer_constructor
from actbench.train.updates import update_of

_STEPPED = ("optimizer", "scheduler", "clip")
_NO_MATTER = ("seed", "study", "dataset_note")


class Checked:
    """The jobs of a sweep that were checked."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._stepped: set[str] = set()

    def add(self, settings: Settings) -> None:
        """Nothing was found wrong with this one, by all of `checks.check`."""
        if not _has_own_code(settings):
            self._kinds.add(_kind(settings))

    def covers(self, settings: Settings) -> bool:
        """Whether nothing can be wrong with this one, since nothing was with others."""
        if _has_own_code(settings) or _kind(settings) not in self._kinds:
            return False
        key = repr([getattr(settings, name) for name in (*_STEPPED, "dataset", "train")])
        if key not in self._stepped and _can_be_stepped(settings):
            self._stepped.add(key)
        return key in self._stepped


def _has_own_code(settings: Settings) -> bool:
    own = any(is_own(getattr(settings, group).target) for group in GROUPS)
    return own or bool(settings.measures) or settings.weights is not None


def _kind(settings: Settings) -> str:
    """What jobs have in common that differ in such numbers."""
    stepped = {group: getattr(settings, group) for group in _STEPPED}
    stepped = {group: replace(choice, params=_without_numbers(choice.params)) for group, choice in stepped.items()}
    return repr(like(settings, **dict.fromkeys(_NO_MATTER), **stepped))


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_numbers(inner) for inner in value]
    return float if isinstance(value, float) else value


def _can_be_stepped(settings: Settings) -> bool:
    """Whether its optimizer, scheduler and clip do well on a few weights; if not, the whole check tells why."""
    network = nn.Module()
    for name, shape in (("weight", (2, 2)), ("bias", (2,))):
        parameter = nn.Parameter(torch.ones(shape))
        parameter.grad = torch.ones(shape)
        network.register_parameter(name, parameter)
    try:
        constructor = optimizer_constructor(settings)
        if constructor.func not in ELEMENTWISE_OPTIMIZERS:  # which may depend on the shapes of the network's weights
            return False
        if (clip := optional_constructor("clip", settings.clip, settings.trust)) is not None:
            clip([parameter.grad[None] for parameter in network.parameters() if parameter.grad is not None])
        optimizer = build_optimizer(settings, constructor, network, torch.device("cpu"), plain=network)
        samples = training_samples(settings.dataset, loading.load_splits(settings.dataset, settings.trust))
        scheduler = build_scheduler(settings, optimizer, samples)
        update_of(optimizer)()
        if scheduler is not None:
            scheduler.step()
    except Exception:
        return False
    return True
