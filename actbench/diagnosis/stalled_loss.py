"""Loss does not fall early: after the first epochs the network knows next to nothing of the classes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from actbench.diagnosis import exploding_gradients, no_gradients, remedies, vanishing_gradients
from actbench.diagnosis.evidence import counted, mean, percent
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.measures.units import network_ratio
from actbench.records import Finding

EARLY = 3  # epochs

# The training loss as a share of ln(classes), the loss of guessing. Whatever learns at all is far below after two or
# three epochs, even of 10,000 samples (0.05 to 0.6 on MNIST); what does not stays at 1.0.
GUESSING = 0.9

# How far the training accuracy may have come from guessing (0) to perfect (1). A loss is above that of guessing, too,
# where the network knows much and is wildly wrong about the rest, as with weights that start too large.
KNOWN = 1 / 3

# The loss as a share of ln(classes), above which the first steps were too long: up to 1.15 in the first epoch where the
# learning rate is good or too small, 1.6 to 1000 where it is a hundred times too high.
OVERSHOT = 1.5

FALLING = 0.02  # of ln(classes) from each epoch to the next: slow, but on its way


RULE = Rule(
    code="stalled-loss",
    rank=20,
    metric="train_loss",
    summary="The training loss does not fall early.",
    what="After the first three epochs (two, if there are no more) the training loss of most seeds is above 0.9 times "
    "that of guessing, ln(classes), and the training accuracy less than a third of the way from guessing to 100 %.",
    why="Whatever learns at all is far below by then: further epochs of the same hardly help.",
    example="actbench dataset=digits model.width=64 model.depth=8 activation=sigmoid init=torch_default train.epochs=3",
    remedy="Where the first steps were too long, a tenth or a hundredth of the learning rate; where the loss falls "
    "slowly with sound gradients, ten times the learning rate; where no usable gradient arrives, leaky_relu or prelu, "
    "He init, norm=batch, clip=norm.",
)


def find(run: RunHistory) -> Finding | None:
    """The training loss of the last of the first three epochs (of two, if there are no more), for most seeds."""
    stalled = [seed for seed in run.seeds if _stalled(run, seed)]
    if not stalled or 2 * len(stalled) <= len(run.seeds):
        return None
    losses = [mean(at) for at in zip(*(_early(run, seed, "train_loss") for seed in stalled), strict=True)]
    guess = math.log(run.classes)
    dead = mean(network_ratio(run.epochs[-1].of_seed(seed), "dead") for seed in stalled)
    units = f"; {percent(dead)} of all units dead" if dead > 0 else ""
    slope = (losses[-1] - losses[0]) / (len(losses) - 1)
    return Finding(
        symptom="loss does not fall early",
        evidence=f"training loss {' → '.join(f'{loss:.4g}' for loss in losses)} in the first {len(losses)} epochs "
        f"({slope:+.2g} an epoch; guessing has {guess:.4g}), "
        f"{len(stalled)} of {counted(len(run.seeds), 'seed')}{units}",
        **_why(run, [loss / guess for loss in losses]),
    )


def _gradients_are_wrong(run: RunHistory) -> bool:
    rules = (no_gradients, exploding_gradients, vanishing_gradients)
    return any(rule.find(run) is not None for rule in rules)


def _early(run: RunHistory, seed: int, name: str) -> list[float]:
    return run.curve(seed, name)[:EARLY]


def _stalled(run: RunHistory, seed: int) -> bool:
    losses, accuracies = _early(run, seed, "train_loss"), _early(run, seed, "train_accuracy")
    guess = 100.0 / run.classes
    knows_little = accuracies[-1] < guess + KNOWN * (100.0 - guess)
    return len(losses) > 1 and losses[-1] > GUESSING * math.log(run.classes) and knows_little


def _why(run: RunHistory, losses: list[float]) -> dict[str, Any]:
    """The likely cause and its remedies; `losses` are in units of guessing."""
    settings = run.settings
    falls = all(before - after >= FALLING for before, after in pairwise(losses))
    if falls and max(losses) < OVERSHOT and not _gradients_are_wrong(run):
        return {
            "cause": "It falls, but slowly: steps are too short.",
            "remedies": remedies.learning_rate(settings, times=10),
        }
    overshot = max(losses) >= OVERSHOT
    slower = remedies.all_of(
        remedies.learning_rate(settings, times=1 / 10),
        remedies.learning_rate(settings, times=1 / 100) if overshot else (),
    )
    others = remedies.all_of(
        remedies.activation(run, "leaky_relu", "prelu", instead_of=("flat", "bounded")),
        remedies.he_init(settings),
        remedies.batch_norm(settings),
        remedies.clip_norm(settings),
    )
    if overshot:
        return {
            "cause": "Steps too long: the first ones moved the weights to where nothing can be learned.",
            "remedies": remedies.all_of(slower, others),
        }
    return {
        "cause": "No usable gradient reaches the weights: it vanishes or explodes on its way, or the units are dead.",
        "remedies": remedies.all_of(others, slower),
    }
