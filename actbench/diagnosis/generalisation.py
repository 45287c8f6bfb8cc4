"""Validation accuracy jumps or falls while training accuracy rises: learned by heart, or overshooting steps."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import counted
from actbench.records import Finding

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


def find(case: Case) -> Finding | None:
    """A fall, jumps or a gap, the first that there is; each of them in the median over seeds."""
    if not case.seeds or len(case.trained) < 2 or median(case.finals("train_accuracy")) < LEARNED:
        return None
    validation, training = _median_curve(case, "val_accuracy"), _median_curve(case, "train_accuracy")
    return _fall(case, validation, training) or _jumps(case) or _gap(case, validation, training)


def _median_curve(case: Case, name: str) -> list[float]:
    return [median(at) for at in zip(*(case.curve(seed, name) for seed in case.seeds), strict=True)]


def _limit(case: Case, points: float, accuracy: float) -> float:
    return max(points, SAMPLING_ERRORS * case.sampling_error(accuracy))


def _fall(case: Case, validation: Sequence[float], training: Sequence[float]) -> Finding | None:
    best = max(range(len(validation)), key=lambda epoch: validation[epoch])
    after = validation[best + 1 :][-2:]  # two epochs: one alone may be the lower end of a jump
    fall = validation[best] - max(after, default=validation[best])
    if len(after) < 2 or fall < _limit(case, FALL, validation[best]) or training[-1] <= training[best]:
        return None
    return Finding(
        symptom="validation accuracy falls while training accuracy rises",
        evidence=f"validation {validation[best]:.1f} % in epoch {case.trained[best].number}, {validation[-1]:.1f} % in "
        f"epoch {case.trained[-1].number}; training {training[best]:.1f} % and {training[-1]:.1f} %",
        cause="Overfitting, or steps that are too long near the end.",
        remedies=_by_heart(case, slower=True),
    )


def _jumps(case: Case) -> Finding | None:
    """Falls from one epoch to the next in which the training accuracy rose; the largest of each seed."""
    falls = [_largest_fall(case, seed) for seed in case.seeds]
    limit = _limit(case, FALL, median(case.finals("val_accuracy")))
    if median(falls) < limit:
        return None
    settings = case.settings
    jumping = sum(fall >= limit for fall in falls)
    return Finding(
        symptom="validation accuracy jumps while training accuracy rises",
        evidence=f"{jumping} of {counted(len(falls), 'seed')} fell by {limit:.1f} points or more from one epoch to the "
        f"next, by up to {max(falls):.1f}",
        cause="Steps are too long for the valley that they are in: each epoch ends on another side of it.",
        remedies=remedies.all_of(
            remedies.learning_rate(settings, times=1 / 3),
            remedies.schedule(settings),
            remedies.dropout(settings),
            remedies.augmentation(settings),
        ),
    )


def _largest_fall(case: Case, seed: int) -> float:
    validation, training = case.curve(seed, "val_accuracy"), case.curve(seed, "train_accuracy")
    falls = [
        validation[epoch] - validation[epoch + 1]
        for epoch in range(len(validation) - 1)
        if training[epoch + 1] > training[epoch]
    ]
    return max(falls, default=0.0)


def _gap(case: Case, validation: Sequence[float], training: Sequence[float]) -> Finding | None:
    reached = max(validation[-2:])  # of two epochs: the last one alone may be the lower end of a jump
    gap = training[-1] - reached
    if gap < _limit(case, GAP, reached):
        return None
    return Finding(
        symptom="training accuracy far above validation accuracy",
        evidence=f"training {training[-1]:.1f} % in epoch {case.trained[-1].number}, validation {reached:.1f} % in the "
        f"better of the last two: {gap:.1f} points apart",
        cause="Overfitting: the training samples are learned by heart.",
        remedies=_by_heart(case, slower=False),
    )


def _by_heart(case: Case, *, slower: bool) -> tuple[str, ...]:
    settings = case.settings
    return remedies.all_of(
        remedies.dropout(settings),
        remedies.augmentation(settings),
        remedies.learning_rate(settings, times=1 / 3) if slower else (),
        remedies.schedule(settings) if slower else (),
    )
