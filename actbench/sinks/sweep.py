"""What a command that trains several runs says: a line for each that has ended, and below them what goes on.

On a terminal that is one live area: the run that trains, how much is done and how long the rest takes, and who is best
so far by validation accuracy (test results are for the end). Elsewhere only the lines are printed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from actbench.errors import UserError, printable
from actbench.measures.layers import LayerRecord
from actbench.records import Epoch, RunSummary
from actbench.settings import Settings
from actbench.sinks.lines import outcome, seed_range, validation, with_bars
from actbench.sinks.live import LiveArea
from actbench.sinks.ranking import Ranking
from actbench.sinks.remaining import Effort, Pace, in_words
from actbench.sinks.terminal import Clock, Headline

_WIDEST = 100  # columns of the live area


@dataclass(frozen=True)
class Round:
    """A round of a race: `left` of `configurations` still race, `trained` seeds of at most `most` are there already."""

    number: int
    left: int
    configurations: int
    trained: int
    most: int


class Area(Protocol):
    """Where lines are said, and below them some that change: `LiveArea`, or that of a notebook."""

    @property
    def shows_stderr(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def say(self, text: Text) -> None: ...


class Sweep:
    """Shows how the runs of a command go; a context, outside of which there is no live area.

    Args:
        console: where to.
        moving: whether there is a live area; without one there are lines alone.
        clock: seconds.
    """

    def __init__(self, console: Console, *, moving: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock, self.pace = console, clock, Pace()
        self.done, self.total = 0, 0  # runs; a total of 0 is not known
        self.current: SweepRun | None = None
        self._waiting: dict[str, Effort] = {}  # by the name of the folder
        self._times: list[float] = []  # of the runs that have been trained
        self._runs_of: Counter[str] = Counter()  # configuration -> how many, each with seeds of its own
        self.ranking = Ranking()
        self._round: Round | None = None
        self._trained = 0  # seeds, in this round
        self._said: set[str] = set()
        self.area: Area | None = LiveArea(console, self.lines) if moving else None

    def __enter__(self) -> Sweep:
        if self.area is not None:
            self.area.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.area is not None:
            self.area.stop()

    # ------------------------------------------------------------ what is going to be trained

    def expect(self, due: Sequence[Settings], complete: Sequence[RunSummary] = ()) -> None:
        """These runs are due, and those are complete."""
        self._waiting |= {settings.folder: Effort.of(settings) for settings in due}
        self._runs_of.update([*(settings.id for settings in due), *(summary.id for summary in complete)])
        self.total, self.done = self.total + len(due) + len(complete), self.done + len(complete)
        if complete:
            diverged = sum(summary.status == "diverged" for summary in complete)
            others = f", of which {diverged} diverged" if diverged else ""
            self.say(Text(f"{len(complete)} of {self.total} already complete{others}"))

    def expect_trials(self, number: int) -> None:
        """So many trials of a search are due, whose settings are not known yet."""
        self.total = number

    def begin_round(self, number: int, left: int, configurations: int, trained: int, most: int) -> None:
        """What is due from now on belongs to a round of a race, and is counted by itself; see `Round`."""
        self._round = Round(number, left, configurations, trained, most)
        self.total, self.done, self._trained = 0, 0, 0

    # ------------------------------------------------------------ what happens

    def run(self, settings: Settings, name: str) -> SweepRun:
        """The next run begins."""
        effort = self._waiting.pop(settings.folder, None) or Effort.of(settings)
        several = self._round is not None or self._runs_of[settings.id] > 1
        seeds = seed_range(tuple(settings.seeds)) if several else ""
        self.current = SweepRun(self, settings, printable(name), seeds, effort)
        return self.current

    def stored(self, settings: Settings, name: str, summary: RunSummary) -> None:
        """A run that is complete; it has been counted unless another process has trained it meanwhile."""
        if settings.folder in self._waiting:
            self.run(settings, name).end(summary, (), Path(), stored=True)
        else:
            self.ranking.add(settings, printable(name), summary)

    def ended(self, run: SweepRun, *, trained: bool) -> None:
        """A run has ended, however."""
        self.done, self.current = self.done + 1, None
        self._trained += run.effort.seeds
        if trained:
            self._times.append(self.clock() - run.began)

    @property
    def tells_failures(self) -> bool:
        """Whether stderr is the same terminal, so that what its lines say is said to everybody."""
        return self.area is not None and self.area.shows_stderr

    def fail(self, error: UserError, settings: Settings | None = None) -> bool:
        """The run that trains has failed, or one that could not even begin; returns `tells_failures`.

        Args:
            settings: of the run, as far as they are known.
        """
        run = self.current
        label = run.label if run is not None else self.label(settings.label if settings else "a run")
        self._waiting.pop(settings.folder if settings else "", None)
        first, *others = error.problems
        what, where = first.what.removeprefix("the run "), first.where
        if not what.startswith("failed"):
            what, where = f"failed: {where}: {what}" if where else f"failed: {what}", ""
        line = Text.assemble(label, "  ", (printable(what), "bold red"))
        if self.tells_failures:
            more = [where if where not in first.how else "", first.how, *map(str, others)]
            line.append("".join(f"\n    {printable(words)}" for words in more if words))
        if run is None:
            self.done += 1
        else:
            self.ended(run, trained=False)
        self.say(line)
        return self.tells_failures

    def say(self, line: Text, *, once: bool = False) -> None:
        """A line of its own; with `once`, unless it has been said."""
        if once and line.plain in self._said:
            return
        self._said.add(line.plain)
        if self.area is not None:
            self.area.say(line)
        else:
            self.console.print(line, soft_wrap=True, highlight=False)

    def label(self, name: str) -> Text:
        """`[3/22] gelu`, of the next run that ends."""
        return Text.assemble(f"[{self.done + 1}{f'/{self.total}' if self.total else ''}] ", (name, "bold"))

    def head(self, head: Headline) -> None:
        """What is the same for all runs, said with the first of them, and for others where it is not."""
        if head.note:
            self.say(Text(head.note, style="bold yellow"), once=True)
        if not self._said & {"head"}:
            self._said.add("head")
            number = "1 run" if self.total == 1 else f"{self.total or ''} runs".lstrip()
            self.say(Text(f"{number}, files in {head.folder.parent}"))
        train, val, test = head.samples
        samples = f"{head.dataset} ({train:,} / {val:,} / {test:,} samples)"
        self.say(Text(f"{samples}, {head.device}, {head.execution}", style="dim"), once=True)

    # ------------------------------------------------------------ the live area

    def lines(self) -> list[Text]:
        """The live area as it is now: no higher than half of the terminal."""
        width, height = min(self.console.width, _WIDEST), self.console.height
        run, bars, racing = self.current, [], []
        if run is not None:
            bars.append((run.line(), run.share))
        if self.total > 1:
            bars.append((Text(self._progress()), (self.done + (run.share if run else 0.0)) / self.total))
        if self._round is not None:
            of, trained = self._round, self._round.trained + self._trained
            left = f"round {of.number}: {of.left} of {of.configurations} left"
            racing.append(Text(f"{left}; {trained} of at most {of.most} trainings", style="dim"))
        lines = [*with_bars(bars, width), *([] if self.total else [Text(self._progress())]), *racing]
        ranked = self.ranking.lines(run.settings if run else None, width, height // 2 - len(lines))
        return [*lines, *ranked]

    def _progress(self) -> str:
        done = f"{self.done}/{self.total} done" if self.total else f"{self.done} done"
        left = self.left()
        return done if left is None else f"{done}, {in_words(left)} left{' in this round' if self._round else ''}"

    def left(self) -> float | None:
        """Seconds until all runs have ended, as far as it is known which these are; None where nothing is known yet."""
        run = self.current
        efforts = [self.pace.seconds(effort) for effort in [*self._waiting.values()]]
        if run is not None:
            efforts.append(self.pace.seconds(run.effort, (1 - run.share) * run.effort.epochs))
        unknown = self.total - self.done - len(efforts)
        if unknown > 0:  # trials, which take as long as those so far
            like = self.pace.seconds(run.effort) if run is not None else None
            mean = sum(self._times) / len(self._times) if self._times else like
            efforts.append(None if mean is None else unknown * mean)
        known = [seconds for seconds in efforts if seconds is not None]
        return sum(known) if known and len(known) == len(efforts) else None


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

    def executed(self, execution: str) -> None:
        """How the steps were executed in fact, which is said where it is not as it was begun."""
        if execution != self._execution:
            self.remark(f"in fact: {execution}")

    def remark(self, text: str, style: str = "dim") -> None:
        self.sweep.say(Text.assemble(self.label, f"  {text}", style=style))

    def describe(self, lines: Sequence[str]) -> None:
        """A heading, and what belongs to it: each line once in the whole command."""
        for line in lines:
            self.sweep.say(Text(line, style="dim"), once=True)

    def close(self) -> None:
        """There is nothing to close: the live area is that of the whole command."""

    def end(self, summary: RunSummary, layers: Iterable[LayerRecord], folder: Path, *, stored: bool = False) -> None:  # noqa: ARG002
        """The line of a finished run."""
        self.sweep.ranking.add(self.settings, self.name, summary)
        width = self.sweep.console.width if self.sweep.area is not None else None
        line = Text.assemble(self.label, "  already complete: " if stored else "  ", outcome(summary))
        if width is not None and line.cell_len > width:
            line = Text.assemble(self.label, "  ", outcome(summary, counted=True))
            line.truncate(width, overflow="ellipsis")
        if not stored:
            self.sweep.pace.learn_overhead(self.sweep.clock() - self.began - self._in_epochs)
        self.sweep.ended(self, trained=not stored)  # before the line, with which the live area is drawn again
        self.sweep.say(line)
