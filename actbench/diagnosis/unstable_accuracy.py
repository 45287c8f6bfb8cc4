"""Validation accuracy jumps while training accuracy rises: steps that overshoot."""

from __future__ import annotations

from statistics import median

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import counted
from actbench.diagnosis.generalisation import FALL, accuracies, at_least, falls, jumps, largest_falls
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

RULE = Rule(
    code="unstable-accuracy",
    rank=71,
    summary="Validation accuracy jumps while training accuracy rises.",
    what="From some epoch to the next validation accuracy falls by 3 points or more while training accuracy rises, in "
    "the median over seeds, and by at least 3 standard errors of the validation split.",
    why="The result depends on the epoch in which training ends.",
    example="actbench dataset=digits model.width=64 activation=leaky_relu optimizer=sgd "
    "optimizer.lr=0.3 train.epochs=15",
    remedy="A third of the learning rate, scheduler=cosine, dropout, augment=shift_rotate.",
)


def find(run: RunHistory) -> Finding | None:
    """Falls from one epoch to the next in which the training accuracy rose; the largest of each seed."""
    curves = accuracies(run)
    if curves is None or falls(run, curves) or not jumps(run):
        return None
    drops = largest_falls(run)
    limit = at_least(run, FALL, median(run.finals("val_accuracy")))
    jumping = sum(drop >= limit for drop in drops)
    settings = run.settings
    return Finding(
        symptom="validation accuracy jumps while training accuracy rises",
        evidence=f"{jumping} of {counted(len(drops), 'seed')} fell by {limit:.1f} points or more from one epoch to the "
        f"next, by up to {max(drops):.1f}",
        cause="Steps are too long for the valley that they are in: each epoch ends on another side of it.",
        remedies=remedies.all_of(
            remedies.learning_rate(settings, times=1 / 3),
            remedies.schedule(settings),
            remedies.dropout(settings),
            remedies.augmentation(settings) if run.images else (),
        ),
    )
