"""Training: S seeds of one configuration at once, with measurements before, during and after it."""

from actbench.train.evaluation import Means, cross_entropy, evaluate
from actbench.train.loop import fit
from actbench.train.state import Training
from actbench.train.step import Control
from actbench.train.workers import Workers

__all__ = ["Control", "Means", "Training", "Workers", "cross_entropy", "evaluate", "fit"]
