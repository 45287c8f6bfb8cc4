"""Clipping at work all the time: then it sets the length of every step."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.clipped_steps import norm_in_words, shares, typical_norm
from actbench.diagnosis.evidence import mean, percent
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

ALWAYS = 0.95  # share of the steps looked at: nearly all of them, the last as the first

PLAIN = ("sgd", "momentum", "nesterov")  # their steps are as long as the gradient; the others divide by its size

RULE = Rule(
    code="constant-clipping",
    rank=90,
    summary="Clipping is at work in nearly every step.",
    what="With clip=norm and at least two epochs, 95 % of the steps looked at or more were clipped.",
    why="With plain SGD all steps have the same length, whatever the gradient; an optimizer that divides by the "
    "gradient's size would do the same without clipping.",
    example="actbench dataset=digits model.width=64 clip=norm clip.max_norm=0.01 train.epochs=2",
    remedy="The gradient's usual norm as the limit, for plain SGD with a learning rate that keeps the steps as long as "
    "they are; clip=none where the optimizer divides by the gradient's size.",
)


def find(run: RunHistory) -> Finding | None:
    """The mean share of clipped steps over all epochs and seeds, of clipping by norm.

    Clipping by value changes a step as soon as one entry is too large: that this is always so means nothing.
    """
    clipped = shares(run)
    if run.settings.clip.name != "norm" or len(run.trained) < 2 or not clipped or mean(clipped) < ALWAYS:
        return None
    plain = run.settings.optimizer.name in PLAIN
    return Finding(
        symptom="clipping at work all the time",
        evidence=f"{percent(mean(clipped))} of the steps looked at were clipped{norm_in_words(run)}",
        cause="All steps have the same length: the gradient gives the direction alone."
        if plain
        else "All gradients have the same size, by which this optimizer divides anyway: the limit does little.",
        remedies=remedies.all_of(_larger_limit(run, plain=plain), () if plain else ("clip=none",)),
    )


def _larger_limit(run: RunHistory, *, plain: bool) -> tuple[str, ...]:
    """The gradient's usual norm as the limit, and steps of the same length on the whole.

    Plain SGD's steps grow with the limit, those of optimizers that divide by the gradient's size do not. Measured on
    `experiment=deep_clipped` (three epochs of 10,000 samples): a loss of 1.3 as it is, 2.3 (guessing) with
    clip.max_norm=8 alone, 1.2 with optimizer.lr=0.01 besides.
    """
    limit, norm = run.settings.clip.params.get("max_norm"), typical_norm(run)
    if limit is None or norm is None or float(remedies.rounded(norm)) <= limit:
        return ()
    slower = remedies.learning_rate(run.settings, times=limit / norm) if plain else ()
    return (" ".join([f"clip.max_norm={remedies.rounded(norm)}", *slower]),)
