"""One training step: a `GroupTrainer` takes it for one group of seeds, a `ShardTrainer` for all groups of one thread.

Shape letters: S seeds, s seeds of a group or shard, B batch, C classes, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.datasets.streaming import Streamed
from actbench.measures.gradients import gradient_norms
from actbench.stacking import ReplicaGroup
from actbench.train.engines import Forward, Step
from actbench.train.evaluation import Scores, cross_entropy
from actbench.train.machine import busy_share
from actbench.train.outcome import GradientLook, StepOutcome, of_all_seeds
from actbench.train.state import Training
from actbench.train.updates import Update, update_of

GRADIENT_LOOKS = 8  # number of steps in each epoch at which gradient norms are measured
PARTS = 32  # of an epoch; after each, a thread may go on with another shard


@dataclass
class Control:
    """The loop's progress in `steps`; setting `stop` ends it after the current step."""

    steps: int = 0
    stop: bool = False


@dataclass(kw_only=True)
class GroupTrainer:
    """One group of replicas with everything that its training step needs."""

    training: Training
    group: ReplicaGroup
    forward: Forward
    optimizer: Optimizer
    scheduler: LRScheduler | None
    update: Update
    augmentation: Sequence[torch.Generator]
    parameters: list[Tensor]

    def step(self, rows: Tensor, look: bool) -> StepOutcome:
        """Takes one step on the samples with the indices `rows` (s, B); `look` also measures gradient norms."""
        training, splits = self.training, self.training.splits
        x, y = _take(splits.train_x, rows), _take(splits.train_y, rows)  # (s, B, ...), (s, B)
        if training.augment is not None:
            x = training.augment(x, generators=self.augmentation, background=splits.background)
        with training.autocast():
            logits = self.forward(x)  # (s, B, C)
            losses = cross_entropy(logits, y)  # (s, B)
        with self.group.recomputing():
            losses.mean(1).sum().backward()  # a sum, so that each seed's gradient is the same as if it trained alone
        gradients = look_and_clip(self.group, training.clip) if look else None
        if not look and training.clip is not None:
            training.clip(list(self.group.gradients().values()))
        self.update()
        for parameter in self.parameters:
            parameter.grad = None
        return StepOutcome(losses.detach(), logits.detach().argmax(-1) == y, gradients)


def look_and_clip(group: ReplicaGroup, clip: Callable[[Sequence[Tensor]], None] | None) -> GradientLook:
    """Measures the gradient norms, then clips with `clip` (None: not at all), and records which seeds that changed."""
    total, layers = gradient_norms(group)
    if clip is None:
        return GradientLook(total, layers, torch.full_like(total, math.nan))
    gradients = list(group.gradients().values())
    before = [gradient.clone() for gradient in gradients]
    clip(gradients)
    changed = [(g != b).reshape(len(g), -1).any(1) for g, b in zip(gradients, before, strict=True)]
    return GradientLook(total, layers, torch.stack(changed).any(0).to(total.dtype))


class ShardTrainer:
    """Trains the seeds of one thread, and collects the scores and gradient norms of their steps.

    Args:
        training: of all seeds.
        seeds: the rows of this shard in tensors (S, ...) of all seeds.
        groups: a trainer for each of its groups, which take their steps one after the other.
    """

    def __init__(self, training: Training, seeds: slice, groups: Sequence[GroupTrainer]) -> None:
        self.training, self.seeds = training, seeds
        self.schedulers = [group.scheduler for group in groups if group.scheduler is not None]
        self.optimizer = groups[0].optimizer
        self.take_step = training.engine.step(_step_of(groups))
        self.looks = _spread(training.steps_per_epoch, GRADIENT_LOOKS) if training.probe else set()

    def begin(self, order: Tensor) -> None:
        """Begins an epoch; `order` (S, N) has the order of the samples for all seeds."""
        self.batches = order[self.seeds].split(self.training.batch_size, dim=1)
        self.step = 0  # number of steps taken in this epoch
        self.lr = math.nan
        self.scores: list[Scores] = []  # of each step
        self.gradients: list[GradientLook] = []  # of the steps in `looks`
        self.busy: list[float] = []  # at these steps, how busy the GPU was (0 to 1)

    def train(self, end: int, control: Control) -> float:
        """Takes the next few steps of the epoch, `end` at most; returns how many are left, times the number of seeds.

        None are left once `control.stop` is set or another shard has failed.
        """
        few = min(end, self.step + -(-self.training.steps_per_epoch // PARTS))
        while self.step < few:
            if control.stop or self.training.workers.interrupted:
                return 0.0
            outcome = self.take_step(self.batches[self.step], self.step in self.looks)
            self.scores.append(Scores(outcome.losses, outcome.hits))
            if outcome.gradients is not None:
                self.gradients.append(outcome.gradients)
                self.busy.append(busy_share(self.training.device))
            self.lr = float(self.optimizer.param_groups[0]["lr"])  # of the step just taken
            if self.training.schedule_by_step:
                advance(self.schedulers)
            self.step += 1
            if self.seeds.start == 0:
                control.steps += 1
        return float((end - self.step) * len(self.batches[0]))


def shard_trainers(training: Training) -> list[ShardTrainer]:
    """One trainer for each shard of the network."""
    augmentation = iter(training.augmentation)
    schedulers = iter(training.schedulers)
    optimizers = iter(training.optimizers)
    trainers, first = [], 0
    for shard in training.network.shards:
        groups = [
            GroupTrainer(
                training=training,
                group=group,
                forward=training.engine.forward(group),
                optimizer=(optimizer := next(optimizers)),
                scheduler=next(schedulers, None),
                update=update_of(optimizer),
                augmentation=list(islice(augmentation, group.seeds)),
                parameters=list(group.parameters()),
            )
            for group in shard.groups
        ]
        trainers.append(ShardTrainer(training, slice(first, first + shard.seeds), groups))
        first += shard.seeds
    return trainers


def _step_of(groups: Sequence[GroupTrainer]) -> Step:
    """The step of several groups, one after the other: (rows (s, B), look) -> the outcome for all their seeds.

    It is what an engine executes.
    """
    portions = [group.group.seeds for group in groups]

    def step(rows: Tensor, look: bool) -> StepOutcome:
        parts = [rows] if len(groups) == 1 else rows.split(portions)
        return of_all_seeds([group.step(part, look) for group, part in zip(groups, parts, strict=True)])

    return step


def _take(samples: Tensor | Streamed, rows: Tensor) -> Tensor:
    """`samples[rows]` in half the time on a CPU."""
    flat = rows.flatten()
    chosen = samples[flat] if isinstance(samples, Streamed) else samples.index_select(0, flat)
    return chosen.view(*rows.shape, *samples.shape[1:])


def _spread(steps: int, looks: int) -> set[int]:
    """`looks` step numbers, evenly spaced over an epoch of `steps`, beginning with 0."""
    return {k * steps // looks for k in range(looks)}


def advance(schedulers: Sequence[LRScheduler]) -> None:
    """Moves every scheduler to its next learning rate."""
    for scheduler in schedulers:
        scheduler.step()
