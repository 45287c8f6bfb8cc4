"""One run from start to end: build, fit, test, diagnose, write the files, and report how it ended."""

from actbench.job.job import Sinks, run
from actbench.job.stopping import Stop
from actbench.job.summary import Progress

__all__ = ["Progress", "Sinks", "Stop", "run"]
