"""A disk that fills up, or a process that is killed, at a chosen one of all the steps in which a command writes.

A step is whatever a full disk can refuse: a file that is opened for writing, a write (also one that is flushed by
Python), a folder that is made, a rename. `install` counts those below a folder in the process that calls it.
"""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import resource
import signal
import sys
import threading
import time

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Steps:
    """Counts, and strikes at number `at` (and at all later ones, where the disk stays full)."""

    def __init__(self, root, at, fault, log):
        self.root, self.at, self.fault, self.log = os.path.realpath(root), at, fault, log
        self.count, self.lock = 0, threading.RLock()

    def concerns(self, path):
        if isinstance(path, int) or path is None:
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self.root + os.sep)

    def step(self, what, path, half=None):
        """One more; `half` does half of it."""
        with self.lock:
            self.count += 1
            number = self.count
        if self.log:
            line = f"{what} {os.path.relpath(os.fsdecode(path), self.root)}\n"
            file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(file, line.encode())
            os.close(file)
        if self.at is None or number < self.at or (number > self.at and self.fault != "full"):
            return
        if half:
            half()
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *(() if half else (os.fsdecode(path),)))


def install(root, at=None, fault="count", log=None):
    """From now on writing below `root` is counted.

    Args:
        root: a folder.
        at: the step (from 1) that fails; None: none does.
        fault: "full": it and all later ones find the disk full; "once": it alone does; "kill": the process is killed,
            in a write after half of it.
        log: where to note the steps; outside of `root`.
    """
    steps = _Steps(root, at, fault, log)
    busy = threading.local()

    def audit(event, arguments):
        if getattr(busy, "now", False):
            return
        if event == "open":
            path, _, flags = arguments
            what, concerned = "open", flags & _WRITING and steps.concerns(path)
        elif event == "os.mkdir":
            path, what = arguments[0], "mkdir"
            concerned = steps.concerns(path) and not os.path.isdir(path)
        elif event == "os.rename":
            path, what = arguments[1], "rename"
            concerned = steps.concerns(path)
        else:
            return
        if concerned:
            busy.now = True
            try:
                steps.step(what, path)
            finally:
                busy.now = False

    sys.addaudithook(audit)
    real = io.open

    class Raw(io.FileIO):
        def write(self, content):
            path = self.name
            steps.step("write", path, half=lambda: super(Raw, self).write(bytes(content)[: len(content) // 2]))
            return super().write(content)

    def counted(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if not set(mode) & set("wax+") or not steps.concerns(file):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    io.open = builtins.open = counted


# ---------------------------------------------------------------- what happens around a run


def after_epoch(number, action, *arguments, job=1):
    """Once epoch `number` of a run is written, `action` happens; of a sweep, in its first job or another."""
    from actbench.job.job import Sinks

    epoch, seen = Sinks.epoch, []

    def then(self, parts, progress):
        epoch(self, parts, progress)
        if progress.done == number:
            seen.append(number)
            if len(seen) == job:
                action(*arguments)

    Sinks.epoch = then


def send_soon(which, seconds=0.005):
    """A signal to this process, while it does whatever comes next."""

    def send():
        time.sleep(seconds)
        os.kill(os.getpid(), which)

    threading.Thread(target=send, daemon=True).start()


def nobody_reads():
    """What is printed goes into a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, sys.stdout.fileno())
    os.close(writing)


def is_read_once(pipe, closed):
    """What is printed goes into a named pipe; after the first epoch whoever reads it has closed it, and made a file."""
    writing = os.open(pipe, os.O_WRONLY)
    os.dup2(writing, sys.stdout.fileno())
    os.close(writing)
    after_epoch(1, wait_for_file, closed)


def small_files(size):
    """No file of this process may be larger than so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def wait_for_file(path, seconds=100):
    """Until somebody makes the file."""
    ends = time.monotonic() + seconds
    while not os.path.exists(path):
        assert time.monotonic() < ends
        time.sleep(0.01)


def jumping_clock():
    """Wall time goes back by a year, on by two, back ..., at every other look at it; the monotonic clock does not."""
    import datetime as module

    import actbench.report.page
    import actbench.train.machine

    looks, real = itertools.count(), time.time
    jumps = (0.0, -365 * 86400.0, 365 * 86400.0, -1.0)

    def jumped():
        return real() + jumps[next(looks) % len(jumps)]

    class Jumping(module.datetime):
        @classmethod
        def now(cls, tz=None):
            return module.datetime.fromtimestamp(jumped(), tz)

    time.time = jumped
    module.datetime = actbench.train.machine.datetime = actbench.report.page.datetime = Jumping
