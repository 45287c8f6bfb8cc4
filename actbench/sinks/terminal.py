"""The terminal, for a single run: live progress for a person, one plain line per epoch for a file; a table at the end.

The runs of a sweep are shown by `sinks.sweep`, but for those in the workers of a launcher: here, with `brief`.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from actbench.errors import UserError
from actbench.measures.layers import LayerRecord
from actbench.measures.scores import EpochRecord
from actbench.records import Epoch, Finding, RunSummary
from actbench.sinks.classes import class_table
from actbench.sinks.lines import epoch_line, outcome, seed_range, with_bars
from actbench.sinks.live import LiveArea
from actbench.sinks.logdir import logdir
from actbench.sinks.remaining import in_words
from actbench.sinks.run_tables import layer_table, left_out, summary_table, undefined
from actbench.store import own_tables, reader

_REMEDIES = 4  # of all findings; `actbench try` knows the others
_IN_FULL = 3  # findings with their cause


class Clock(Protocol):
    """Something that counts the steps done."""

    steps: int


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What is said before the first step."""

    label: str
    seeds: tuple[int, ...]
    epochs: int
    dataset: str
    note: str
    samples: tuple[int, int, int]
    device: str
    execution: str
    parameters: int
    folder: Path
    resumed_from: int = 0


class Terminal(Protocol):
    """What a run tells to whoever watches it: `TerminalSink`, or one of several runs (`sinks.sweep.SweepRun`)."""

    @property
    def name(self) -> str: ...

    def begin(self, head: Headline, clock: Clock, total_steps: int) -> None: ...

    def epoch(self, epoch: Epoch) -> None: ...

    def executed(self, execution: str) -> None: ...

    def remark(self, text: str, style: str = "dim") -> None: ...

    def describe(self, lines: Sequence[str]) -> None: ...

    def close(self) -> None: ...

    def end(
        self, summary: RunSummary, layers: Iterable[LayerRecord], folder: Path, *, stored: bool = False
    ) -> None: ...


