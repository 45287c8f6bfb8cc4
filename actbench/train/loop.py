"""The training loop: S seeds of one configuration at once.

Shape letters: S seeds, B batch, C classes, N samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.records import Epoch, EpochRecord, LookRecord, UnitEvent
from actbench.stacking import Member
from actbench.train.engines import Forward, Outcome, Step
from actbench.train.evaluation import cross_entropy, means
from actbench.train.looks import look_at_epoch, look_at_gradients, look_at_untrained, look_between
from actbench.train.machine import busy_share, wait_for
from actbench.train.state import Training
from actbench.train.updates import Update, update_of

GRADIENT_LOOKS = 8  # steps of an epoch at which the gradient's norm is taken


@dataclass
class Control:
    """What the world outside the loop may see and say: how far it is, and whether it shall stop after this step."""

    steps: int = 0
    stop: bool = False


def fit(training: Training, *, control: Control, done: int = 0, diverged: Sequence[int] = ()) -> Iterator[Epoch]:
    """Trains from epoch `done` + 1 on, and yields after each epoch (first, if `done` is 0, the untrained network).

    It ends early where `control.stop` is set, leaving the running epoch out, and where every seed has diverged.
    `diverged` names the seeds that had done so before.
    """
    network, alive = training.network, [seed for seed in training.seeds if seed not in diverged]
    trainees = _trainees(training)
    if done == 0 and training.probe:
        yield Epoch(number=0, **look_at_untrained(training).records())
    for number in range(done + 1, training.epochs + 1):
        if not alive:
            return
        tally = _Tally(began=time.perf_counter())
        network.train()
        order = _order(training)  # (S, N)
        for trainee in trainees:
            trainee.begin(order)
        for end in _stretches(training, number):
            training.workers.map(partial(Trainee.train, end=end, control=control), trainees)
            if any(trainee.step < end for trainee in trainees):  # asked to stop
                return
            if end < training.steps_per_epoch:
                tally.look(training, (number - 1) * training.steps_per_epoch + end, alive)
        if not training.schedule_by_step:
            _advance(training.schedulers)
        epoch = tally.end(training, number, alive, trainees)
        yield epoch
        alive = [seed for seed in alive if seed not in epoch.diverged]


def _stretches(training: Training, epoch: int) -> list[int]:
    """The steps of an epoch after which there is something to do between two steps, and its last one."""
    steps, every = training.steps_per_epoch, training.probe_every if training.probe else None
    before = (epoch - 1) * steps
    looks = [step for step in range(1, steps) if (before + step) % every == 0] if every else []
    return [*looks, steps]


@dataclass
class _Tally:
    """What an epoch has given so far."""

    began: float
    looks: list[LookRecord] = field(default_factory=list)
    events: list[UnitEvent] = field(default_factory=list)
    look_seconds: float = 0.0

    def look(self, training: Training, step: int, alive: Sequence[int]) -> None:
        wait_for(training.device)  # for steps whose time is not that of the look
        before = time.perf_counter()
        looks, events = look_between(training, step, alive)
        self.looks += looks
        self.events += events
        self.look_seconds += time.perf_counter() - before

    def end(self, training: Training, number: int, alive: Sequence[int], trainees: Sequence[Trainee]) -> Epoch:
        """Waits for the device, validates, and says what the epoch came to."""
        train = means([trainee.scores for trainee in trainees])
        trained = time.perf_counter()
        gradients = _mean_gradients(trainees)  # (1 + L + 1, S)
        busy = trainees[0].busy
        seen = look_at_epoch(training, number, gradients[1:-1], alive)
        ended = time.perf_counter()
        norms, clipped = gradients[0].tolist(), gradients[-1].tolist()
        seconds = ended - self.began
        columns = zip(training.seeds, *train, *seen.scores, norms, clipped, strict=True)
        records = tuple(
            EpochRecord(seed, number, trainees[0].lr, loss, accuracy, loss_val, accuracy_val, norm, seconds, share)
            for seed, loss, accuracy, loss_val, accuracy_val, norm, share in columns
            if seed in alive
        )
        found = seen.records()
        found["looks"] = (*self.looks, *found["looks"])
        found["events"] = (*self.events, *found["events"])
        return Epoch(
            number=number,
            records=records,
            **found,
            diverged=tuple(r.seed for r in records if not (math.isfinite(r.train_loss) and math.isfinite(r.val_loss))),
            train_seconds=trained - self.began - self.look_seconds,
            eval_seconds=ended - trained,
            look_seconds=self.look_seconds,
            busy=math.fsum(busy) / len(busy) if busy else math.nan,
        )


@dataclass(kw_only=True)
class Learner:
    """One member of the replicas with all that its training step needs."""

    training: Training
    member: Member
    forward: Forward
    optimizer: Optimizer
    scheduler: LRScheduler | None
    update: Update
    augmentation: Sequence[torch.Generator]
    parameters: list[Tensor]

    def step(self, rows: Tensor, look: bool) -> Outcome:
        """Takes one step on the samples `rows` (s, B): losses and hits (s, B), and what `look_at_gradients` tells."""
        training, splits = self.training, self.training.splits
        x, y = _take(splits.train_x, rows), _take(splits.train_y, rows)  # (s, B, ...), (s, B)
        if training.augment is not None:
            x = training.augment(x, generators=self.augmentation, background=splits.background)
        with training.autocast():
            logits = self.forward(x)  # (s, B, C)
            losses = cross_entropy(logits, y)  # (s, B)
        losses.mean(1).sum().backward()  # each seed's gradient is what it would be alone
        seen = [look_at_gradients(self.member, training)] if look else []
        if not look and training.clip is not None:
            training.clip(list(self.member.gradients().values()))
        self.update()
        for parameter in self.parameters:
            parameter.grad = None
        return losses.detach(), logits.detach().argmax(-1) == y, *seen


class Trainee:
    """A share of the seeds, from the order of their samples to what their steps tell.

    Args:
        seeds: the rows that it has in what is of all seeds.
        learners: one for each of its members.
    """

    def __init__(self, training: Training, seeds: slice, learners: Sequence[Learner]) -> None:
        self.training, self.seeds = training, seeds
        self.schedulers = [learner.scheduler for learner in learners if learner.scheduler is not None]
        self.optimizer = learners[0].optimizer
        self.take_step = training.engine.step(_step_of(learners))
        self.looks = _spread(training.steps_per_epoch, GRADIENT_LOOKS) if training.probe else set()

    def begin(self, order: Tensor) -> None:
        """An epoch, in which the samples come in the `order` (S, N) of all seeds."""
        self.batches = order[self.seeds].split(self.training.batch_size, dim=1)
        self.step = 0  # how many have been taken
        self.lr = math.nan
        self.scores: list[tuple[Tensor, Tensor]] = []  # losses and hits of each step (s, B)
        self.gradients: list[Tensor] = []  # norms and whether clipped (1 + L + 1, s), of some steps
        self.busy: list[float] = []

    def train(self, end: int, control: Control) -> None:
        """Takes the steps of the epoch up to `end`, or until somebody asks for a stop."""
        while self.step < end and not (control.stop or self.training.workers.interrupted):
            losses, hits, *seen = self.take_step(self.batches[self.step], self.step in self.looks)
            self.scores.append((losses, hits))
            if seen:
                self.gradients += seen
                self.busy.append(busy_share(self.training.device))
            self.lr = float(self.optimizer.param_groups[0]["lr"])  # that of this step
            if self.training.schedule_by_step:
                _advance(self.schedulers)
            self.step += 1
            if self.seeds.start == 0:
                control.steps += 1


def _mean_gradients(trainees: Sequence[Trainee]) -> Tensor:
    """The mean over an epoch's looks at the gradients, (1 + L + 1, S) on the CPU; NaN (2, S) where nobody looked."""
    if not trainees[0].gradients:
        return torch.full((2, trainees[-1].seeds.stop), math.nan)
    return torch.cat([torch.stack(trainee.gradients) for trainee in trainees], dim=2).mean(0).cpu()


