"""Trains shards of the seeds side by side, one thread each; they wait for each other only at the end of an epoch.

Where there are more shards than threads, a free thread goes on with the shard that has the most left to do, for a small
part of an epoch: five seeds of equal size take two threads two and a half times as long as one seed, not three times.

The kernels of a small batch gain little from several threads, and they become slow beside another process: libgomp's
threads spin at the barrier after each kernel, waiting for a thread that the system has suspended. Shards have no such
barriers. Torch releases Python's interpreter lock while a kernel runs, so threads are enough, and they share the data.
BENCHMARKS.md has the figures.

Where several processes of a sweep share the machine, each trains its shards one after the other (`use`): how the seeds
are split decides the bits of a result, and which of the shards run at the same time does not.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any, TypeVar

import torch

from actbench.train.spinning import chosen_by_user, spinning_while_alone

Item = TypeVar("Item")
Result = TypeVar("Result")


_cores: int | None = None  # that this process may use at a time; None: all


def use(cores: int | None) -> None:
    """From the next epoch on, this process uses so many cores, but at least one shard trains; None: all."""
    global _cores
    _cores = cores


class Workers:
    """Calls a function for several items, side by side.

    Args:
        number: of items at a time; with 1 they take turns in the caller's thread.
        threads: that the kernels of each item may use.

    Attributes:
        interrupted: whether an item has failed or the caller was interrupted, so that the others should end early.
        shared: the numbers of cores to which this process was limited while it worked, in favour of others.
    """

    def __init__(self, number: int = 1, threads: int = 1) -> None:
        self.number, self.threads = number, threads
        self.interrupted, self.shared = False, set[int]()

    def describe(self) -> dict[str, Any]:
        """For `environment.json`: the number of workers, the threads of each one's kernels, and how these wait."""
        spins = chosen_by_user() or ("while alone" if self.threads > 1 else "never")
        shared = {"limited_to_cores": sorted(self.shared)} if self.shared else {}
        return {"workers": self.number, "threads_of_a_worker": self.threads, "threads_spin": spins, **shared}

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.number, "actbench", initializer=_prepare, initargs=(self.threads,))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The result of `function` for each item, in their order. Returns or raises only when all calls have ended.

        Raises:
            Exception: what the call for the first failed item raised.
        """
        self.interrupted = False
        self.shared |= {_cores} - {None}  # type: ignore[arg-type]
        if self.threads == 1:
            return self._map(function, items)
        with spinning_while_alone():
            return self._map(function, items)

    def share(self, work: Callable[[Item], float], items: Sequence[Item]) -> None:
        """Calls `work` for each item until it returns 0, the work that is left; the item with most left comes next.

        An item is in the hands of one thread at a time. Returns or raises only when all calls have ended.

        Raises:
            Exception: what a call raised.
        """
        waiting, lock = [(-math.inf, number) for number in range(len(items))], threading.Lock()  # a heap

        def following(left: float = 0.0, number: int = 0) -> int | None:
            with lock:
                if left:
                    heapq.heappush(waiting, (-left, number))
                return heapq.heappop(waiting)[1] if waiting else None  # what is in other hands cannot be shared further

        def until_none_waits(_: int) -> None:
            number = following()
            while number is not None:
                number = following(work(items[number]), number)

        self.map(until_none_waits, range(min(self.number, len(items))))

    def _map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        if self.number == 1:
            return [function(item) for item in items]
        at_once = self.number if _cores is None else max(1, _cores // self.threads)
        gate = threading.BoundedSemaphore(at_once)

        def gated(item: Item) -> Result:
            with gate:
                return function(item)

        futures = [self._pool.submit(gated, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            self.interrupted = any(future.exception() for future in done)
            return [future.result() for future in futures]
        finally:
            self.interrupted = True
            wait(futures)


def _prepare(threads: int) -> None:
    """Sets in a new thread what `machine.prepare` sets in the main thread."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
