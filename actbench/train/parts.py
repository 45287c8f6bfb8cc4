"""What a run trains with, and the state that training changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.datasets import Splits
from actbench.engines import Engine
from actbench.probes import Lives
from actbench.stacking import Ensemble


@dataclass(kw_only=True)
class Parts:
    """Everything a run trains with: built, on the device, and nothing left to configure."""

    seeds: list[int]
    network: Ensemble
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

    @property
    def execution(self) -> str:
        """How the seeds are run, for the log and the summary."""
        way, colon, why = self.network.execution.partition(": ")
        return f"{way}, {self.engine.name}{colon}{why}"

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.splits.train_y) / self.batch_size)

    @cached_property
    def lives(self) -> Lives:
        """What became of every unit, from epoch to epoch."""
        return Lives(self.seeds, self.steps_per_epoch)

    @cached_property
    def finer_lives(self) -> Lives:
        """The same from look to look, with `probe_every`."""
        return Lives(self.seeds, self.steps_per_epoch)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def state(self) -> dict[str, Any]:
        """Everything that training changes; `load_state` goes on from it bit for bit."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "generators": [generator.get_state() for generator in self._generators()],
            "lives": [self.lives.state(), self.finer_lives.state()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        for optimizer, content in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
            _lay_like_parameters(optimizer)
        for scheduler, content in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(content)
        for generator, content in zip(self._generators(), state["generators"], strict=True):
            generator.set_state(content.cpu())
        for lives, content in zip((self.lives, self.finer_lives), state["lives"], strict=True):
            lives.load_state(content)

    def _generators(self) -> list[torch.Generator]:
        return [*self.order, *self.dropout, *self.augmentation]


def _lay_like_parameters(optimizer: Optimizer) -> None:
    """Gives the optimizer's state the parameters' order in memory, which fused kernels take for granted.

    It was saved in that of an earlier process, which may have run in another memory format.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
