"""Training and validation accuracy beside each other: what the rules on generalisation have in common."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from actbench.diagnosis.history import RunHistory

# Points of validation accuracy, for a fall from the best epoch and for one from an epoch to the next. Over ten epochs
# of `experiment=article_mlp` single seeds go down by up to 0.9 from one epoch to the next, with SGD at a lively 0.1 by
# 2.8; the median over seeds never ends more than 0.3 under its best.
FALL = 3.0

# Points between training and validation accuracy at the end. `experiment=article_mlp` has 1.8 after ten epochs.
GAP = 5.0

LEARNED = 50.0  # training accuracy in percent, under which there is nothing yet that could be learned by heart

# Each of them at least in standard errors that come from the size of the validation split alone (180 digits: 1.6
# points at 95 %).
SAMPLING_ERRORS = 3.0


class Accuracies(NamedTuple):
    """Accuracies over the epochs of training in percent, each the median over seeds."""

    validation: Sequence[float]
    training: Sequence[float]


def accuracies(run: RunHistory) -> Accuracies | None:
    """The curves of a run that has learned something in two epochs or more; None of any other."""
    if not run.seeds or len(run.trained) < 2 or median(run.finals("train_accuracy")) < LEARNED:
        return None
    return Accuracies(*(_median_curve(run, name) for name in ("val_accuracy", "train_accuracy")))


def _median_curve(run: RunHistory, name: str) -> list[float]:
    return [median(at) for at in zip(*(run.curve(seed, name) for seed in run.seeds), strict=True)]


def at_least(run: RunHistory, points: float, accuracy: float) -> float:
    """`points`, or what the size of the validation split asks for at this accuracy, if that is more."""
    return max(points, SAMPLING_ERRORS * run.sampling_error(accuracy))


def falls(run: RunHistory, curves: Accuracies) -> bool:
    """Whether validation ends under its best epoch by more than chance, while training has gone on rising."""
    validation, training = curves
    best = max(range(len(validation)), key=lambda epoch: validation[epoch])
    after = validation[best + 1 :][-2:]  # two epochs: one alone may be the lower end of a jump
    fall = validation[best] - max(after, default=validation[best])
    return len(after) == 2 and fall >= at_least(run, FALL, validation[best]) and training[-1] > training[best]


def largest_falls(run: RunHistory) -> list[float]:
    """Of each seed the largest fall of validation from one epoch to the next, among those in which training rose."""
    return [_largest_fall(run, seed) for seed in run.seeds]


def _largest_fall(run: RunHistory, seed: int) -> float:
    validation, training = run.curve(seed, "val_accuracy"), run.curve(seed, "train_accuracy")
    drops = [
        validation[epoch] - validation[epoch + 1]
        for epoch in range(len(validation) - 1)
        if training[epoch + 1] > training[epoch]
    ]
    return max(drops, default=0.0)


def jumps(run: RunHistory) -> bool:
    """Whether validation falls from some epoch to the next by more than chance, in the median over seeds."""
    return median(largest_falls(run)) >= at_least(run, FALL, median(run.finals("val_accuracy")))
