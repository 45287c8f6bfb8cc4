"""One of the runs that `sinks.sweep` shows, from its first epoch to its line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from actbench.measures.layers import LayerRecord
from actbench.records import Epoch, RunSummary
from actbench.settings import Settings
from actbench.sinks.lines import outcome, validation
from actbench.sinks.remaining import Effort
from actbench.sinks.terminal import Clock, Headline

if TYPE_CHECKING:
    from actbench.sinks.sweep import Sweep


class SweepRun:
    """One of the runs, as `TerminalSink` is for a run by itself."""

    def __init__(self, sweep: Sweep, settings: Settings, name: str, seeds: str, effort: Effort) -> None:
        self.sweep, self.settings, self.name, self.effort = sweep, settings, name, effort
        self.label = sweep.label(f"{name} {seeds}".strip())
        self.began = self._since = sweep.clock()
        self._in_epochs = 0.0  # seconds
        self._steps: Clock | None = None
        self._total_steps, self._said, self._execution = 0, "starting", ""

    @property
    def share(self) -> float:
        """How much of the run is done; the loop, whose steps are read here, knows nothing of it."""
        return self._steps.steps / self._total_steps if self._steps is not None and self._total_steps else 0.0

    def line(self) -> Text:
        return Text.assemble(self.label, f"  {self._said}")

    def begin(self, head: Headline, clock: Clock, total_steps: int) -> None:
        self.sweep.head(head)
        if head.resumed_from:
            self.remark(f"going on after epoch {head.resumed_from} of {head.epochs}", style="")
        self._steps, self._total_steps, self._since = clock, total_steps, self.sweep.clock()
        self._said, self._execution = f"epoch {head.resumed_from + 1}/{head.epochs}", head.execution

    def epoch(self, epoch: Epoch) -> None:
        now = self.sweep.clock()
        if epoch.number > 0:
            self._in_epochs += now - self._since
            self.sweep.pace.learn(self.effort, now - self._since)
            trains = min(epoch.number + 1, self.effort.epochs)
            self._said = f"epoch {trains}/{self.effort.epochs}  {validation(epoch)}".rstrip()
        self._since = now
        if self is self.sweep.current:
            self.sweep.learnt()

    def executed(self, execution: str) -> None:
        """How the steps were executed in fact, which is said where it is not as it was begun."""
        if execution != self._execution:
            self.remark(f"in fact: {execution}")

    def remark(self, text: str, style: str = "dim") -> None:
        self.sweep.say(Text.assemble(self.label, f"  {text}", style=style))

    def describe(self, lines: Sequence[str]) -> None:
        """A heading, and what belongs to it: said again only where some of it is different."""
        self.sweep.say(Text("\n".join(lines), style="dim"), once=True)

    def close(self) -> None:
        """There is nothing to close: the live area is that of the whole command."""

    def end(self, summary: RunSummary, layers: Iterable[LayerRecord], folder: Path, *, stored: bool = False) -> None:  # noqa: ARG002
        """The line of a finished run."""
        with self.sweep.lock:
            self._end(summary, stored=stored)

    def _end(self, summary: RunSummary, *, stored: bool) -> None:
        self.sweep.ranking.add(self.settings, self.name, summary)
        width = self.sweep.console.width if self.sweep.area is not None else None
        line = Text.assemble(self.label, "  already complete: " if stored else "  ", outcome(summary))
        for timed in (True, False):
            if width is not None and line.cell_len > width:
                line = Text.assemble(self.label, "  ", outcome(summary, counted=True, timed=timed))
        if width is not None:
            line.truncate(width, overflow="ellipsis")
        if not stored:
            self.sweep.pace.learn_overhead(self.sweep.clock() - self.began - self._in_epochs)
        self.sweep.ended(self, trained=not stored)  # before the line, with which the live area is drawn again
        self.sweep.say(line)
        self.sweep.count()
