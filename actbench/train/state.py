"""`Training`: everything that a run trains with; `state` and `load_state` save and restore what training changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, cycle, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.datasets import Splits
from actbench.datasets.streaming import Streamed
from actbench.measures.computing.history import UnitHistory
from actbench.measures.own import OwnMeasurement
from actbench.models import Components
from actbench.stacking import Replicas
from actbench.train.engines import Engine
from actbench.train.workers import Workers


@dataclass(kw_only=True)
class Training:
    """Everything that a run trains with, built by `build.build`: on its device, with nothing left to configure."""

    seeds: list[int]
    network: Replicas
    components: Components  # that the networks were built with
    initial_activations: dict[str, nn.Module]  # layer -> the first seed's activation before training, on the CPU
    workers: Workers  # one for each shard of the network
    optimizers: list[Optimizer]  # one for each group of the network
    schedulers: list[LRScheduler]  # one for each optimizer, or none at all
    schedule_by_step: bool  # whether they are stepped after every training step instead of every epoch
    clip: Callable[[Sequence[Tensor]], None] | None
    augment: Callable[..., Tensor] | None
    splits: Splits
    order: list[torch.Generator]  # of the samples; on the CPU, so that it is the same for every device
    dropout: list[torch.Generator]
    augmentation: list[torch.Generator]
    epochs: int
    batch_size: int
    eval_batch_size: int
    bf16: bool
    probe: bool
    probe_every: int | None  # steps between looks within an epoch
    device: torch.device
    engine: Engine
    pretrained: bool = False  # whether the networks start from weights that were trained before
    measurements: tuple[OwnMeasurement, ...] = ()  # the user's own

    @property
    def execution(self) -> str:
        """How the seeds run and why, for the log and the summary."""
        way, colon, why = self.network.execution.partition(": ")
        x = self.splits.train_x
        streamed = f"; samples are streamed: {x.stored.why}" if isinstance(x, Streamed) else ""
        return f"{way}, {self.engine.name}{colon}{why}{streamed}"

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.splits.train_y) / self.batch_size)

    @cached_property
    def lives(self) -> UnitHistory:
        """The history of every unit, from epoch to epoch."""
        return UnitHistory(self.seeds, self.steps_per_epoch)

    @cached_property
    def finer_lives(self) -> UnitHistory:
        """The same from look to look, with `probe_every`."""
        return UnitHistory(self.seeds, self.steps_per_epoch)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that forward passes run in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def state(self) -> dict[str, Any]:
        """Everything that training changes. After `load_state`, training continues bit for bit.

        The state of stacked replicas does not depend on the number of groups that they are split into, so that a
        machine with another number of cores can continue.
        """
        stacked = self.network.stacked
        return {
            "network": _merge([group.state_dict() for group in self.network.groups], stacked),
            "optimizers": _merge([optimizer.state_dict() for optimizer in self.optimizers], stacked),
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "generators": [generator.get_state() for generator in self._generators()],
            "lives": [self.lives.state(), self.finer_lives.state()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned, in this process or an earlier one.

        Raises:
            RuntimeError, ValueError, KeyError, TypeError: it is the state of other settings, or of another version.
        """
        groups, stacked = self.network.groups, self.network.stacked
        sizes = [group.seeds for group in groups]
        for group, content in zip(groups, _split(state["network"], sizes, stacked), strict=True):
            group.load_state_dict(content)
        for optimizer, content in zip(self.optimizers, _split(state["optimizers"], sizes, stacked), strict=True):
            optimizer.load_state_dict(content)
            _match_memory_format(optimizer)
        for scheduler, content in zip(self.schedulers, cycle(state["schedulers"]), strict=False):
            scheduler.load_state_dict(content)
        for generator, content in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(content.cpu())
        for lives, content in zip((self.lives, self.finer_lives), state["lives"], strict=True):
            lives.load_state(content)

    def _generators(self) -> list[torch.Generator]:
        return [*self.order, *self.dropout, *self.augmentation]


def _merge(states: Sequence[Any], stacked: bool) -> list[Any]:
    """The states of several stacked groups as that of one; the states of single replicas as they are."""
    return [_concatenate(states)] if stacked and len(states) > 1 else list(states)


def _concatenate(states: Sequence[Any]) -> Any:
    """Tensors have the seeds in front and are concatenated; everything else is the same in each state."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat([*states]) if first.ndim else first
    if isinstance(first, dict):
        return {key: _concatenate([state[key] for state in states]) for key in first}
    return first


def _split(states: Sequence[Any], sizes: Sequence[int], stacked: bool) -> list[Any]:
    """What `_merge` returned, as the states of groups of these sizes."""
    if not stacked or len(states) == len(sizes):
        return list(states)
    edges = [0, *accumulate(sizes)]
    return [_slice(states[0], slice(*edge)) for edge in pairwise(edges)]


def _slice(state: Any, seeds: slice) -> Any:
    if isinstance(state, Tensor):
        return state[seeds].clone() if state.ndim else state.clone()
    if isinstance(state, dict):
        return {key: _slice(value, seeds) for key, value in state.items()}
    return state


def _match_memory_format(optimizer: Optimizer) -> None:
    """Gives the optimizer's state the memory format of the parameters, which fused kernels assume.

    It may have been saved by a process that used another one.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
