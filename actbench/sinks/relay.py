"""In a worker process of a sweep: what its runs say goes to the process of the command, whose `Sweep` shows it.

`Relay` stands in a worker for `Sweep`, and `RelayedRun` for `SweepRun`; `shown` does in the command's process what they
ask for. Each message is the name of a method and its arguments, as plain picklable values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from actbench.errors import UserError
from actbench.measures.layers import LayerRecord
from actbench.records import Epoch, RunSummary
from actbench.settings import Settings
from actbench.sinks.sweep import Sweep
from actbench.sinks.terminal import Clock, Headline

_EVERY = 0.5  # seconds between two messages about the steps that are done

Send = Callable[..., None]


@dataclass
class Steps:
    """A clock that is set from afar."""

    steps: int = 0


class Relay:
    """What a worker takes for a `Sweep`."""

    tells_failures = True  # whoever shows them says so

    def __init__(self, send: Send) -> None:
        self._send, self.folder = send, Path()  # `folder`: of the job that is worked on

    def run(self, settings: Settings, name: str) -> RelayedRun:
        self._send("run", settings, name, self.folder)
        return RelayedRun(partial_of(self._send, self.folder), name)

    def stored(self, settings: Settings, name: str, summary: RunSummary) -> None:
        """Another command has trained it meanwhile."""
        self._send("stored", settings, name, summary)

    def leave(self) -> None:
        self._send("leave", self.folder)

    def fail(self, error: UserError, settings: Settings | None = None) -> bool:
        self._send("fail", error, settings, self.folder)
        return True

    def say(self, line: Text, *, once: bool = False) -> None:
        self._send("say", line, once)


def partial_of(send: Send, folder: Path) -> Send:
    """`send` for one of the runs."""

    def of_run(what: str, *arguments: Any) -> None:
        send(f"run.{what}", folder, *arguments)

    return of_run


class RelayedRun:
    """What a run in a worker takes for its terminal."""

    def __init__(self, send: Send, name: str) -> None:
        self._send, self.name = send, name
        self._over = threading.Event()

    def begin(self, head: Headline, clock: Clock, total_steps: int) -> None:
        self._send("begin", head, clock.steps, total_steps)
        threading.Thread(target=self._count, args=(clock,), name="actbench-steps", daemon=True).start()

    def _count(self, clock: Clock) -> None:
        while not self._over.wait(_EVERY):
            self._send("steps", clock.steps)

    def epoch(self, epoch: Epoch) -> None:
        self._send("epoch", replace(epoch, rows=epoch.records))  # the others may be large, and nobody shows them

    def executed(self, execution: str) -> None:
        self._send("executed", execution)

    def remark(self, text: str, style: str = "dim") -> None:
        self._send("remark", text, style)

    def describe(self, lines: Sequence[str]) -> None:
        self._send("describe", [*lines])

    def close(self) -> None:
        self._over.set()

    def end(self, summary: RunSummary, layers: Iterable[LayerRecord], folder: Path, *, stored: bool = False) -> None:  # noqa: ARG002
        self.close()
        self._send("end", summary, folder, stored)


def show(sweep: Sweep, what: str, arguments: Sequence[Any]) -> None:
    """Does in the command's process what a `Relay` or one of its runs has asked for."""
    with sweep.lock:
        if what == "run":
            sweep.run_beside(*arguments)
        elif what == "stored":
            sweep.stored(*arguments)
        elif what == "leave":
            sweep.leave(*arguments)
        elif what == "say":
            sweep.say(arguments[0], once=arguments[1])
        elif (run := sweep.beside.get(arguments[0])) is not None:
            _show_run(run, what.removeprefix("run."), arguments[1:])


def _show_run(run: Any, what: str, arguments: Sequence[Any]) -> None:
    if what == "begin":
        head, steps, total = arguments
        run.clock = Steps(steps)
        run.begin(head, run.clock, total)
    elif what == "steps":
        run.clock.steps = arguments[0]
    elif what == "end":
        summary, folder, stored = arguments
        run.end(summary, (), folder, stored=stored)
    else:
        getattr(run, what)(*arguments)
