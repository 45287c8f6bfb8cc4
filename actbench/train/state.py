"""What a run trains with, and the state that training changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, cycle, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.datasets import Splits
from actbench.measures.computing.history import UnitHistory
from actbench.measures.own import OwnMeasurement
from actbench.stacking import Replicas
from actbench.train.engines import Engine
from actbench.train.workers import Workers


@dataclass(kw_only=True)
class Training:
    """Everything a run trains with: built, on the device, and nothing left to configure."""

    seeds: list[int]
    network: Replicas
    workers: Workers  # as many as the network has shares
    optimizers: list[Optimizer]  # one for each member of the network
    schedulers: list[LRScheduler]  # one for each optimizer, or none
    schedule_by_step: bool
    clip: Callable[[Sequence[Tensor]], None] | None
    augment: Callable[..., Tensor] | None
    splits: Splits
    order: list[torch.Generator]  # on the CPU: the order of samples is the same on every device
    dropout: list[torch.Generator]
    augmentation: list[torch.Generator]
    epochs: int
    batch_size: int
    eval_batch_size: int
    bf16: bool
    probe: bool
    probe_every: int | None  # steps between further looks
    device: torch.device
    engine: Engine
    measurements: tuple[OwnMeasurement, ...] = ()  # of the user's own

    @property
    def execution(self) -> str:
        """How the seeds are run, for the log and the summary."""
        way, colon, why = self.network.execution.partition(": ")
        return f"{way}, {self.engine.name}{colon}{why}"

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.splits.train_y) / self.batch_size)

    @cached_property
    def lives(self) -> UnitHistory:
        """What became of every unit, from epoch to epoch."""
        return UnitHistory(self.seeds, self.steps_per_epoch)

    @cached_property
    def finer_lives(self) -> UnitHistory:
        """The same from look to look, with `probe_every`."""
        return UnitHistory(self.seeds, self.steps_per_epoch)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def state(self) -> dict[str, Any]:
        """Everything that training changes; `load_state` goes on from it bit for bit.

        Of a stack it is the same however many workers share it, so that another machine can go on.
        """
        members, optimizers = self.network.members, self.optimizers
        return {
            "network": _joined([member.state_dict() for member in members], self.network.stacked),
            "optimizers": _joined([optimizer.state_dict() for optimizer in optimizers], self.network.stacked),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "generators": [generator.get_state() for generator in self._generators()],
            "lives": [self.lives.state(), self.finer_lives.state()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        stacked, seeds = self.network.stacked, [member.seeds for member in self.network.members]
        for member, content in zip(self.network.members, _parted(state["network"], seeds, stacked), strict=True):
            member.load_state_dict(content)
        for optimizer, content in zip(self.optimizers, _parted(state["optimizers"], seeds, stacked), strict=True):
            optimizer.load_state_dict(content)
            _lay_like_parameters(optimizer)
        for scheduler, content in zip(self.schedulers, cycle(state["schedulers"]), strict=False):
            scheduler.load_state_dict(content)
        for generator, content in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(content.cpu())
        for lives, content in zip((self.lives, self.finer_lives), state["lives"], strict=True):
            lives.load_state(content)

    def _generators(self) -> list[torch.Generator]:
        return [*self.order, *self.dropout, *self.augmentation]


def _joined(states: Sequence[Any], stacked: bool) -> list[Any]:
    """The states of several stacks as that of one: tensors have the seeds in front, all else is the same in each."""
    return [_join(states)] if stacked and len(states) > 1 else list(states)


def _join(states: Sequence[Any]) -> Any:
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat([*states]) if first.ndim else first
    if isinstance(first, dict):
        return {key: _join([state[key] for state in states]) for key in first}
    return first


def _parted(states: Sequence[Any], seeds: Sequence[int], stacked: bool) -> list[Any]:
    """The state of a stack for several that have so many `seeds`: what `_joined` put together."""
    if not stacked or len(states) == len(seeds):
        return list(states)
    edges = [0, *accumulate(seeds)]
    return [_part(states[0], slice(*edge)) for edge in pairwise(edges)]


def _part(state: Any, seeds: slice) -> Any:
    if isinstance(state, Tensor):
        return state[seeds].clone() if state.ndim else state.clone()
    if isinstance(state, dict):
        return {key: _part(value, seeds) for key, value in state.items()}
    return state


def _lay_like_parameters(optimizer: Optimizer) -> None:
    """Gives the optimizer's state the parameters' order in memory, which fused kernels take for granted.

    It was saved in that of an earlier process, which may have run in another memory format.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
