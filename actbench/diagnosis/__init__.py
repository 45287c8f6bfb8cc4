"""What went wrong inside a run: findings from its records, each with figures, the likely cause and what to try.

One module for each disease, with one function `find(case) -> Finding | None` and its thresholds as named constants with
their reasons. A new one is a new module and its name in `DISEASES`. Nothing is found where nothing is known: NaN, too
few epochs, a run without probes.
"""

from __future__ import annotations

from actbench.diagnosis import (
    clipping,
    dead_units,
    disagreement,
    divergence,
    generalisation,
    gradients,
    idle_gpu,
    mean_shift,
    saturation,
    stalled_loss,
)
from actbench.diagnosis.case import Case
from actbench.records import Finding

__all__ = ["DISEASES", "Case", "diagnose"]

DISEASES = (  # the worst first
    divergence.find,
    stalled_loss.find,
    gradients.find,
    dead_units.find,
    saturation.find,
    disagreement.find,
    generalisation.find,
    mean_shift.find,
    clipping.find,
    idle_gpu.find,
)


def diagnose(case: Case) -> list[Finding]:
    """All findings, the worst first; at most one of each disease, and none where a run is healthy."""
    return [finding for find in DISEASES if (finding := find(case)) is not None]
