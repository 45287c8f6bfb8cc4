"""One job: build, fit, test, diagnose, persist, and say how it ended."""

from actbench.run.job import Sinks, Stop, run
from actbench.run.summary import Progress

__all__ = ["Progress", "Sinks", "Stop", "run"]
