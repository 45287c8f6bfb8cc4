"""What is measured inside a network. Looking changes nothing: no random number is drawn, no gradient left behind."""

from actbench.measures.batch_norm import as_if_trained_on
from actbench.measures.gradients import gradient_norms, untrained_gradient_norms
from actbench.measures.histograms import Histogram, histogram, preactivation_histograms
from actbench.measures.lives import Lives
from actbench.measures.shapes import learned_shapes, shape_records
from actbench.measures.units import DEFINITIONS, STATISTICS, UnitWatch, watch_units

__all__ = [
    "DEFINITIONS",
    "STATISTICS",
    "Histogram",
    "Lives",
    "UnitWatch",
    "as_if_trained_on",
    "gradient_norms",
    "histogram",
    "learned_shapes",
    "preactivation_histograms",
    "shape_records",
    "untrained_gradient_norms",
    "watch_units",
]
