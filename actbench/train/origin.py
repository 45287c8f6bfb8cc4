"""Finds where the first number that is not finite came from, in a seed that diverged, by repeating its epoch.

None of this runs in ordinary training. The epoch is repeated from the state before it, by another `Training` built from
the same settings, which gives the same bits. What is infinite or NaN first is located in the order of a step:
images, modules from below, loss, gradients from above, clipping, parameters.

Shape letters: s seeds of a group, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from actbench.records import Origin
from actbench.stacking import ReplicaGroup, says_its_own_sites
from actbench.train.evaluation import evaluate
from actbench.train.loop import sample_order
from actbench.train.state import Training
from actbench.train.step import Control, GroupTrainer, advance
from actbench.train.updates import update_of


def origins(training: Training, epoch: int, seeds: Sequence[int], control: Control | None = None) -> tuple[Origin, ...]:
    """For each of `seeds` what was first not finite in `epoch`; a seed in which everything is finite has none.

    Args:
        training: in the state before the epoch; it is used up afterwards.
        epoch: in which the seeds' loss stopped being finite.
        seeds: those that did.
        control: may stop it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(training.workers.threads)  # as the epoch was computed
    try:
        return _origins(training, epoch, _watches(training, seeds), control)
    finally:
        torch.set_num_threads(threads)


def _origins(training: Training, epoch: int, watches: Sequence[_Watch], control: Control | None) -> tuple[Origin, ...]:
    training.network.train()
    portions = [watch.group.seeds for watch in watches]
    for step, rows in enumerate(sample_order(training).split(training.batch_size, dim=1)):  # rows (S, B)
        for watch, part in zip(watches, rows.split(portions), strict=True):
            watch.step = step + 1
            watch.take(part)
        if training.schedule_by_step:
            advance(training.schedulers)
        if all(watch.done for watch in watches) or (control is not None and control.stop):
            break
    else:  # training was finite to the end
        for watch in watches:
            for part in training.splits.val_x.split(training.eval_batch_size):
                watch.note("images", "", [part.expand(watch.group.seeds, *part.shape)])
        with _watched(watches, "validation"):
            evaluate(training, training.splits.val_x, training.splits.val_y)
    return tuple(
        Origin(seed, epoch, step, kind, where, size)
        for watch in watches
        for seed, (step, kind, where, size) in sorted(watch.first.items())
    )


@dataclass
class _Watch:
    """One group, and what was first not finite so far: seed -> step, kind, where, largest size of what went in."""

    training: Training
    group: ReplicaGroup
    seeds: list[int]  # of the group
    wanted: set[int]
    trainer: GroupTrainer
    step: int = 0
    first: dict[int, tuple[int, str, str, float]] = field(default_factory=dict)
    before_update: list[Tensor] = field(default_factory=list)  # the parameters

    @property
    def done(self) -> bool:
        return self.wanted <= self.first.keys()

    def take(self, rows: Tensor) -> None:
        if self.done:  # for the other groups alone
            return
        with _watched([self], ""):
            losses = self.trainer.step(rows, False).losses
            self.note("loss", "", [losses if self.group.stacked else losses[0]])
            self.note("update", "", [p.detach() for p in self.group.parameters()], self.before_update)

    def note(self, kind: str, where: str, values: Sequence[Tensor], inputs: Sequence[Tensor] = ()) -> None:
        """Records the seeds whose `values` are not finite, unless something of theirs was not finite before."""
        if all(bool(torch.isfinite(value).all()) for value in values):
            return
        for s, seed in enumerate(self.seeds):
            own = [self._own(value, s) for value in values] if seed in self.wanted - self.first.keys() else []
            if not all(bool(torch.isfinite(value).all()) for value in own):
                self.first[seed] = (self.step, kind, where, _largest([self._own(value, s) for value in inputs]))

    def _own(self, value: Tensor, s: int) -> Tensor:
        return value[s] if self.group.stacked else value


def _largest(values: Sequence[Tensor]) -> float:
    """The largest finite size among them; NaN where there is none."""
    finite = [v[torch.isfinite(v)].abs().max() for v in values if v.numel() and bool(torch.isfinite(v).any())]
    return max((float(size) for size in finite), default=math.nan)


