"""The training loop: S seeds of one configuration at once.

Shape letters: S seeds, B batch, C classes, N samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from actbench.datasets import Splits
from actbench.engines import Engine, Forward, Outcome, Step
from actbench.machine import sums_dtype
from actbench.probes import STATISTICS, UnitWatch, gradient_norms, untrained_gradient_norms, watch_units
from actbench.records import Epoch, EpochRecord, LayerRecord
from actbench.stacking import Ensemble, Member
from actbench.updates import Update, update_of

GRADIENT_LOOKS = 8  # steps of an epoch at which the gradient's norm is taken


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

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.bf16 else nullcontext()

    def state(self) -> dict[str, Any]:
        """Everything that training changes; `load_state` goes on from it bit for bit."""
        return {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "generators": [generator.get_state() for generator in self._generators()],
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
        yield Epoch(number=0, layers=tuple(_look_at_untrained(parts)))
    for number in range(done + 1, parts.epochs + 1):
        if not alive:
            return
        began = time.perf_counter()
        network.train()
        scores: list[tuple[Tensor, Tensor]] = []  # losses and hits of each step (S, B), added up in the end
        norms: list[Tensor] = []
        looks = _spread(parts.steps_per_epoch, GRADIENT_LOOKS) if parts.probe else ()
        for step, rows in enumerate(_batches(parts)):  # rows (S, B)
            if control.stop:
                return
            losses, hits, *looked = take_step(rows, step in looks)
            scores.append((losses, hits))
            norms += looked
            lr = parts.optimizers[0].param_groups[0]["lr"]  # that of this step
            if parts.schedule_by_step:
                _advance(parts.schedulers)
            control.steps += 1
        if not parts.schedule_by_step:
            _advance(parts.schedulers)
        epoch = _end_of_epoch(parts, number, alive, scores=scores, norms=norms, lr=float(lr), began=began)
        yield epoch
        alive = [seed for seed in alive if seed not in epoch.diverged]


def _end_of_epoch(
    parts: Parts, number: int, alive: Sequence[int], *,
    scores: Sequence[tuple[Tensor, Tensor]], norms: Sequence[Tensor], lr: float, began: float,
) -> Epoch:  # fmt: skip
    """Waits for the device, validates, and says what the epoch came to."""
    train_loss, train_accuracy = _means(scores)
    trained = time.perf_counter()
    watching: AbstractContextManager[Any] = watch_units(parts.network) if parts.probe else nullcontext()
    with watching as watch:
        val_loss, val_accuracy = evaluate(parts, parts.splits.val_x, parts.splits.val_y)
    unseen = torch.full((1, len(parts.seeds)), math.nan)
    seen = torch.stack(list(norms)).mean(0).cpu() if norms else unseen  # (1 + L, S)
    layers = _layer_records(parts, number, watch, seen[1:]) if parts.probe else []
    ended = time.perf_counter()
    columns = zip(parts.seeds, train_loss, train_accuracy, val_loss, val_accuracy, seen[0].tolist(), strict=True)
    records = tuple(
        EpochRecord(seed, number, lr, loss, accuracy, loss_val, accuracy_val, norm, ended - began)
        for seed, loss, accuracy, loss_val, accuracy_val, norm in columns
        if seed in alive
    )
    return Epoch(
        number=number,
        records=records,
        layers=tuple(layer for layer in layers if layer.seed in alive),
        diverged=tuple(r.seed for r in records if not (math.isfinite(r.train_loss) and math.isfinite(r.val_loss))),
        train_seconds=trained - began,
        eval_seconds=ended - trained,
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
        """Takes one step on the samples `rows` (s, B): losses and hits (s, B); gradient norms (1 + L, s) if `look`."""
        parts, splits = self.parts, self.parts.splits
        x, y = _take(splits.train_x, rows), _take(splits.train_y, rows)  # (s, B, ...), (s, B)
        if parts.augment is not None:
            x = parts.augment(x, generators=self.augmentation, background=splits.background)
        with parts.autocast():
            logits = self.forward(x)  # (s, B, C)
            losses = cross_entropy(logits, y)  # (s, B)
        losses.mean(1).sum().backward()  # each seed's gradient is what it would be alone
        norms = [gradient_norms(self.member)] if look else []
        if parts.clip is not None:
            parts.clip(list(self.member.gradients().values()))
        self.update()
        for parameter in self.parameters:
            parameter.grad = None
        return losses.detach(), logits.detach().argmax(-1) == y, *norms


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
        losses, hits, *norms = zip(*told, strict=True)
        return torch.cat(losses), torch.cat(hits), *(torch.cat(norm, dim=1) for norm in norms)

    return step


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of each sample, in nats: logits (S, B, C), y (S, B) -> (S, B)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)


@torch.no_grad()
def evaluate(parts: Parts, x: Tensor, y: Tensor) -> tuple[list[float], list[float]]:
    """Mean loss (nats) and accuracy (%) of every seed over x (N, ...) and y (N,), in evaluation mode."""
    network, seeds = parts.network, len(parts.seeds)
    network.eval()
    scores: list[tuple[Tensor, Tensor]] = []
    for inputs, labels in zip(x.split(parts.eval_batch_size), y.split(parts.eval_batch_size), strict=True):
        with parts.autocast():
            logits = network(inputs.expand(seeds, *inputs.shape))  # (S, B, C)
        target = labels.expand(seeds, -1)
        scores.append((cross_entropy(logits, target), logits.argmax(-1) == target))
    return _means(scores)


def _means(scores: Sequence[tuple[Tensor, Tensor]]) -> tuple[list[float], list[float]]:
    """Mean loss and accuracy (%) of each seed, from the losses and the hits (S, B) of all batches."""
    losses, hits = (torch.cat(part, dim=1) for part in zip(*scores, strict=True))  # (S, N)
    sums = sums_dtype(losses.device)
    loss, share = torch.stack([losses.mean(1, dtype=sums), hits.mean(1, dtype=sums)]).tolist()
    return loss, [100.0 * part for part in share]


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


def _look_at_untrained(parts: Parts) -> list[LayerRecord]:
    x, y = parts.splits.val_x, parts.splits.val_y
    first = slice(parts.batch_size)
    norms = untrained_gradient_norms(parts.network, x[first], y[first])[1:].cpu()
    with watch_units(parts.network) as watch:
        evaluate(parts, x, y)
    return _layer_records(parts, 0, watch, norms)


def _layer_records(parts: Parts, epoch: int, watch: UnitWatch, norms: Tensor) -> list[LayerRecord]:
    """A record of each layer of each seed; `norms` (L, S) are those of the layers' gradients."""
    if not watch.layers:
        return []
    judged = watch.judge().cpu().tolist()  # (L, 6, S)
    return [
        LayerRecord(
            seed=seed,
            epoch=epoch,
            layer=layer,
            units=units,
            **{name: statistic[s] for name, statistic in zip(STATISTICS, judged[index], strict=True)},
            grad_norm=float(norms[index, s]),
        )
        for s, seed in enumerate(parts.seeds)
        for index, (layer, units) in enumerate(zip(watch.layers, watch.units(), strict=True))
    ]
