"""Measures the network before training, between steps and after epochs, and returns rows. Training is not affected.

Shape letters: S seeds, L layers, F units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from actbench.measures import registry
from actbench.measures.computing.batch_norm import as_if_trained_on
from actbench.measures.computing.own_rows import rows_of
from actbench.measures.computing.sites import UnitWatch, watch_units
from actbench.measures.gradients import untrained_gradient_norms
from actbench.measures.look import Look
from actbench.measures.scores import EpochRecord
from actbench.train.evaluation import Means, evaluate
from actbench.train.state import Training


def look_at_untrained(training: Training) -> tuple[Any, ...]:
    """The rows of the network before training; their gradient norms are those of the first validation samples.

    Where it starts from given weights, the scores of the validation split are among them.
    """
    if not training.probe:
        return _scores_before_training(training, evaluate(training, training.splits.val_x, training.splits.val_y))
    first = slice(training.batch_size)
    sample = training.splits.train_x[: training.eval_batch_size]
    with nullcontext() if training.pretrained else as_if_trained_on(training.network, sample):
        x, y = training.splits.val_x[first], training.splits.val_y[first]
        _, norms = untrained_gradient_norms(training.network, x, y)
        scores, rows = validate(training, 0, norms.cpu(), training.seeds)
        return (*_scores_before_training(training, scores), *rows) if training.pretrained else rows


def _scores_before_training(training: Training, scores: Means) -> tuple[EpochRecord, ...]:
    """A row of each seed, which has nothing of training."""
    none = dict.fromkeys(("lr", "train_loss", "train_accuracy", "grad_norm"), math.nan)
    return tuple(
        EpochRecord(seed=seed, epoch=0, val_loss=loss, val_accuracy=accuracy, seconds=0.0, **none)
        for seed, loss, accuracy in zip(training.seeds, scores.losses, scores.accuracies, strict=True)
    )


def validate(
    training: Training, epoch: int, gradient_norms: Tensor, alive: Sequence[int]
) -> tuple[Means, tuple[Any, ...]]:
    """The scores of all seeds over the validation split; and, unless `probe=false`, the rows of all measurements.

    Args:
        training: of all seeds.
        epoch: number of epochs done.
        gradient_norms: of each layer, (L, S).
        alive: the seeds to return rows for, those that have not diverged.
    """
    observers = registry.observers()
    with watch_units(training.network, observers=observers) if training.probe else nullcontext() as watch:
        scores = evaluate(training, training.splits.val_x, training.splits.val_y)
    if watch is None:
        return scores, ()
    rows = _rows(training, epoch, gradient_norms, watch, scores) if watch.layers else []
    return scores, (*_of_seeds(rows, alive), *_own_rows(training, epoch, alive))


def _rows(training: Training, epoch: int, norms: Tensor, watch: UnitWatch, scores: Means) -> list[Any]:
    """The rows of all measurements of this package (`after_epoch` of each module), of all seeds."""
    peaks, step = _peaks(watch, scores), epoch * training.steps_per_epoch
    events = training.lives.update(peaks, step)
    finer = training.finer_lives.update(peaks, step) if training.probe_every is not None else None
    look = Look(
        seeds=training.seeds,
        epoch=epoch,
        network=training.network,
        watch=watch,
        gradient_norms=norms,
        lives=training.lives.rows(),
        finer=training.finer_lives.rows() if finer is not None else (),
        events=events if finer is None else finer,
    )
    return [row for after_epoch in registry.functions_after_epoch() for row in after_epoch(look)]


def _own_rows(training: Training, epoch: int, alive: Sequence[int]) -> list[Any]:
    """The rows of the user's own measurements."""
    splits, sample = training.splits, slice(training.eval_batch_size)
    return rows_of(
        training.measurements,
        training.network,
        splits.val_x[sample],
        splits.val_y[sample],
        seeds=training.seeds,
        alive=alive,
        generators=training.dropout,
        epoch=epoch,
        step=epoch * training.steps_per_epoch,
        last=epoch == training.epochs,
    )


def look_between(training: Training, step: int, alive: Sequence[int]) -> tuple[Any, ...]:
    """The rows of a look within an epoch, after `step` steps in all: only which units are dead."""
    with watch_units(training.network, thorough=False) as watch:
        scores = evaluate(training, training.splits.val_x, training.splits.val_y)
    training.network.train()
    events = training.finer_lives.update(_peaks(watch, scores), step)
    return _of_seeds([*training.finer_lives.rows(), *events], alive)


def _of_seeds(rows: Sequence[Any], seeds: Sequence[int]) -> tuple[Any, ...]:
    wanted = {*seeds}
    return tuple(row for row in rows if row.seed in wanted)


def _peaks(watch: UnitWatch, scores: Means) -> dict[str, Tensor]:
    """Layer -> the largest |f'(z)| of each unit (S, F); NaN for the seeds whose loss is no longer finite.

    Their slopes may still be finite: for torch, the slope of ReLU at NaN is 1.
    """
    lost = torch.tensor([not math.isfinite(loss) for loss in scores.losses])
    return {layer: peak.masked_fill(lost[:, None], math.nan) for layer, peak in watch.peaks().items()}
