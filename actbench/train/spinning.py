"""How long the threads of a kernel wait for each other by spinning: not at all while other processes want the cores.

libgomp's threads spin at the barrier of every kernel, which is the fastest thing to do alone. Where another process has
the core, they spin for one of theirs that the machine has put aside, and a kernel takes as long as the other's turn.
Its variables are read once, when it is loaded, and none of their values is good both alone and beside others. But it
gives up spinning by itself as soon as it manages more threads than there are cores. So, when the own threads begin to
wait for a core, more threads than that are made, which sleep, and are gone at the end of the block. Nothing that is
computed changes.

Source: libgomp's config/linux/wait.h (`gomp_managed_threads`, `gomp_throttled_spin_count_var`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_EVERY = 0.1  # seconds between two looks
_WAITING = 0.2  # share of the time that the own threads together wait for a core, from which on they do not spin
_TASKS = Path("/proc/self/task")
_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # by which a user may have decided
_GRAIN = 1 << 15  # elements that one thread of a parallel operation of torch gets at least


@contextmanager
def spinning_while_alone() -> Iterator[None]:
    """Within the block the threads of kernels spin at barriers only for as long as they need not wait for a core.

    Where the user's environment decides, and on systems that do not say how long threads wait (others than Linux),
    everything stays as it is.
    """
    if chosen_by_user() or _waited() is None:
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
    """The variables of the environment that decide how long threads spin."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def _watch(ended: threading.Event) -> None:
    before = _waited()
    while before is not None and not ended.wait(_EVERY):
        now = _waited()
        if now is not None and now - before > _WAITING * _EVERY:
            _make_more_threads_than_cores()
            ended.wait()  # they live as long as the thread that made them
            return
        before = now


def _waited() -> float | None:
    """Seconds for which the threads of this process together were ready to run and had no core."""
    try:
        tasks = [*_TASKS.iterdir()]
    except OSError:
        return None
    waited = 0
    for task in tasks:
        try:
            waited += int((task / "schedstat").read_text().split()[1])  # nanoseconds
        except (FileNotFoundError, ProcessLookupError):  # a thread that has ended; or a kernel that does not count
            continue
        except (OSError, ValueError, IndexError):
            return None
    return waited / 1e9


def _make_more_threads_than_cores() -> None:
    """One operation of this thread on all cores: from then on it has a team of its own beside the others."""
    usual, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)  # of this thread
    torch.zeros(cores * _GRAIN).add_(1.0)
    torch.set_num_threads(usual)
