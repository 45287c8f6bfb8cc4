"""Stops the threads of a kernel from spinning at barriers while other processes need the cores.

libgomp's threads spin at the barrier of every kernel, which is fastest on an idle machine. Beside another process, they
spin until the system resumes a thread that it has suspended, and a kernel takes as long as the other process's time
slice. libgomp reads its variables once, when it is loaded, and none of their values is good in both cases. But it stops
spinning by itself as soon as it manages more threads than there are cores. So when the threads of this process begin to
wait for a core, more threads than that are created. They sleep, and they end with the block. No result changes.

Source: libgomp's config/linux/wait.h (`gomp_managed_threads`, `gomp_throttled_spin_count_var`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actbench.train.waiting import waited

_INTERVAL = 0.1  # seconds between two readings
_MAX_WAITING = 0.2  # of the time: threads stop spinning if together they wait longer than this for a core
_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # with which the user may have decided
_GRAIN = 1 << 15  # the smallest number of elements that torch gives to one thread of a parallel operation


@contextmanager
def spinning_while_alone() -> Iterator[None]:
    """Within the block, the threads of kernels spin at barriers only as long as they need not wait for a core.

    Nothing changes if the user's environment variables decide, or on systems other than Linux, which do not report how
    long threads wait.
    """
    if chosen_by_user() or waited() is None:
        yield
        return
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(ended,), name="actbench-spinning", daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()


def chosen_by_user() -> dict[str, str]:
    """The environment variables with which the user has decided how long threads spin, and their values."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def _watch(ended: threading.Event) -> None:
    before = waited()
    while before is not None and not ended.wait(_INTERVAL):
        now = waited()
        if now is not None and now - before > _MAX_WAITING * _INTERVAL:
            _make_more_threads_than_cores()
            ended.wait()  # they live as long as the thread that created them
            return
        before = now


def _make_more_threads_than_cores() -> None:
    """Runs one operation of this thread on all cores, which gives it a team of threads besides the existing ones."""
    before, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)  # of this thread
    torch.zeros(cores * _GRAIN).add_(1.0)
    torch.set_num_threads(before)
