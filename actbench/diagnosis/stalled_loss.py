"""Loss does not fall early: after the first epochs the network knows next to nothing of the classes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from actbench.diagnosis import gradients, remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import counted, mean, percent
from actbench.measures.units import network_ratio
from actbench.records import Finding

EARLY = 3  # epochs

# The training loss as a share of ln(classes), the loss of guessing. Whatever learns at all is far below after two or
# three epochs, even of 10,000 samples (0.05 to 0.6 on MNIST); what does not stays at 1.0.
GUESSING = 0.9

# How far the training accuracy may have come from guessing (0) to perfect (1). A loss is above that of guessing, too,
# where the network knows much and is wildly wrong about the rest, as with weights that start too large.
KNOWN = 1 / 3

# The loss as a share of ln(classes), above which it was thrown up by the first steps: up to 1.15 in the first epoch
# where the learning rate is good or too small, 1.6 to 1000 where it is a hundred times too high.
THROWN = 1.5

FALLING = 0.02  # of ln(classes) from each epoch to the next: slow, but on its way


def find(case: Case) -> Finding | None:
    """The training loss of the last of the first three epochs (of two, if there are no more), for most seeds."""
    stalled = [seed for seed in case.seeds if _stalled(case, seed)]
    if not stalled or 2 * len(stalled) <= len(case.seeds):
        return None
    losses = [mean(at) for at in zip(*(_early(case, seed, "train_loss") for seed in stalled), strict=True)]
    guess = math.log(case.classes)
    dead = mean(network_ratio(case.epochs[-1].of_seed(seed), "dead") for seed in stalled)
    units = f"; {percent(dead)} of all units dead" if dead > 0 else ""
    slope = (losses[-1] - losses[0]) / (len(losses) - 1)
    return Finding(
        symptom="loss does not fall early",
        evidence=f"training loss {' → '.join(f'{loss:.4g}' for loss in losses)} in the first {len(losses)} epochs "
        f"({slope:+.2g} an epoch; guessing has {guess:.4g}), "
        f"{len(stalled)} of {counted(len(case.seeds), 'seed')}{units}",
        **_why(case, [loss / guess for loss in losses]),
    )


def _early(case: Case, seed: int, name: str) -> list[float]:
    return case.curve(seed, name)[:EARLY]


def _stalled(case: Case, seed: int) -> bool:
    losses, accuracies = _early(case, seed, "train_loss"), _early(case, seed, "train_accuracy")
    guess = 100.0 / case.classes
    knows_little = accuracies[-1] < guess + KNOWN * (100.0 - guess)
    return len(losses) > 1 and losses[-1] > GUESSING * math.log(case.classes) and knows_little


def _why(case: Case, losses: list[float]) -> dict[str, Any]:
    """The likely cause and its remedies; `losses` are in units of guessing."""
    settings = case.settings
    falls = all(before - after >= FALLING for before, after in pairwise(losses))
    if falls and max(losses) < THROWN and gradients.find(case) is None:
        return {
            "cause": "It falls, but slowly: steps are too short.",
            "remedies": remedies.learning_rate(settings, times=10),
        }
    thrown = max(losses) >= THROWN
    slower = remedies.all_of(
        remedies.learning_rate(settings, times=1 / 10),
        remedies.learning_rate(settings, times=1 / 100) if thrown else (),
    )
    others = remedies.all_of(
        remedies.activation(settings, "leaky_relu", "prelu", instead_of=remedies.FLAT | remedies.BOUNDED),
        remedies.he_init(settings),
        remedies.batch_norm(settings),
        remedies.clip_norm(settings),
    )
    if thrown:
        return {
            "cause": "Steps too long: the first ones threw the weights to where nothing can be learned.",
            "remedies": remedies.all_of(slower, others),
        }
    return {
        "cause": "No usable gradient reaches the weights: it vanishes or explodes on its way, or the units are dead.",
        "remedies": remedies.all_of(others, slower),
    }
