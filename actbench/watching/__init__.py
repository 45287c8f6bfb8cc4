"""Watching the activations of a network in a training loop of one's own; `watch` is the way in.

`lightning` and `transformers` have callbacks for the loops of these libraries.
"""

from actbench.watching.diagnosis import Diagnosis
from actbench.watching.watch import Watch, watch

__all__ = ["Diagnosis", "Watch", "watch"]