def _trainees(training: Training) -> list[Trainee]:
    """One for each share of the seeds."""
    augmentation = iter(training.augmentation)
    schedulers = iter(training.schedulers)
    optimizers = iter(training.optimizers)
    trainees, first = [], 0
    for share in training.network.shares:
        learners = [
            Learner(
                training=training,
                member=member,
                forward=training.engine.forward(member),
                optimizer=(optimizer := next(optimizers)),
                scheduler=next(schedulers, None),
                update=update_of(optimizer),
                augmentation=list(islice(augmentation, member.seeds)),
                parameters=list(member.parameters()),
            )
            for member in share.members
        ]
        trainees.append(Trainee(training, slice(first, first + share.seeds), learners))
        first += share.seeds
    return trainees


def _step_of(learners: Sequence[Learner]) -> Step:
    """The step of several members, one after the other: (rows (s, B), look) -> what they tell, of all their seeds."""
    portions = [learner.member.seeds for learner in learners]

    def step(rows: Tensor, look: bool) -> Outcome:
        if len(learners) == 1:
            return learners[0].step(rows, look)
        told = [learner.step(part, look) for learner, part in zip(learners, rows.split(portions), strict=True)]
        losses, hits, *seen = zip(*told, strict=True)
        return torch.cat(losses), torch.cat(hits), *(torch.cat(part, dim=1) for part in seen)

    return step


def _take(samples: Tensor, rows: Tensor) -> Tensor:
    """`samples[rows]`, which on a CPU takes twice as long."""
    return samples.index_select(0, rows.flatten()).view(*rows.shape, *samples.shape[1:])


def _order(training: Training) -> Tensor:
    """The samples of an epoch in the order that each seed has of its own: (S, N)."""
    n = len(training.splits.train_y)
    return torch.stack([torch.randperm(n, generator=generator) for generator in training.order]).to(training.device)


def _spread(steps: int, looks: int) -> set[int]:
    """`looks` step numbers, evenly spaced over an epoch of `steps`, the first one among them."""
    return {k * steps // looks for k in range(looks)}


def _advance(schedulers: Sequence[LRScheduler]) -> None:
    for scheduler in schedulers:
        scheduler.step()
