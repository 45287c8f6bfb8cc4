"""How many CPU cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def allocated() -> int:
    """Those that it is bound to, and that a job of Slurm's was given, which not every Slurm enforces."""
    counts = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):  # on Linux
        counts.append(len(os.sched_getaffinity(0)))
    given = os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE", "")
    if os.environ.get("SLURM_JOB_ID") and given.isdecimal() and int(given) > 0:
        counts.append(int(given))
    return min(counts)


def available() -> int:
    """The same, and no more than its control group has."""
    return max(1, min(allocated(), _quota() or allocated()))


def _quota() -> int | None:
    """The cores of the control group, rounded up; None where it has no limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((_GROUP / name).read_text() for name in names).split()
            quota, period = int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):  # there is no such group, or its quota is `max`
            continue
        if quota > 0 and period > 0:
            return -(-quota // period)
    return None
