"""The command in processes of its own, without paying for its imports each time.

A server process imports everything once (`warm`) and runs nothing; each command is a fork of it, with arguments, folder,
environment, output files, signals and an exit code of its own, as if it had been typed.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

from sketches import sketch

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["warm"])

OFFLINE = {"ACTBENCH_MIRROR": "http://127.0.0.1:9", "COLUMNS": "120"}


rendered = False  # whether the reports of commands have pictures that can be looked at; conftest sets it


@functools.cache
def _start_the_server() -> None:
    """With a path on which it finds `warm`: of a module that it does not find it says nothing."""
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *([path] if path else [])])
    try:
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path


def process(target, *arguments):
    """`target(*arguments)` in a fork of the server, started."""
    _start_the_server()
    started = _CONTEXT.Process(target=target, args=arguments)
    started.start()
    return started


def pipe():
    """Receiver and sender, one of which may be given to a process."""
    return _CONTEXT.Pipe(duplex=False)


def _command(arguments, cwd, environment, out, err, before, rendered):
    assert "warm" in sys.modules, "the server could not import what makes it fast"
    if not rendered:
        sketch()
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = ["actbench", *arguments]
    if os.path.lexists("conf"):
        from actbench.command import hydra_settings

        hydra_settings._baseline.cache_clear()
    if before is not None:
        before()
    from actbench.cli import main

    main()


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """A command that is running. `before` is called in its process first: a function of a module, or a partial of one.

    Its `pictures` are rendered where that is asked for, or where the test is marked so.
    """

    def __init__(self, *arguments, cwd, env=None, before=None, pictures=None):
        pictures = rendered if pictures is None else pictures
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        environment = {**OFFLINE, **{k: v for k, v in os.environ.items() if k.startswith("ACTBENCH")}, **(env or {})}
        out, err = str(self._out), str(self._err)
        self._process = process(_command, arguments, str(cwd), environment, out, err, before, pictures)

    def wait(self, timeout=100):
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.send(signal.SIGKILL)
            raise AssertionError(f"still running after {timeout} s: {self.stdout} {self.stderr}")
        done = Done(self._process.exitcode, self.stdout, self.stderr)
        self._process.close()
        self._folder.cleanup()
        return done

    @property
    def stdout(self):
        return self._out.read_text() if self._out.exists() else ""

    @property
    def stderr(self):
        return self._err.read_text() if self._err.exists() else ""

    def send(self, which):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, which)

    def is_alive(self):
        return self._process.is_alive()

    @property
    def pid(self):
        return self._process.pid

    def wait_for(self, words, timeout=100):
        """Until `words` are in what it prints."""
        self._wait_for(words, lambda: self.stdout, timeout)

    def wait_for_error(self, words, timeout=100):
        """Until `words` are in what it prints on stderr."""
        self._wait_for(words, lambda: self.stderr, timeout)

    def _wait_for(self, words, printed, timeout):
        ends = time.monotonic() + timeout
        while words not in printed():
            assert self._process.is_alive(), self.stdout + self.stderr
            assert time.monotonic() < ends, self.stdout + self.stderr
            time.sleep(0.005)
