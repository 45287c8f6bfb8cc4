"""Clipping at work all the time, or never: then it sets the length of every step, or does nothing at all."""

from __future__ import annotations

from statistics import median

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import figure, finite, mean, percent
from actbench.records import Finding

ALWAYS = 0.95  # share of the steps looked at: nearly all of them, the last as the first
LOOKS = 8  # steps of an epoch, if it has as many, at which `EpochRecord.clipped` looks: `train.loop.GRADIENT_LOOKS`
ENOUGH = 60  # looks without a clipped step, by which less than 1 step in 20 is clipped (3/n, the "rule of three")

PLAIN = ("sgd", "momentum", "nesterov")  # their steps are as long as the gradient; the others divide by its size


def find(case: Case) -> Finding | None:
    """The share of clipped steps over all epochs and seeds; nothing where there is no clipping.

    Of clipping by value, for which one entry of the gradient makes a step a clipped one, only that it never is.
    """
    shares = finite(share for seed in case.seeds for share in case.curve(seed, "clipped"))
    if case.settings.clip.target is None or not shares:
        return None
    if mean(shares) >= ALWAYS and len(case.trained) > 1 and case.settings.clip.name == "norm":
        return _always(case, mean(shares))
    looks = min(LOOKS, case.steps) * len(shares)
    if max(shares) == 0 and looks >= ENOUGH:
        return _never(case, looks)
    return None


def _always(case: Case, share: float) -> Finding:
    plain = case.settings.optimizer.name in PLAIN
    return Finding(
        symptom="clipping at work all the time",
        evidence=f"{percent(share)} of the steps looked at were clipped{_norm(case)}",
        cause="All steps have the same length: the gradient gives the direction alone."
        if plain
        else "All gradients have the same size, by which this optimizer divides anyway: the limit does little.",
        remedies=remedies.all_of(_larger_limit(case), () if plain else ("clip=none",)),
    )


def _never(case: Case, looks: int) -> Finding:
    return Finding(
        symptom="clipping never at work",
        evidence=f"none of the {looks} steps looked at was clipped{_norm(case)}",
        cause="The limit is above every gradient: the run is what it would be without clipping.",
        remedies=remedies.all_of(("clip=none",), _smaller_limit(case)),
    )


def _norm(case: Case) -> str:
    norm = _typical_norm(case)
    return "" if norm is None else f"; the gradient's norm is {figure(norm)} (median)" + _set_limit(case)


def _set_limit(case: Case) -> str:
    limit = case.settings.clip.params.get("max_norm")
    return "" if limit is None else f", max_norm {limit:g}"


def _typical_norm(case: Case) -> float | None:
    norms = finite(norm for seed in case.seeds for norm in case.curve(seed, "grad_norm"))
    return median(norms) if norms else None


def _larger_limit(case: Case) -> tuple[str, ...]:
    """The gradient's usual norm as the limit, and steps of the same length on the whole.

    Plain SGD's steps grow with the limit, those of optimizers that divide by the gradient's size do not. Measured on
    `experiment=deep_clipped` (three epochs of 10,000 samples): a loss of 1.3 as it is, 2.3 (guessing) with
    clip.max_norm=8 alone, 1.2 with optimizer.lr=0.01 besides.
    """
    limit, norm = case.settings.clip.params.get("max_norm"), _typical_norm(case)
    if limit is None or norm is None or float(remedies.rounded(norm)) <= limit:
        return ()
    plain = case.settings.optimizer.name in PLAIN
    slower = remedies.learning_rate(case.settings, times=limit / norm) if plain else ()
    return (" ".join([f"clip.max_norm={remedies.rounded(norm)}", *slower]),)


def _smaller_limit(case: Case) -> tuple[str, ...]:
    """The gradient's usual norm as the limit.

    Source: Pascanu et al. 2013, arXiv:1211.5063, section 3.2: from half to ten times the average norm.
    """
    limit, norm = case.settings.clip.params.get("max_norm"), _typical_norm(case)
    fits = limit is not None and norm is not None and 0 < float(remedies.rounded(norm)) < limit
    return (f"clip.max_norm={remedies.rounded(norm or 0.0)}",) if fits else ()
