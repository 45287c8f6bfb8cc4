"""actbench from Python: `compare`, `run` and `load`, which are the package's own names (`actbench.compare`)."""

from actbench.api.calling import compare, load, run
from actbench.api.comparisons import Comparison
from actbench.api.pictures import Picture
from actbench.api.runs import Run
from actbench.api.verdicts import Decision, Interval, Verdict

__all__ = ["Comparison", "Decision", "Interval", "Picture", "Run", "Verdict", "compare", "load", "run"]
