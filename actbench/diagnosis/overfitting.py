"""Overfitting: training accuracy goes on rising, and validation accuracy falls or stays far below."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.generalisation import GAP, Accuracies, accuracies, at_least, falls, jumps
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

RULE = Rule(
    code="overfitting",
    rank=70,
    metric="val_loss",
    summary="Validation accuracy falls, or stays far below training accuracy.",
    what="Validation accuracy ends 3 points or more under its best epoch while training accuracy rose; or training "
    "accuracy ends 5 points or more above it, without jumps. Both are medians over seeds, and at least 3 standard "
    "errors of the validation split.",
    why="The training samples are learned by heart: what is gained on them is not gained on others.",
    example="actbench dataset=digits model.width=64 dataset.train_size=100 train.epochs=20",
    remedy="dropout, augment=shift_rotate; where it falls, also a third of the learning rate and scheduler=cosine.",
)


def find(run: RunHistory) -> Finding | None:
    """A fall or a gap, the first that there is; each of them in the median over seeds."""
    curves = accuracies(run)
    if curves is None:
        return None
    if falls(run, curves):
        return _fallen(run, curves)
    return None if jumps(run) else _gap(run, curves)


def _fallen(run: RunHistory, curves: Accuracies) -> Finding:
    validation, training = curves
    best = max(range(len(validation)), key=lambda epoch: validation[epoch])
    return Finding(
        symptom="validation accuracy falls while training accuracy rises",
        evidence=f"validation {validation[best]:.1f} % in epoch {run.trained[best].number}, {validation[-1]:.1f} % in "
        f"epoch {run.trained[-1].number}; training {training[best]:.1f} % and {training[-1]:.1f} %",
        cause="Overfitting, or steps that are too long near the end.",
        remedies=_remedies(run, slower=True),
    )


def _gap(run: RunHistory, curves: Accuracies) -> Finding | None:
    validation, training = curves
    reached = max(validation[-2:])  # of two epochs: the last one alone may be the lower end of a jump
    gap = training[-1] - reached
    if gap < at_least(run, GAP, reached):
        return None
    return Finding(
        symptom="training accuracy far above validation accuracy",
        evidence=f"training {training[-1]:.1f} % in epoch {run.trained[-1].number}, validation {reached:.1f} % in the "
        f"better of the last two: {gap:.1f} points apart",
        cause="Overfitting: the training samples are learned by heart.",
        remedies=_remedies(run, slower=False),
    )


def _remedies(run: RunHistory, *, slower: bool) -> tuple[str, ...]:
    settings = run.settings
    return remedies.all_of(
        remedies.dropout(settings),
        remedies.augmentation(settings) if run.images else (),
        remedies.learning_rate(settings, times=1 / 3) if slower else (),
        remedies.schedule(settings) if slower else (),
    )
