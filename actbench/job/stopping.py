"""`Stop`: signals stop a run after the running step, with everything on disk; others who listen to them come then."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from signal import Signals
from types import FrameType
from typing import Any

from actbench.train import Control

_ASKED = (signal.SIGINT, signal.SIGTERM)  # by people and by schedulers
_ANNOUNCED = tuple(  # by schedulers alone: a time limit or a preemption is near
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
_SUBMITIT = "submitit."


@dataclass
class Stop(Control):
    """A `Control` that signals set; `signal` is the number of the signal that was received.

    SIGINT and SIGTERM stop a run. So do SIGUSR1 and SIGUSR2 where submitit listens to them, which then has Slurm start
    the job again. Its handler would end the process in the midst of a step: `hand_over` calls it later.

    submitit's handler of SIGTERM is left alone. It does nothing, on purpose: Slurm sends SIGTERM where it preempts a
    job, and a job that ends by itself before it is killed is not started again.

    Where a search gives the run up, `pruned` says when.
    """

    signal: int = 0
    pruned: str = ""
    _theirs: dict[int, Any] = field(default_factory=dict, repr=False)  # signal -> the handler that was there before

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """Within the block, submitit's handlers of signals that stop a run wait for `hand_over`."""
        with self._listening_to([number for number in _ANNOUNCED if _is_submitits(signal.getsignal(number))]):
            yield

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block, the first signal stops training after the current step; a second one acts as usual."""
        with self._listening_to([number for number in _ASKED if not _is_submitits(signal.getsignal(number))]):
            yield

    @contextlib.contextmanager
    def _listening_to(self, numbers: list[Signals]) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
        self._theirs |= before

        def ask(number: int, _frame: FrameType | None) -> None:
            self.stop, self.signal = True, number
            signal.signal(number, before[number])

        try:
            for number in before:
                signal.signal(number, ask)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def hand_over(self) -> None:
        """Calls the handler that somebody else had set for the signal that was received, once the run has stopped.

        Whatever it raises: submitit's ends the process.
        """
        handler = self._theirs.get(self.signal)
        if callable(handler) and handler is not signal.default_int_handler:
            handler(self.signal, None)


def _is_submitits(handler: Any) -> bool:
    return callable(handler) and str(getattr(handler, "__module__", "")).startswith(_SUBMITIT)
