"""What is measured inside a network. Looking changes nothing: no random number is drawn, no gradient left behind."""

from actbench.probes.gradients import gradient_norms, untrained_gradient_norms
from actbench.probes.histograms import Histogram, preactivation_histograms
from actbench.probes.units import STATISTICS, UnitWatch, watch_units

__all__ = [
    "STATISTICS",
    "Histogram",
    "UnitWatch",
    "gradient_norms",
    "preactivation_histograms",
    "untrained_gradient_norms",
    "watch_units",
]
