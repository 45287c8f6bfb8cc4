"""The training loop: S seeds of one configuration at once.

Shape letters: S seeds, L layers, N samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actbench.measures.scores import EpochRecord
from actbench.records import Epoch
from actbench.train.evaluation import means
from actbench.train.looks import look_at_untrained, look_between, validate
from actbench.train.machine import wait_for
from actbench.train.outcome import GradientLook, mean_look
from actbench.train.state import Training
from actbench.train.step import Control, ShardTrainer, advance, shard_trainers
from actbench.train.waiting import WaitingShare


def fit(training: Training, *, control: Control, done: int = 0, diverged: Sequence[int] = ()) -> Iterator[Epoch]:
    """Trains from epoch `done` + 1 to the last one, and yields the results of each epoch.

    If `done` is 0 and units are measured, or the network starts from given weights, the first item is epoch 0: the
    network before training.

    Args:
        training: what to train; it is changed in place.
        control: counts the steps. Once `control.stop` is set, the generator ends without yielding the current epoch.
        done: epochs that are already trained.
        diverged: seeds that diverged in these epochs. Training ends once every seed has diverged.
    """
    alive = [seed for seed in training.seeds if seed not in diverged]
    shards = shard_trainers(training)
    if done == 0 and (training.probe or training.pretrained):
        yield Epoch(number=0, rows=look_at_untrained(training))
    for number in range(done + 1, training.epochs + 1):
        if not alive:
            return
        began, waiting, within = time.perf_counter(), WaitingShare(), LooksWithinEpoch()
        training.network.train()
        order = sample_order(training)  # (S, N)
        for shard in shards:
            shard.begin(order)
        for end in _steps_with_a_look(training, number):
            training.workers.share(partial(ShardTrainer.train, end=end, control=control), shards)
            if any(shard.step < end for shard in shards):  # `control.stop` was set
                return
            if end < training.steps_per_epoch:
                within.look(training, (number - 1) * training.steps_per_epoch + end, alive)
        if not training.schedule_by_step:
            advance(training.schedulers)
        epoch = _finish(training, number, alive, shards, began, waiting, within)
        yield epoch
        alive = [seed for seed in alive if seed not in epoch.diverged]


def sample_order(training: Training) -> Tensor:
    """A random order of the training samples for each seed, drawn for one epoch: indices (S, N)."""
    n = len(training.splits.train_y)
    return torch.stack([torch.randperm(n, generator=generator) for generator in training.order]).to(training.device)


def _steps_with_a_look(training: Training, epoch: int) -> list[int]:
    """The steps of an epoch after which the network is measured: those of `probe_every`, and the last one."""
    steps, every = training.steps_per_epoch, training.probe_every if training.probe else None
    before = (epoch - 1) * steps
    looks = [step for step in range(1, steps) if (before + step) % every == 0] if every else []
    return [*looks, steps]


@dataclass
class LooksWithinEpoch:
    """The looks that `probe_every` asks for within an epoch: their rows, and the time they took."""

    rows: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    def look(self, training: Training, step: int, alive: Sequence[int]) -> None:
        wait_for(training.device)  # so that the time of pending steps is not counted as the look's
        before = time.perf_counter()
        self.rows += look_between(training, step, alive)
        self.seconds += time.perf_counter() - before


def _finish(
    training: Training,
    number: int,
    alive: Sequence[int],
    shards: Sequence[ShardTrainer],
    began: float,
    waiting: WaitingShare,
    within: LooksWithinEpoch,
) -> Epoch:
    """Waits for the device, validates, measures the units, and collects the results of the epoch."""
    train = means([shard.scores for shard in shards])
    trained = time.perf_counter()
    gradients, busy = _gradients(shards), shards[0].busy
    validation, rows = validate(training, number, gradients.layers, alive)
    ended, waited = time.perf_counter(), waiting.now()
    records = [
        EpochRecord(
            seed=seed,
            epoch=number,
            lr=shards[0].lr,
            train_loss=train.losses[s],
            train_accuracy=train.accuracies[s],
            val_loss=validation.losses[s],
            val_accuracy=validation.accuracies[s],
            grad_norm=float(gradients.total[s]),
            seconds=ended - began,
            clipped=float(gradients.clipped[s]),
            waiting=waited,
        )
        for s, seed in enumerate(training.seeds)
        if seed in alive
    ]
    return Epoch(
        number=number,
        rows=(*records, *within.rows, *rows),
        diverged=tuple(r.seed for r in records if not (math.isfinite(r.train_loss) and math.isfinite(r.val_loss))),
        train_seconds=trained - began - within.seconds,
        eval_seconds=ended - trained,
        look_seconds=within.seconds,
        busy=math.fsum(busy) / len(busy) if busy else math.nan,
    )


def _gradients(shards: Sequence[ShardTrainer]) -> GradientLook:
    """The gradient norms of all seeds on the CPU, averaged over the measured steps of an epoch; NaN without any."""
    if not shards[0].gradients:
        unknown = torch.full((shards[-1].seeds.stop,), math.nan)
        return GradientLook(unknown, unknown[None, :0], unknown)
    return GradientLook(*(part.cpu() for part in mean_look([shard.gradients for shard in shards])))
