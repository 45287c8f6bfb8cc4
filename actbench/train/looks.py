"""What is seen of the network between and after epochs, as records. Looking changes nothing.

Shape letters: S seeds, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actbench.measures import (
    DEFINITIONS,
    STATISTICS,
    UnitWatch,
    as_if_trained_on,
    gradient_norms,
    shape_records,
    untrained_gradient_norms,
    watch_units,
)
from actbench.records import DefinitionRecord, LayerRecord, LookRecord, ShapeRecord, UnitEvent
from actbench.stacking import Member
from actbench.train.evaluation import evaluate
from actbench.train.state import Training


def look_at_gradients(member: Member, training: Training) -> Tensor:
    """Clips as the run is to clip, and tells what there was: (1 + L + 1, s).

    The norms of the whole gradient and of each layer's before clipping, and whether it was clipped (NaN: never is).
    """
    norms = gradient_norms(member)
    clipped = torch.full_like(norms[:1], math.nan)
    if training.clip is not None:
        gradients = list(member.gradients().values())
        before = [gradient.clone() for gradient in gradients]
        training.clip(gradients)
        changed = [(g != b).reshape(len(g), -1).any(1) for g, b in zip(gradients, before, strict=True)]
        clipped = torch.stack(changed).any(0).to(norms.dtype)[None]
    return torch.cat([norms, clipped])


@dataclass(frozen=True)
class Seen:
    """What one look at the units gave; `scores` are validation losses (nats) and accuracies (%) by seed."""

    scores: tuple[list[float], list[float]]
    layers: tuple[LayerRecord, ...] = ()
    looks: tuple[LookRecord, ...] = ()
    events: tuple[UnitEvent, ...] = ()
    definitions: tuple[DefinitionRecord, ...] = ()
    shapes: tuple[ShapeRecord, ...] = ()

    def records(self) -> dict[str, Any]:
        """What belongs into an `Epoch`, but for its scores."""
        return {name: getattr(self, name) for name in ("layers", "looks", "events", "definitions", "shapes")}


def look_at_untrained(training: Training) -> Seen:
    """The network as it is before the first step, and the gradient of its first batch of validation samples."""
    first = slice(training.batch_size)
    with as_if_trained_on(training.network, training.splits.train_x[: training.eval_batch_size]):
        norms = untrained_gradient_norms(training.network, training.splits.val_x[first], training.splits.val_y[first])
        return look_at_epoch(training, 0, norms[1:].cpu(), training.seeds)


def look_at_epoch(training: Training, epoch: int, norms: Tensor, alive: Sequence[int]) -> Seen:
    """Validates, and looks at the units where that was asked for; `norms` (L, S) are those of the layers' gradients."""
    with watch_units(training.network) if training.probe else nullcontext() as watch:
        scores = evaluate(training, training.splits.val_x, training.splits.val_y)
    if watch is None or not watch.layers:
        return Seen(scores)
    peaks, step = _peaks(watch, scores[0]), epoch * training.steps_per_epoch
    events = training.lives.look(peaks, step)
    layers = _layer_records(training, epoch, watch, norms, training.lives.records(training.seeds))
    looks: list[LookRecord] = []
    if training.probe_every is not None:
        events = training.finer_lives.look(peaks, step)
        looks = training.finer_lives.records(training.seeds)
    wanted = {*alive}
    return Seen(
        scores,
        layers=tuple(layer for layer in layers if layer.seed in wanted),
        looks=tuple(look for look in looks if look.seed in wanted),
        events=tuple(event for event in events if event.seed in wanted),
        definitions=tuple(d for d in _definition_records(training, epoch, watch) if d.seed in wanted),
        shapes=tuple(shape_records(training.network, epoch=epoch, seeds=training.seeds, alive=alive)),
    )


def look_between(training: Training, step: int, alive: Sequence[int]) -> tuple[list[LookRecord], list[UnitEvent]]:
    """A look at who is dead after `step` steps, in the midst of an epoch."""
    with watch_units(training.network, thorough=False) as watch:
        losses, _ = evaluate(training, training.splits.val_x, training.splits.val_y)
    training.network.train()
    wanted = {*alive}
    events = [event for event in training.finer_lives.look(_peaks(watch, losses), step) if event.seed in wanted]
    return training.finer_lives.records(alive), events


def _peaks(watch: UnitWatch, losses: Sequence[float]) -> dict[str, Tensor]:
    """Layer -> the largest |f'(z)| of each unit (S, F); NaN for the seeds whose numbers are not finite any more.

    Their slopes may well be: torch has 1 for ReLU at NaN.
    """
    lost = torch.tensor([not math.isfinite(loss) for loss in losses])
    return {layer: peak.masked_fill(lost[:, None], math.nan) for layer, peak in watch.peaks().items()}


def _layer_records(
    training: Training, epoch: int, watch: UnitWatch, norms: Tensor, lives: Sequence[LookRecord]
) -> list[LayerRecord]:
    judged = watch.judge().cpu().tolist()  # (L, 6, S)
    units = watch.units()
    of_units = {(life.seed, life.layer): life for life in lives}
    records = []
    for s, seed in enumerate(training.seeds):
        for number, layer in enumerate(watch.layers):
            life = of_units[seed, layer]
            records.append(
                LayerRecord(
                    seed=seed,
                    epoch=epoch,
                    layer=layer,
                    units=units[number],
                    **{name: statistic[s] for name, statistic in zip(STATISTICS, judged[number], strict=True)},
                    grad_norm=float(norms[number, s]),
                    births=life.births,
                    deaths=life.deaths,
                    revivals=life.revivals,
                    dead_at_init=life.dead_at_init,
                    died=life.died,
                    dead_for=life.dead_for,
                )
            )
    return records


def _definition_records(training: Training, epoch: int, watch: UnitWatch) -> list[DefinitionRecord]:
    shares = watch.define().cpu().tolist()  # (L, 7, S)
    units = watch.units()
    return [
        DefinitionRecord(seed, epoch, layer, units[number], definition, of_seeds[s])
        for s, seed in enumerate(training.seeds)
        for number, layer in enumerate(watch.layers)
        for definition, of_seeds in zip(DEFINITIONS, shares[number], strict=True)
    ]
