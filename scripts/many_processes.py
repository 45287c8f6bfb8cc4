"""One sweep typed in many processes that are stopped, killed and resumed at random: what it comes to, bit by bit.

    python scripts/many_processes.py --jobs 200 --processes 6

Each process is a fork of this one, which has imported everything, and runs the whole command. A killed one is typed
again. With `--hosts`, as root, each has namespaces of its own for its process ids and its host's name, as in a
container or on a host of its own: all of them are process 1. At the end it is checked that every epoch of every run was
trained once, that no two processes worked in one run at a time, that no run is missing, that all processes ended with
exit code 0 and the comparison of all runs, and that every file is equal to that of one process which nobody has
disturbed.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import os
import platform
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUN = ["dataset=digits", "dataset.train_size=200", "train.epochs=2", "num_seeds=1", "model.width=8", "train.threads=1",
       "tensorboard=false", "study=s"]  # fmt: skip
_TIMES = {"seconds", "waiting"}  # columns
_OF_A_PROCESS = {"environment.json"}
_NEW_NAMESPACES = 0x20000000 | 0x04000000 | 0x00020000  # CLONE_NEWPID, CLONE_NEWUTS, CLONE_NEWNS
_PRIVATE = 0x4000 | 0x40000  # MS_REC | MS_PRIVATE


def main() -> int:
    """Says what has happened, and returns whether something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--disturbances", type=int, help="default: a third of the jobs")
    parser.add_argument("--draw", type=int, default=0, help="the seed of random moments")
    parser.add_argument("--workers", type=int, default=1, help="of each of them, itself included")
    parser.add_argument("--hosts", action="store_true", help="each process as if on a host of its own")
    asked = parser.parse_args()
    _import_all()
    rates = ",".join(f"{1e-3 * (1 + number / asked.jobs):.6f}" for number in range(asked.jobs))
    words = ["-m", *RUN, f"optimizer.lr={rates}", f"workers={asked.workers}"]
    with tempfile.TemporaryDirectory() as place:
        alone, together = (Path(place, name) for name in ("alone", "together"))
        began = time.monotonic()
        print(f"{asked.jobs} jobs, one process alone: ", end="", flush=True)
        wrong = [] if _Process(words, alone, host=asked.hosts).wait() == 0 else [f"it failed: {_said(alone)[-1]}"]
        print(f"{time.monotonic() - began:.0f} s")
        number = asked.jobs // 3 if asked.disturbances is None else asked.disturbances
        rng = random.Random(asked.draw)
        disturbed = _Disturbed(words, together, asked.hosts, asked.processes, asked.jobs, number, rng)
        began = time.monotonic()
        disturbed.run()
        told = ", ".join(f"{how} {times} times" for how, times in disturbed.done.items())
        print(f"{asked.processes} processes, {told}: {time.monotonic() - began:.0f} s")
        wrong += _check(alone, together, asked.jobs, disturbed)
    print("\n".join(["WRONG:", *wrong]) if wrong else "no job twice, none lost, every result bit-equal")
    return bool(wrong)


