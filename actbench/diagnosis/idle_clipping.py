"""Clipping never at work: then it does nothing at all."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.clipped_steps import PER_EPOCH, norm_in_words, shares, typical_norm
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

ENOUGH = 60  # steps without a clipped one, by which less than 1 step in 20 is clipped (3/n, the "rule of three")

RULE = Rule(
    code="idle-clipping",
    rank=91,
    summary="Clipping was never at work.",
    what="None of the steps looked at was clipped, and at least 60 were.",
    why="The limit is above every gradient: the run is what it would be without clipping, and protected from nothing.",
    example="actbench dataset=digits model.width=64 clip=norm clip.max_norm=1000 train.epochs=3",
    remedy="clip=none, or the gradient's usual norm as the limit.",
)


def find(run: RunHistory) -> Finding | None:
    """No clipped step over all epochs and seeds."""
    clipped = shares(run)
    steps = min(PER_EPOCH, run.steps) * len(clipped)
    if steps < ENOUGH or max(clipped) > 0:
        return None
    return Finding(
        symptom="clipping never at work",
        evidence=f"none of the {steps} steps looked at was clipped{norm_in_words(run)}",
        cause="The limit is above every gradient: the run is what it would be without clipping.",
        remedies=remedies.all_of(("clip=none",), _smaller_limit(run)),
    )


def _smaller_limit(run: RunHistory) -> tuple[str, ...]:
    """The gradient's usual norm as the limit.

    Source: Pascanu et al. 2013, arXiv:1211.5063, section 3.2: from half to ten times the average norm.
    """
    limit, norm = run.settings.clip.params.get("max_norm"), typical_norm(run)
    fits = limit is not None and norm is not None and 0 < float(remedies.rounded(norm)) < limit
    return (f"clip.max_norm={remedies.rounded(norm or 0.0)}",) if fits else ()
