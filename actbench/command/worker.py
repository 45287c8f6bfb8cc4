"""A worker process of a sweep, which trains the jobs that it is given.

It is started by `crew.Worker`, without the current folder among those where Python looks: a `queue.py` of the user's
may lie there. `crew.Crew` sends it pickled messages on standard input and is answered on standard output:
first a `Start`, then jobs one at a time, and numbers of cores. When its input ends while it trains, it stops after the
running step with everything on disk, as after SIGTERM.
"""

from __future__ import annotations

import io
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from actbench.command.running import Command
from actbench.records import COMMAND_LINE

JOB, CORES, ENDED, HELD, READY, PRINTED, DISK = "job", "cores", "ended", "held", "ready", "printed", "disk"


@dataclass(frozen=True)
class Start:
    """What a worker has in common with the command's process.

    Attributes:
        threads: torch's own choice there, on which the bits of a result may depend.
    """

    command: Command
    path: Sequence[str]
    argv: Sequence[str]
    threads: int


class Channel:
    """Sends messages; several threads may."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._lock = file, threading.Lock()

    def send(self, what: str, *arguments: Any) -> None:
        content = pickle.dumps((what, arguments))
        with self._lock:
            try:
                self._file.write(content)
                self._file.flush()
            except (OSError, ValueError):  # nobody reads any more: the input ends, too
                pass


class _Printed(io.TextIOBase):
    """A standard stream whose lines are printed by the command's process, above what moves there."""

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel, self._name, self._rest = channel, name, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._channel.send(PRINTED, self._name, line)
        return len(text)

    def fileno(self) -> int:
        return 2


def main() -> None:
    """Works until the input ends."""
    source, channel = os.fdopen(os.dup(0), "rb"), Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's process says when to stop
    start: Start = pickle.load(source)
    sys.path[:] = start.path
    COMMAND_LINE.set(tuple(start.argv))  # what a run notes is the command that was typed
    for name in ("stdout", "stderr"):
        setattr(sys, name, _Printed(channel, name))
    from actbench.command import composing
    from actbench.sinks.relay import Relay
    from actbench.train import machine

    machine._DEFAULT_THREADS = start.threads
    relay = Relay(channel.send)
    start.command.sweep = relay  # type: ignore[assignment]
    jobs: queue.Queue[Any] = queue.Queue()
    working = threading.Event()
    threading.Thread(target=_listen, args=(source, jobs, working), name="actbench-listening", daemon=True).start()
    composing.register()
    with composing.composing():
        channel.send(READY)
        while (taken := jobs.get()) is not None:
            working.set()
            _work(taken, start.command, relay, channel)
            working.clear()


def _work(taken: Any, command: Command, relay: Any, channel: Channel) -> None:
    from actbench.command import batches

    number, job = taken
    relay.folder = job.folder
    held = batches.run(job, command, number)
    if held is not None:
        channel.send(HELD, held)
        return
    if command.disk_errors:
        channel.send(DISK, command.disk_errors.pop())
    channel.send(ENDED, command.exit_codes[-1])


def _listen(source: IO[bytes], jobs: queue.Queue[Any], working: threading.Event) -> None:
    from actbench.train import workers

    workers.use(1)
    while True:
        try:
            what, arguments = pickle.load(source)
        except (EOFError, OSError, pickle.UnpicklingError):
            break
        if what == JOB:
            jobs.put(arguments)
        elif what == CORES:
            workers.use(*arguments)
    jobs.put(None)
    if working.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
