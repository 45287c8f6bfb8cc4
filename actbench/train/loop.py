"""The training loop: S seeds of one configuration at once.

Shape letters: S seeds, B batch, C classes, N samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from actbench.engines import Forward, Outcome, Step
from actbench.machine import busy_share, wait_for
from actbench.records import Epoch, EpochRecord, LookRecord, UnitEvent
from actbench.stacking import Member
from actbench.train.evaluation import cross_entropy, means
from actbench.train.looks import look_at_epoch, look_at_gradients, look_at_untrained, look_between
from actbench.train.parts import Parts
from actbench.updates import Update, update_of

GRADIENT_LOOKS = 8  # steps of an epoch at which the gradient's norm is taken


@dataclass
class Control:
    """What the world outside the loop may see and say: how far it is, and whether it shall stop after this step."""

    steps: int = 0
    stop: bool = False


def fit(parts: Parts, *, control: Control, done: int = 0, diverged: Sequence[int] = ()) -> Iterator[Epoch]:
    """Trains from epoch `done` + 1 on, and yields after each epoch (first, if `done` is 0, the untrained network).

    It ends early where `control.stop` is set, leaving the running epoch out, and where every seed has diverged.
    `diverged` names the seeds that had done so before.
    """
    network, alive = parts.network, [seed for seed in parts.seeds if seed not in diverged]
    take_step = parts.engine.step(_step_of(parts))
    if done == 0 and parts.probe:
        yield Epoch(number=0, **look_at_untrained(parts).records())
    for number in range(done + 1, parts.epochs + 1):
        if not alive:
            return
        tally = _Tally(began=time.perf_counter())
        network.train()
        looks = _spread(parts.steps_per_epoch, GRADIENT_LOOKS) if parts.probe else ()
        for step, rows in enumerate(_batches(parts)):  # rows (S, B)
            if control.stop:
                return
            losses, hits, *seen = take_step(rows, step in looks)
            tally.scores.append((losses, hits))
            if seen:
                tally.gradients += seen
                tally.busy.append(busy_share(parts.device))
            tally.lr = float(parts.optimizers[0].param_groups[0]["lr"])  # that of this step
            if parts.schedule_by_step:
                _advance(parts.schedulers)
            control.steps += 1
            taken = (number - 1) * parts.steps_per_epoch + step + 1
            if _is_time_to_look(parts, taken):
                tally.look(parts, taken, alive)
        if not parts.schedule_by_step:
            _advance(parts.schedulers)
        epoch = tally.end(parts, number, alive)
        yield epoch
        alive = [seed for seed in alive if seed not in epoch.diverged]


def _is_time_to_look(parts: Parts, step: int) -> bool:
    """After `step` steps of training; at the end of an epoch there is a look in any case."""
    every = parts.probe_every if parts.probe else None
    return every is not None and step % every == 0 and step % parts.steps_per_epoch != 0


@dataclass
class _Tally:
    """What an epoch has given so far."""

    began: float
    scores: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # losses and hits of each step (S, B)
    gradients: list[Tensor] = field(default_factory=list)  # norms and whether clipped (1 + L + 1, S), of some steps
    busy: list[float] = field(default_factory=list)
    lr: float = math.nan
    looks: list[LookRecord] = field(default_factory=list)
    events: list[UnitEvent] = field(default_factory=list)
    look_seconds: float = 0.0

    def look(self, parts: Parts, step: int, alive: Sequence[int]) -> None:
        wait_for(parts.device)  # for steps whose time is not that of the look
        before = time.perf_counter()
        looks, events = look_between(parts, step, alive)
        self.looks += looks
        self.events += events
        self.look_seconds += time.perf_counter() - before

    def end(self, parts: Parts, number: int, alive: Sequence[int]) -> Epoch:
        """Waits for the device, validates, and says what the epoch came to."""
        train = means(self.scores)
        trained = time.perf_counter()
        unseen = torch.full((2, len(parts.seeds)), math.nan)
        gradients = torch.stack(self.gradients).mean(0).cpu() if self.gradients else unseen  # (1 + L + 1, S)
        seen = look_at_epoch(parts, number, gradients[1:-1], alive)
        ended = time.perf_counter()
        norms, clipped = gradients[0].tolist(), gradients[-1].tolist()
        seconds = ended - self.began
        columns = zip(parts.seeds, *train, *seen.scores, norms, clipped, strict=True)
        records = tuple(
            EpochRecord(seed, number, self.lr, loss, accuracy, loss_val, accuracy_val, norm, seconds, share)
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
            busy=math.fsum(self.busy) / len(self.busy) if self.busy else math.nan,
        )


@dataclass(kw_only=True)
class Learner:
    """One member of the ensemble with all that its training step needs."""

    parts: Parts
    member: Member
    forward: Forward
    update: Update
    augmentation: Sequence[torch.Generator]
    parameters: list[Tensor]

    def step(self, rows: Tensor, look: bool) -> Outcome:
        """Takes one step on the samples `rows` (s, B): losses and hits (s, B), and what `look_at_gradients` tells."""
        parts, splits = self.parts, self.parts.splits
        x, y = _take(splits.train_x, rows), _take(splits.train_y, rows)  # (s, B, ...), (s, B)
        if parts.augment is not None:
            x = parts.augment(x, generators=self.augmentation, background=splits.background)
        with parts.autocast():
            logits = self.forward(x)  # (s, B, C)
            losses = cross_entropy(logits, y)  # (s, B)
        losses.mean(1).sum().backward()  # each seed's gradient is what it would be alone
        seen = [look_at_gradients(self.member, parts)] if look else []
        if not look and parts.clip is not None:
            parts.clip(list(self.member.gradients().values()))
        self.update()
        for parameter in self.parameters:
            parameter.grad = None
        return losses.detach(), logits.detach().argmax(-1) == y, *seen


def _step_of(parts: Parts) -> Step:
    """The step of all members, one after the other: (rows (S, B), look) -> what they tell, of all seeds."""
    portions = parts.network.portions
    augmentation = iter(parts.augmentation)
    learners = [
        Learner(
            parts=parts,
            member=member,
            forward=parts.engine.forward(member),
            update=update_of(optimizer),
            augmentation=list(islice(augmentation, member.seeds)),
            parameters=list(member.parameters()),
        )
        for member, optimizer in zip(parts.network.members, parts.optimizers, strict=True)
    ]

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


def _batches(parts: Parts) -> Iterator[Tensor]:
    """The rows (S, B) of each step of an epoch: every seed has an order of its own."""
    n = len(parts.splits.train_y)
    order = torch.stack([torch.randperm(n, generator=generator) for generator in parts.order])  # (S, N)
    yield from order.to(parts.device).split(parts.batch_size, dim=1)


def _spread(steps: int, looks: int) -> set[int]:
    """`looks` step numbers, evenly spaced over an epoch of `steps`, the first one among them."""
    return {k * steps // looks for k in range(looks)}


def _advance(schedulers: Sequence[LRScheduler]) -> None:
    for scheduler in schedulers:
        scheduler.step()
