"""How often clipping changed a step: what the two rules on clipping have in common."""

from __future__ import annotations

from statistics import median

from actbench.diagnosis.evidence import figure, finite
from actbench.diagnosis.history import RunHistory

PER_EPOCH = 8  # steps of an epoch, if it has as many, of which `EpochRecord.clipped` is known: `loop.GRADIENT_LOOKS`


def shares(run: RunHistory) -> list[float]:
    """The share of clipped steps in each epoch of each seed; empty where nothing clips."""
    if run.settings.clip.target is None:
        return []
    return finite(share for seed in run.seeds for share in run.curve(seed, "clipped"))


def typical_norm(run: RunHistory) -> float | None:
    """The median norm of the whole gradient before clipping; None where it is not known."""
    norms = finite(norm for seed in run.seeds for norm in run.curve(seed, "grad_norm"))
    return median(norms) if norms else None


def norm_in_words(run: RunHistory) -> str:
    """`; the gradient's norm is 0.6 (median), max_norm 0.1`, or an empty string."""
    norm, limit = typical_norm(run), run.settings.clip.params.get("max_norm")
    if norm is None:
        return ""
    return f"; the gradient's norm is {figure(norm)} (median)" + ("" if limit is None else f", max_norm {limit:g}")
