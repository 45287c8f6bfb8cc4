"""Seeds disagree: one configuration, and results far apart. Then a mean says little, and one lucky seed a lot."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import mean
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

# Points of validation accuracy between the best and the worst seed. Healthy runs on MNIST stay under 3 (five seeds of
# `experiment=article_mlp`: 0.6; deep ones after three epochs of 10,000 samples: 2); one seed of several that does not
# learn makes it 50 and more.
RANGE = 5.0

# The same in standard errors that come from the split's size alone, for a small validation split: five seeds that
# differ by nothing else are 2.3 apart on average and 3.9 in one case of twenty (the studentised range).
SAMPLING_ERRORS = 4.0

# The same in what a seed gains in the last epoch, on average: while all are still climbing, they are as far apart as
# one is from itself an epoch or two later, and that is no disagreement.
GAINS = 2.0


RULE = Rule(
    code="seeds-disagree",
    rank=60,
    summary="Seeds of one configuration end far apart.",
    what="The best and the worst seed end 5 points of validation accuracy or more apart, at least 4 standard errors of "
    "the validation split, and at least twice what the last epoch still gained. Nothing is said where a seed diverged.",
    why="A mean of such seeds says little and one lucky seed a lot: whether it trains depends on the draw.",
    example="actbench dataset=digits model.width=8 model.depth=8 activation=prelu optimizer.lr=0.05 train.epochs=5",
    remedy="A third of the learning rate, clip=norm, He init, norm=batch, scheduler=warmup_cosine.",
)


def find(run: RunHistory) -> Finding | None:
    """The spread of the final validation accuracy over at least two sound seeds, where none has diverged."""
    curves = {seed: run.curve(seed, "val_accuracy") for seed in run.seeds}
    if len(curves) < 2 or len(run.trained) < 2 or run.diverged:
        return None
    accuracies = {seed: curve[-1] for seed, curve in curves.items()}
    gain = mean(curve[-1] - curve[-2] for curve in curves.values())
    (best, high), (worst, low) = (pick(accuracies.items(), key=lambda pair: pair[1]) for pick in (max, min))
    if high - low < max(RANGE, SAMPLING_ERRORS * run.sampling_error(mean(accuracies.values())), GAINS * gain):
        return None
    settings = run.settings
    return Finding(
        symptom="seeds disagree",
        evidence=f"validation accuracy from {low:.1f} % (seed {worst}) to {high:.1f} % (seed {best}), "
        f"{high - low:.1f} points apart over {len(accuracies)} seeds",
        cause="Whether it trains depends on the draw: the starting weights and the learning rate are near a limit.",
        remedies=remedies.all_of(
            remedies.learning_rate(settings, times=1 / 3),
            remedies.clip_norm(settings),
            remedies.he_init(settings),
            remedies.batch_norm(settings),
            remedies.warm_up(settings),
        ),
    )