class TerminalSink:
    """Says how a run goes.

    Args:
        console: where to.
        live: a progress bar that moves; otherwise one plain line per epoch.
        name: what people call the run.
        brief: one of many runs, perhaps beside others: every line names it, and it ends with a line, not with tables.
        whole: the command that tries some overrides.
    """

    def __init__(
        self, console: Console, *, live: bool, name: str = "", brief: bool = False, whole: Callable[[str], str] = str
    ) -> None:
        self.console, self.live, self.name, self.brief, self.whole = console, live, name, brief, whole
        self._bar: _Bar | None = None
        self._epochs, self._execution = 0, ""

    def begin(self, head: Headline, clock: Clock, total_steps: int) -> None:
        self._epochs, self._execution = head.epochs, head.execution
        if head.note:
            self.console.print(Text(head.note, style="bold yellow"))
        train, val, test = head.samples
        label = self.name if self.brief else head.label
        self._say(
            f"[bold]{escape(label)}[/] on {escape(head.dataset)} ({train:,} / {val:,} / {test:,} samples), "
            f"{seed_range(head.seeds)}, {head.parameters:,} parameters"
        )
        how, where = f"{head.device}, {head.execution}", f"files in {head.folder}"
        fits = len(f"{how}; {where}") <= self.console.width
        for line in [f"{how}; {where}"] if fits else [how, where]:
            self._say(escape(line), style="dim")
        if head.resumed_from:
            self.remark(f"going on after epoch {head.resumed_from} of {head.epochs}", style="")
        if self.live:
            self._bar = _Bar(self.console, clock, total_steps)
            self._bar.area.start()

    def epoch(self, epoch: Epoch) -> None:
        for seed in epoch.diverged:
            words = f"seed {seed} diverged in epoch {epoch.number}: its loss is no longer finite"
            self.remark(words, style="bold red")
        line = epoch_line(epoch, self._epochs)
        if not line:
            return
        if self._bar is not None:
            self._bar.line = line
        else:
            named = f"{self.name}  " if self.brief else ""
            took = f"  {epoch.records[0].seconds:.1f} s" if epoch.number > 0 else ""
            self._say(escape(f"{named}{line}{took}"))

    def executed(self, execution: str) -> None:
        """How the steps were executed in fact, which is said where it is not as it was begun."""
        if execution != self._execution:
            self.remark(f"in fact: {execution}")

    def remark(self, text: str, style: str = "dim") -> None:
        """A line of its own, with the run's name where others speak too."""
        self._say(escape(f"{self.name}: {text}" if self.brief else text), style=style)

    def describe(self, lines: Sequence[str]) -> None:
        """A heading, and what belongs to it: of one of many runs the heading alone."""
        for line in [lines[0].rstrip(":")] if self.brief else lines:
            self.remark(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.area.stop()
            self._bar = None

    def end(self, summary: RunSummary, layers: Iterable[LayerRecord], folder: Path, *, stored: bool = False) -> None:
        """The table of a finished run."""
        self.close()
        if self.brief:
            line = Text.assemble(self.name, "  already complete: " if stored else "  ", outcome(summary))
            self.console.print(line, soft_wrap=True, highlight=False)
            return
        if stored:
            self._say("already complete: this is the stored result", style="bold")
        if summary.dataset_note:
            self.console.print(Text(summary.dataset_note, style="bold yellow"))
        self.console.print(summary_table(summary, own_tables.metrics(folder), _history(folder)))
        of_classes = class_table(folder, tuple(summary.diverged))
        if of_classes is not None:
            self.console.print(of_classes)
        rows = [layer for layer in layers if layer.seed not in summary.diverged]
        if rows:
            self._say("")
            self.console.print(layer_table(rows))
            for remark in [*left_out(rows), *undefined(rows)]:
                self._say(escape(remark), style="dim")
        if summary.findings is not None:
            probed = "dead_ratio" in summary.metrics
            self._diagnosis(summary.findings, folder, probed=probed)
        self._say(escape(f"files        {folder}"))
        if events := logdir(folder):
            self._say(escape(f"look inside  tensorboard --logdir {_quoted(events)}"))

    def _diagnosis(self, findings: Sequence[Finding], folder: Path, *, probed: bool) -> None:
        """What went wrong inside, why, and the commands that try something else; or that nothing did."""
        if not findings:
            where = "" if probed else " in loss and accuracy; units were not measured (probe=false)"
            self._say(f"\ndiagnosis    nothing alarming{where}", style="dim")
            return
        self._say("\ndiagnosis", style="bold")
        each = max(_REMEDIES // len(findings), 1)
        tried: set[str] = set()
        for number, finding in enumerate(findings):
            what = Text.assemble((finding.title, "bold yellow"), f": {finding.evidence.rstrip('.')}.")
            if number < _IN_FULL:
                what.append(f" {finding.cause}" if finding.cause else "", style="dim")
            self.console.print(Padding(what, (0, 0, 0, 2), expand=False))
            remedies = [remedy for remedy in finding.remedies if remedy not in tried] if number < _IN_FULL else []
            for remedy in remedies[:each]:  # on one line each, however long: they are pasted
                self._say(escape(f"  try  {self.whole(remedy)}"), style="green")
            tried |= {*remedies[:each]}
        if any(finding.remedies for finding in findings):
            self._say(escape(f"try them all  actbench try {_quoted(folder)}"))

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style or None, highlight=False, emoji=False, soft_wrap=True)


class _Bar:
    """The last epoch, and below it how much is done: it reads the steps of the loop, which knows nothing of it."""

    def __init__(self, console: Console, clock: Clock, total: int) -> None:
        self.clock, self.total, self.first, self.began = clock, total, clock.steps, time.monotonic()
        self.line = ""
        self.area = LiveArea(console, self.lines)

    def lines(self) -> list[Text]:
        share = self.clock.steps / self.total if self.total else 0.0
        done = self.clock.steps - self.first
        words = "training"
        if self.line and done:  # an epoch at least, from which can be told how long the others take
            seconds = (time.monotonic() - self.began) * (self.total - self.clock.steps) / done
            words = f"training, {in_words(seconds)} left"
        bars = with_bars([(Text(words), share)], self.area.console.width)
        return [Text(self.line), *bars] if self.line else bars


def _history(folder: Path) -> Sequence[EpochRecord]:
    """The epochs of a run; none where the file cannot be read, which a report tells."""
    try:
        return reader.table(folder, EpochRecord)
    except UserError:
        return []


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
