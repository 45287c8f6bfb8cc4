"""The command in processes of its own, without paying for its imports each time.

A server process imports everything once and runs nothing; each command is a fork of it, with arguments, folder, environment,
output files, signals and an exit code of its own, as if it had been typed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "actbench.command.composing",
        "actbench.run",
        "actbench.store.reader",
        "actbench.sinks.pictures",
        "actbench.sinks.tensorboard",
        "matplotlib.backends.backend_agg",
        "sklearn.datasets",
        "tensorboard.plugins.hparams.plugin_data_pb2",
    ]
)

OFFLINE = {"ACTBENCH_MIRROR": "http://127.0.0.1:9", "COLUMNS": "120"}


def _command(arguments, cwd, environment, out, err, before):
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=True)
    os.chdir(cwd)
    os.environ.update(environment)
    sys.argv = ["actbench", *arguments]
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
    """A command that is running. `before` is called in its process first: a function of a module, or a partial of one."""

    def __init__(self, *arguments, cwd, env=None, before=None):
        self._folder = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        environment = {**OFFLINE, **{k: v for k, v in os.environ.items() if k.startswith("ACTBENCH")}, **(env or {})}
        self._process = _CONTEXT.Process(
            target=_command, args=(arguments, str(cwd), environment, str(self._out), str(self._err), before)
        )
        self._process.start()

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

    def wait_for(self, words, timeout=100):
        """Until `words` are in what it prints."""
        ends = time.monotonic() + timeout
        while words not in self.stdout:
            assert self._process.is_alive(), self.stdout + self.stderr
            assert time.monotonic() < ends, self.stdout + self.stderr
            time.sleep(0.005)