def _import_all() -> None:
    """What every process needs, once."""
    import importlib
    import pkgutil

    import actbench
    from actbench.train.machine import prepare

    for module in pkgutil.walk_packages(actbench.__path__, "actbench."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ImportError:  # of something optional
                continue
    prepare(1)


# ---------------------------------------------------------------- processes


class _Process:
    """The command in a fork of this process. What it prints, and what it does, is in files beside its outputs.

    Args:
        host: whether it is in namespaces of its own.
    """

    _begun = 0

    def __init__(self, words: list[str], home: Path, *, host: bool) -> None:
        home.mkdir(parents=True, exist_ok=True)
        _Process._begun += 1
        self.number, self.stopped = _Process._begun, False
        told, telling = os.pipe()
        self.pid = self._child = os.fork()
        if self.pid == 0:
            try:
                if host:
                    _go_on_as_a_host(f"host{self.number}", telling)
                self._be(words, home)
            finally:
                os._exit(99)
        os.close(telling)
        if host and not (pid := os.read(told, 20)):
            raise SystemExit("--hosts: namespaces are refused here")
        self.pid = int(pid) if host else self.pid
        os.close(told)

    def _be(self, words: list[str], home: Path) -> None:
        os.chdir(home)
        for number in (1, 2):
            os.dup2(os.open(home / f"said-{self.number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.argv = ["actbench", *words]
        _write_down_what_is_done(home / "log", self.number)
        sys.path[:0] = [_for_workers(home / "log", self.number), str(Path(__file__).parent.resolve())]
        from actbench.cli import main as command

        try:
            command()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])

    def ended(self) -> int | None:
        """The exit code; None while it works."""
        pid, status = os.waitpid(self._child, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def send(self, which: signal.Signals) -> None:
        os.kill(self.pid, which)
        self.stopped = which == signal.SIGSTOP


def _go_on_as_a_host(name: str, telling: int) -> None:
    """Returns in a fork that is process 1 of a host of this name; this process tells its id, and ends as it does."""
    from actbench.files import atomic

    libc = ctypes.CDLL(None)
    if libc.unshare(_NEW_NAMESPACES) != 0:
        os._exit(99)
    if pid := os.fork():
        os.write(telling, str(pid).encode())
        os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    libc.mount(None, b"/", None, _PRIVATE, None)
    libc.mount(b"proc", b"/proc", b"proc", 0, None)
    socket.sethostname(name)
    platform._uname_cache = None  # type: ignore[attr-defined]
    atomic._HOST = name
    atomic.machine.cache_clear()
    assert (os.getpid(), platform.node()) == (1, name)


def _write_down_what_is_done(log: Path, number: int) -> None:
    """A line for each run that begins or ends in this process, and for each epoch once it is on disk."""
    from actbench.job.job import Sinks
    from actbench.store.lock import Hold

    def noted(cls: Any, name: str, words: Any) -> None:
        plain = getattr(cls, name)

        def noting(self: Any, *arguments: Any, **options: Any) -> Any:
            result = plain(self, *arguments, **options)
            line = f"{time.monotonic_ns()} {number} {words(self, *arguments)}\n"
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(file, line.encode())
            os.close(file)
            return result

        setattr(cls, name, noting)

    noted(Hold, "begin", lambda self: f"begin {self.folder.name}")
    noted(Sinks, "epoch", lambda self, _, progress: f"epoch-{progress.done} {self.folder.path.name}")


def _for_workers(log: Path, number: int) -> str:
    """A folder from which Python, where it is on its path, takes a module that has workers write down the same."""
    folder = log.with_name(f"site-{number}")
    folder.mkdir()
    code = f"import pathlib, many_processes as m; m._write_down_what_is_done(pathlib.Path({str(log)!r}), {number})\n"
    (folder / "sitecustomize.py").write_text(code)
    return str(folder)


@dataclass
class _Disturbed:
    """Processes that run the same command, until all have ended; `number` times one of them is stopped or killed."""

    words: list[str]
    home: Path
    hosts: bool
    processes: int
    jobs: int
    number: int
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    codes: dict[int, int] = field(default_factory=dict)  # of those that were not killed
    killed: set[int] = field(default_factory=set)

    def run(self) -> None:
        alive = [self._another() for _ in range(self.processes)]
        while alive:
            time.sleep(self.rng.uniform(0.01, 0.2))
            for process in [*alive]:
                if (code := process.ended()) is not None:
                    alive.remove(process)
                    self.codes[process.number] = code
            self._disturb(alive)

    def _another(self) -> _Process:
        return _Process(self.words, self.home, host=self.hosts)

    def _disturb(self, alive: list[_Process]) -> None:
        """Lets a stopped process go on, or stops or kills one that trains; spread over all of the work."""
        stopped = [process for process in alive if process.stopped]
        if stopped and (len(stopped) > len(alive) // 2 or self.rng.random() < 0.2):
            self.rng.choice(stopped).send(signal.SIGCONT)
        lines = [line.split() for line in _read(self.home / "log").splitlines()]
        training = {int(line[1]) for line in lines if len(line) == 4}
        able = [process for process in alive if process.number in training and not process.stopped]
        if not able or self.done.total() >= self.number * len(lines) / (3 * self.jobs):  # a job has three lines
            return
        one = self.rng.choice(able)
        if self.rng.random() < 0.5:
            one.send(signal.SIGSTOP)
            self.done["stopped"] += 1
        else:
            one.send(signal.SIGKILL)
            one.wait()
            self.killed.add(one.number)
            alive[alive.index(one)] = self._another()
            self.done["killed"] += 1


# ---------------------------------------------------------------- what it came to


def _check(alone: Path, together: Path, jobs: int, disturbed: _Disturbed) -> list[str]:
    """Everything that is not as it should be, in words."""
    wrong = [f"process {number} ended with {code}" for number, code in disturbed.codes.items() if code]
    lines = [line.split() for line in (together / "log").read_text().splitlines()]
    # epoch 0 only looks at the untrained network, and is repeated where a process dies before it has trained an epoch
    epochs = Counter((run, what) for _, _, what, run in lines if what not in ("begin", "epoch-0"))
    twice = [what for what, n in epochs.items() if n > 1]
    wrong += [f"{what} of {run} was trained twice" for run, what in twice]
    began: dict[str, list[str]] = {}
    for _, by, what, run in sorted(lines, key=lambda line: int(line[0])):
        if what == "begin":
            began.setdefault(run, []).append(by)
        elif by != began[run][-1]:
            wrong.append(f"process {by} worked in {run}, which process {began[run][-1]} had")
    again = [run for run, by in began.items() if any(int(one) not in disturbed.killed for one in by[:-1])]
    wrong += [f"{run} was begun again though nobody had been killed" for run in again]
    shares = Counter(by[-1] for by in began.values())
    print(f"runs by process: {', '.join(map(str, sorted(shares.values(), reverse=True)))}; taken over:", end=" ")
    print(sum(len(by) - 1 for by in began.values()))
    ours, theirs = (_outcome(home / "outputs" / "s") for home in (together, alone))
    wrong += [f"{name} is there {n} times" for name, n in (("a run", len(began)), ("alone", len(theirs))) if n < jobs]
    wrong += [f"{name} differs" for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)]
    verdict = json.loads((together / "outputs" / "s" / "report" / "verdict.json").read_text())
    if (shown := len(verdict["blocks"][0]["configurations"])) != jobs:
        wrong.append(f"the comparison has {shown} configurations")
    strays = [path for path in together.rglob(".*") if path.name != ".runs.sqlite"]
    if disturbed.hosts:  # nobody knows of another host's process that it is dead, unless it was alone in the folder
        strays = [path for path in strays if path.suffix != ".part" or path.parent.name not in ("s", "report")]
    wrong += [f"{path} was left behind" for path in strays]
    said = {path.name: path.read_text() for path in together.glob("said-*")}
    wrong += [f"{name}: Traceback" for name, text in said.items() if "Traceback" in text]
    print(next((line for text in said.values() for line in text.splitlines() if "elsewhere" in line), "nothing said"))
    print(next((line for text in said.values() for line in text.splitlines() if "waiting" in line), "nobody waited"))
    return wrong


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _said(home: Path) -> list[str]:
    return [line for path in home.glob("said-*") for line in path.read_text().splitlines()] or [""]


def _outcome(study: Path) -> dict[str, dict[str, Any]]:
    """Run -> what is in its files, without times."""
    return {path.parent.name: _of_run(path.parent) for path in sorted(study.glob("*/settings.yaml"))}


def _of_run(folder: Path) -> dict[str, Any]:
    import torch

    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if name in _OF_A_PROCESS:
            continue
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                found[name] = [{k: v for k, v in row.items() if k not in _TIMES} for row in csv.DictReader(file)]
        elif path.suffix == ".pt":
            state = torch.load(path, weights_only=True)
            found[name] = {key: tensor.numpy().tobytes() for key, tensor in state.items()}
        elif path.suffix == ".json":
            content = json.loads(path.read_text())
            found[name] = {k: v for k, v in content.items() if k not in ("seconds", "samples_per_second")}
        else:
            found[name] = path.read_bytes()
    return found


if __name__ == "__main__":
    raise SystemExit(main())
