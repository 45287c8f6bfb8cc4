"""Shares of the seeds trained side by side: one thread a share, which meets the others when all are done.

Kernels of a small batch gain little from several threads, and beside another process they lose everything: libgomp's
threads spin at the barrier of each kernel, waiting for one that the machine has put aside. Shares of the seeds have no
barrier but the end of an epoch. Torch lets go of Python's interpreter while a kernel runs, so that threads suffice;
they share the data, and nothing has to be sent. BENCHMARKS.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any, TypeVar

import torch

from actbench.train.spinning import chosen_by_user, spinning_while_alone

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers:
    """Calls a function of several items, side by side.

    Args:
        number: how many at a time; 1 is in turn, in the thread of the caller.
        threads: that the kernels of each may use.
    """

    def __init__(self, number: int = 1, threads: int = 1) -> None:
        self.number, self.threads = number, threads
        self.interrupted = False  # one has failed, or the caller was interrupted: whoever can ends early

    def describe(self) -> dict[str, Any]:
        """For `environment.json`: how many there are, the threads of each one's kernels, and how these wait."""
        spins = chosen_by_user() or ("while alone" if self.threads > 1 else "never")
        return {"workers": self.number, "threads_of_a_worker": self.threads, "threads_spin": spins}

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.number, "actbench", initializer=_prepare, initargs=(self.threads,))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """`function` of each item, in their order; returns when all have ended, whatever has happened.

        Raises:
            Exception: what the first of the items raised.
        """
        self.interrupted = False
        if self.threads == 1:
            return self._map(function, items)
        with spinning_while_alone():
            return self._map(function, items)

    def _map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        if self.number == 1:
            return [function(item) for item in items]
        futures = [self._pool.submit(function, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            self.interrupted = any(future.exception() for future in done)
            return [future.result() for future in futures]
        finally:
            self.interrupted = True
            wait(futures)


def _prepare(threads: int) -> None:
    """What `machine.prepare` sets for a process belongs to a thread."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
