"""One run from start to end: build, fit, test, diagnose, write the files, and report how it ended."""

from actbench.job.job import Sinks, Stop, run
from actbench.job.summary import Progress

__all__ = ["Progress", "Sinks", "Stop", "run"]