def _watches(training: Training, seeds: Sequence[int]) -> list[_Watch]:
    names, augmentation = iter(training.seeds), iter(training.augmentation)
    watches = []
    for group, optimizer in zip(training.network.groups, training.optimizers, strict=True):
        own = list(islice(names, group.seeds))
        generators = list(islice(augmentation, group.seeds))
        holder: list[_Watch] = []
        trainer = GroupTrainer(
            training=replace(training, clip=partial(_clip, holder) if training.clip is not None else None),
            group=group,
            forward=partial(_forward, holder),
            optimizer=optimizer,
            scheduler=None,  # `origins` advances all of them
            update=partial(_update, holder, update_of(optimizer)),
            augmentation=generators,
            parameters=list(group.parameters()),
        )
        holder.append(_Watch(training, group, own, {*seeds} & {*own}, trainer))
        watches += holder
    return watches


def _forward(holder: Sequence[_Watch], x: Tensor) -> Tensor:
    (watch,) = holder
    images = "augmentation" if watch.training.augment is not None else "images"
    watch.note(images, "", [x if watch.group.stacked else x[0]])
    logits = watch.group(x)  # (s, B, C)
    own = logits if watch.group.stacked else logits[0]
    watch.note("between", "output", [own.detach()])
    if logits.requires_grad:
        size = [own.detach()]
        logits.register_hook(lambda g: watch.note("loss", "", [g if watch.group.stacked else g[0]], size))
    return logits


def _clip(holder: Sequence[_Watch], gradients: Sequence[Tensor]) -> None:
    (watch,) = holder
    own = [g if watch.group.stacked else g[0] for g in gradients]
    before = [g.clone() for g in own]
    _note_gradients(watch)
    assert watch.training.clip is not None
    watch.training.clip(gradients)
    watch.note("clip", "", own, before)


def _update(holder: Sequence[_Watch], update: Callable[[], None]) -> None:
    (watch,) = holder
    _note_gradients(watch)
    watch.before_update = [p.detach().clone() for p in watch.group.parameters()]
    update()


def _note_gradients(watch: _Watch) -> None:
    """Of parameters, layers from above."""
    for name, parameter in reversed(list(watch.group.network.named_parameters())):
        if parameter.grad is not None:
            watch.note("layer gradient", name.rpartition(".")[0], [parameter.grad], [parameter.detach()])


# ---------------------------------------------------------------- modules


@contextmanager
def _watched(watches: Sequence[_Watch], phase: str) -> Iterator[None]:
    """Within the block the modules of each group are watched: those without children, and activation sites."""
    handles: list[Any] = []
    for watch in watches:
        sites = {id(module) for module in watch.group.sites().values()}
        inside = {id(part) for module in watch.group.sites().values() for part in module.modules()} - sites
        for name, module in watch.group.network.named_modules():
            if id(module) in sites or (id(module) not in inside and not list(module.children())):
                kind = "activation" if id(module) in sites else "layer"
                name = _in_the_users_network(watch.group, name, module)
                kept: list[Tensor] = []
                handles += [
                    module.register_forward_pre_hook(partial(_before, watch, phase, kind, name, kept)),
                    module.register_forward_hook(partial(_after, watch, phase, kind, name, kept)),
                ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _in_the_users_network(group: ReplicaGroup, name: str, module: nn.Module) -> str:
    """The name of a module as the user's own network has it, or that of the site at which it was put in."""
    if not says_its_own_sites(group.network):
        return name
    sites = {id(activation): site for site, activation in group.sites().items()}
    return sites.get(id(module), name.removeprefix("network."))


def _tensors(values: Any) -> list[Tensor]:
    listed = values if isinstance(values, (tuple, list)) else (values,)
    return [value for value in listed if isinstance(value, Tensor) and value.is_floating_point()]


def _seeds_in_front(watch: _Watch, kind: str, values: Sequence[Tensor]) -> list[Tensor]:
    """Tensors that a module took or returned, as those of an activation are."""
    return [*values] if kind == "activation" else [watch.group.seeds_in_front(value) for value in values]


def _before(
    watch: _Watch, phase: str, kind: str, name: str, kept: list[Tensor], _module: nn.Module, inputs: tuple[Any, ...]
) -> None:
    in_front = partial(_seeds_in_front, watch, kind)
    kept[:] = in_front([value.detach().clone() for value in _tensors(inputs)])
    watch.note(f"{phase} between".strip(), name, kept)
    for value, plain in zip(_tensors(inputs), list(kept), strict=True):
        if value.requires_grad and value.grad_fn is not None:
            value.register_hook(lambda g, plain=plain: watch.note(f"{kind} gradient", name, in_front([g]), [plain]))


def _after(
    watch: _Watch, phase: str, kind: str, name: str, kept: list[Tensor], _module: nn.Module, _inputs: Any, outputs: Any
) -> None:
    values = _seeds_in_front(watch, kind, [value.detach() for value in _tensors(outputs)])
    watch.note(f"{phase} {kind}".strip(), name, values, kept)
