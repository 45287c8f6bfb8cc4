"""The worker processes of a sweep on a CPU: they take jobs from those of the command, one core each.

Kernels of a small batch gain little from several threads, and runs side by side need no barriers. So while there are
jobs to take, each process trains its seeds one part after the other; how the seeds are split, on which the bits of a
result depend, stays as it is on all cores. Workers are started as soon as an epoch has shown that the rest of
the sweep takes long enough to pay for their imports (BENCHMARKS.md), which meanwhile costs this process nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from rich.text import Text

from actbench import cores
from actbench.command import crew_size, worker
from actbench.command.pending import Numbered, Pending
from actbench.command.running import Command
from actbench.command.worker import Channel, Start
from actbench.sinks import relay
from actbench.sinks.remaining import in_words

WORTH = 20.0  # seconds of training that have to be left
_START = "import sys; sys.path[:] = filter(None, sys.path); from actbench.command import worker; worker.main()"
_PATIENCE = 60.0  # seconds for the step that a worker is in, and to write what it has done

Result = TypeVar("Result")


class Crew:
    """The workers of a command, which stay from batch to batch; a context, at whose end they are stopped.

    Args:
        command: whose jobs they take, and whose `sweep` shows their runs.
        asked: the number of processes that was typed, this one among them; None: as many as pay.
    """

    def __init__(self, command: Command, asked: int | None) -> None:
        self.command, self.asked = command, asked
        self.pending = Pending(())
        self.workers: list[Worker] = []
        self._lock = threading.RLock()
        self._decided, self._trains, self._stopping = asked == 1, False, False

    def __enter__(self) -> Crew:
        assert self.command.sweep is not None
        self.command.crew, self.command.sweep.learnt = self, self._consider
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping, self.command.crew = True, None
        for one in self.workers:
            one.close()
        for one in self.workers:
            one.wait()
        if self.workers:
            _use(None)

    # ------------------------------------------------------------ jobs

    def begin(self, pending: Pending) -> None:
        """A batch begins."""
        self.pending = pending
        if self.asked is not None and not self._decided and len(pending) > 1:
            self._start(f"workers={self.asked}")
        self.feed()

    def alongside(self, work: Callable[[], Result]) -> Result:
        """Calls what this process itself has to do, beside the workers."""
        self._trains = True
        self.share()
        try:
            return work()
        finally:
            self._trains = False
            self.share()

    def feed(self) -> None:
        """Gives jobs to workers that have none."""
        with self._lock:
            for one in self.workers:
                if one.idle and (taken := self.pending.take()) is not None:
                    one.give(taken)
        self.share()

    def share(self) -> None:
        """Divides the cores among those that have something to do."""
        with self._lock:
            busy = [one for one in self.workers if one.job is not None]
            if not self.workers or self._stopping:
                return
            each = max(1, cores.available() // max(1, len(busy) + self._trains))
            for one in busy:
                one.use(each)
        _use(each)

    # ------------------------------------------------------------ whether they pay

    def _consider(self) -> None:
        """After an epoch of this process: whether what is left is worth starting workers."""
        assert self.command.sweep is not None
        if self._decided or not len(self.pending):
            return
        left = self.command.sweep.left()
        if left is not None and left >= WORTH:
            self._start(f"{in_words(left)} of training are left")

    def _start(self, why: str) -> None:
        self._decided = True
        number, limit = crew_size.processes([job.settings for job in self.pending.left()], self.asked)
        if number > 1:
            self._say(f"{number} processes share the runs, since {why}; {limit} (workers=1: one after the other)")
            self.workers = [Worker(self) for _ in range(number - 1)]
            self.feed()  # those that were ready before they were among the workers
        elif limit:
            self._say(f"one run at a time: {limit}")

    def _say(self, line: str) -> None:
        assert self.command.sweep is not None
        self.command.sweep.say(Text(line, style="dim"))

    # ------------------------------------------------------------ what workers tell

    def told(self, by: Worker, what: str, arguments: tuple[Any, ...]) -> None:
        """A message of a worker, in the thread that listens to it."""
        sweep, command = self.command.sweep, self.command
        assert sweep is not None
        if what == worker.PRINTED:
            name, line = arguments
            if not self._stopping:
                print(line, file=getattr(sys, name), flush=True)
        elif what == "fail":
            self._failed(*arguments)
        elif what == worker.DISK:
            command.disk_errors.append(arguments[0])
        elif what in (worker.READY, worker.ENDED, worker.HELD):
            self._back(by, what, arguments)
        else:
            if what == "run" and (job := by.job) is not None:
                self.pending.begun(job)
            relay.show(sweep, what, arguments)

    def _failed(self, error: Any, settings: Any, folder: Any) -> None:
        from actbench.command.complaints import complain

        sweep = self.command.sweep
        assert sweep is not None
        self.command.errors.append(error)
        with sweep.lock:
            told = sweep.fail(error, settings, folder)
        if not told:
            complain(error)

    def _back(self, by: Worker, what: str, arguments: tuple[Any, ...]) -> None:
        with self._lock:
            job, by.job, by.idle = by.job, None, True
        if job is not None and what == worker.ENDED:
            self.command.exit_codes.append(arguments[0])
            self.pending.ended(job)
        elif job is not None:
            self.pending.held(job, arguments[0])
        if not self._stopping:
            self.feed()

    def gone(self, by: Worker, how: int) -> None:
        """A worker has ended."""
        with self._lock:
            job, by.job, by.idle = by.job, None, False
            self.workers = [one for one in self.workers if one is not by] if not self._stopping else self.workers
        if self._stopping:
            return
        name = f" by {signal.Signals(-how).name}" if how < 0 else f" with exit code {how}"
        doing = f"; {job[1].folder} is taken over" if job is not None else ""
        self._say(f"worker process {by.process.pid} was ended{name}{doing}")
        if job is not None:
            assert self.command.sweep is not None
            with self.command.sweep.lock:
                self.command.sweep.leave(job[1].folder)
            self.pending.dropped(job)
        self.feed()


class Worker:
    """A worker process, as the command's process knows it.

    Attributes:
        job: that it works on.
        idle: whether it waits for one; it does not before it has imported what it needs.
    """

    def __init__(self, crew: Crew) -> None:
        self.crew, self.idle, self._cores = crew, False, 1
        self.job: Numbered | None = None
        passive = {} if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys() else {"OMP_WAIT_POLICY": "passive"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **passive, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C of a terminal is for the command's process, which stops this one
        )  # fmt: skip
        assert self.process.stdin is not None
        self._channel = Channel(self.process.stdin)
        self._thread = threading.Thread(target=self._listen, name="actbench-worker", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        import pickle

        from actbench.train import machine

        start = Start(self.crew.command, [*sys.path], [*sys.argv], machine._DEFAULT_THREADS)
        stream = self.process.stdout
        assert self.process.stdin is not None and stream is not None
        with contextlib.suppress(OSError, ValueError):
            pickle.dump(start, self.process.stdin)
            self.process.stdin.flush()
        try:
            while True:
                try:
                    what, arguments = pickle.load(stream)
                except EOFError:  # it has ended, or is about to
                    break
                except Exception:  # whatever pickle raises: it cannot be understood any more
                    self.process.kill()
                    break
                self.crew.told(self, what, arguments)
        except OSError:  # what it says cannot be shown any more
            pass
        finally:  # whatever has happened, nobody waits for its job
            self.close()
            stream.close()
            self.crew.gone(self, self.process.wait())

    def give(self, job: Numbered) -> None:
        self.job, self.idle = job, False
        self._channel.send(worker.JOB, *job)

    def use(self, number: int) -> None:
        if number != self._cores:
            self._cores = number
            self._channel.send(worker.CORES, number)

    def close(self) -> None:
        """Lets it end, or stop after the running step."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def wait(self) -> None:
        """Returns when it has ended."""
        try:
            self.process.wait(_PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.process.kill()
            self.process.wait()
        self._thread.join(1.0)


def _use(number: int | None) -> None:
    if "actbench.train.workers" in sys.modules or number is not None:
        from actbench.train import workers

        workers.use(number)
