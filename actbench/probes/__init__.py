"""What is measured inside a network. Looking changes nothing: no probe draws a random number or leaves a gradient behind."""

from actbench.probes.gradients import gradient_norms, untrained_gradient_norms
from actbench.probes.histograms import Histogram, preactivation_histograms
from actbench.probes.units import UnitWatch, watch_units

__all__ = [
    "Histogram",
    "UnitWatch",
    "gradient_norms",
    "preactivation_histograms",
    "untrained_gradient_norms",
    "watch_units",
]
