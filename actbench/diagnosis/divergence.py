"""Seeds diverged: their loss stopped being finite. One is enough: the means of the run leave it out."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import counted
from actbench.records import Finding


def find(case: Case) -> Finding | None:
    """Every seed whose loss was infinite or NaN, with the epoch."""
    if not case.diverged:
        return None
    each = ", ".join(f"seed {seed} in epoch {epoch}" for seed, epoch in sorted(case.diverged.items()))
    settings = case.settings
    return Finding(
        symptom="seeds diverged",
        evidence=f"{len(case.diverged)} of {counted(settings.num_seeds, 'seed')} had a loss beyond all numbers: {each}",
        cause="Steps too long for the slope of the loss: weights grew until numbers overflowed.",
        remedies=remedies.all_of(
            remedies.learning_rate(settings, times=1 / 10),
            remedies.clip_norm(settings),
            remedies.he_init(settings),
            remedies.batch_norm(settings),
        ),
    )
