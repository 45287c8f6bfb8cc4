"""The jobs of a batch that this process and its workers take from, one at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence

from actbench.command.planning import Job
from actbench.command.sharing import Waiting
from actbench.store.lock import Held

Numbered = tuple[int, Job]


class Pending:
    """Jobs with their numbers, in the order in which they are begun.

    What another command works on is passed over, and tried again after all others: waiting for it at once would have
    all commands go through the jobs in lockstep.
    """

    def __init__(self, jobs: Iterable[Numbered]) -> None:
        self._next, self._held = deque(jobs), list[Numbered]()
        self._by: dict[int, Held] = {}  # number of a job -> who held it when it was last tried
        self._taken, self._moved = 0, False  # `_moved`: some job has ended since those in `_held` were tried
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._next)

    def left(self) -> Sequence[Job]:
        """The jobs that nobody has taken yet."""
        return [job for _, job in [*self._next]]

    def take(self) -> Numbered | None:
        """The next job; None where there is none at the moment. Say later what became of it."""
        with self._changed:
            if not self._next:
                return None
            self._taken += 1
            return self._next.popleft()

    def begun(self, job: Numbered) -> None:
        """A job that was taken is trained: nobody else holds it."""
        with self._changed:
            self._by.pop(job[0], None)

    def ended(self, job: Numbered) -> None:
        """A job that was taken has ended, well or not."""
        self.begun(job)
        self._back(moved=True)

    def held(self, job: Numbered, by: Held) -> None:
        """A job that was taken is worked on by another command."""
        with self._changed:
            self._held.append(job)
            self._by[job[0]] = by
        self._back()

    def dropped(self, job: Numbered) -> None:
        """Whoever took the job is gone, perhaps because of the job: it is the last one now."""
        with self._changed:
            self._next.append(job)
        self._back()

    def _back(self, *, moved: bool = False) -> None:
        with self._changed:
            self._taken, self._moved = self._taken - 1, self._moved or moved
            self._changed.notify_all()

    def wait(self, waiting: Waiting) -> bool:
        """Returns True when there may be a job to take again; False when all have ended."""
        with self._changed:
            while not (self._next or self._held or not self._taken):
                self._changed.wait()
            if self._next or not self._held:
                return bool(self._next)
            again, moved = [*self._held], self._moved
            by = [self._by[number] for number in sorted(self._by)]
        if moved:
            waiting.reset()
        else:
            waiting.wait(by)
        with self._changed:
            self._next.extend(again)
            self._held = self._held[len(again) :]
            self._moved = False
        return True
