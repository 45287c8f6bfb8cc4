"""How long the threads of this process wait for a core because all of them are taken, mostly by other processes.

Beside other work an epoch takes longer, and by how much differs from run to run: such times are not compared. Neither
the CPU time of the process nor that of its neighbours tells: what runs on a core that a network leaves idle does not
slow it down, and threads that spin at a barrier use a core without any gain. The kernel counts the waiting itself.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

_TASKS = Path("/proc/self/task")


class WaitingShare:
    """The share of the time, since this was made, in which threads that could go on waited for a core."""

    def __init__(self) -> None:
        self._waited, self._worked = waited(), time.process_time()

    def now(self) -> float:
        """Waiting, divided by waiting and computing; NaN where the system does not report it."""
        waited_now = waited()
        if self._waited is None or waited_now is None:
            return math.nan
        waiting, working = max(0.0, waited_now - self._waited), time.process_time() - self._worked
        return waiting / (waiting + working) if waiting + working > 0 else 0.0


def waited() -> float | None:
    """Seconds that the threads of this process together have been ready to run without a core; None if unknown."""
    try:
        tasks = [*_TASKS.iterdir()]
    except OSError:
        return None
    waited = 0
    for task in tasks:
        try:
            waited += int((task / "schedstat").read_text().split()[1])  # nanoseconds
        except (FileNotFoundError, ProcessLookupError):  # the thread has ended, or the system does not count
            continue
        except (OSError, ValueError, IndexError):
            return None
    return waited / 1e9
