"""What a command that trains several runs says: a line for each that has ended, and below them what goes on.

On a terminal that is one live area: the run that trains, how much is done and how long the rest takes, and who is best
so far by validation accuracy (test results are for the end). Elsewhere only the lines are printed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.text import Text

from actbench.errors import UserError, printable
from actbench.records import RunSummary
from actbench.settings import Settings
from actbench.sinks.elsewhere import Elsewhere
from actbench.sinks.lines import seed_range, with_bars
from actbench.sinks.live import LiveArea
from actbench.sinks.ranking import Ranking
from actbench.sinks.remaining import Effort, Pace, in_words
from actbench.sinks.sweep_run import SweepRun
from actbench.sinks.terminal import Headline

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


def _nothing() -> None:
    pass


class Sweep:
    """Shows how the runs of a command go; a context, outside of which there is no live area.

    Args:
        console: where to.
        moving: whether there is a live area; without one there are lines alone.
        clock: seconds.
    """

    def __init__(self, console: Console, *, moving: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.console, self.clock, self.pace = console, clock, Pace()
        self.done, self.failed, self.total = 0, 0, 0  # runs; a total of 0 is not known
        self._before = 0  # of those that are done: they were complete when the command began
        self.current: SweepRun | None = None  # that trains in this process
        self.beside: dict[Path, SweepRun] = {}  # and in its workers, by their folders
        self.lock = threading.RLock()  # workers tell of their runs in threads of their own
        self.learnt: Callable[[], None] = _nothing  # called after each epoch of a run in this process
        self._waiting: dict[str, Effort] = {}  # by the name of the folder
        self._times: list[float] = []  # of the runs that have been trained
        self._runs_of: Counter[str] = Counter()  # configuration -> how many, each with seeds of its own
        self.ranking = Ranking()
        self._round: Round | None = None
        self._trained = 0  # seeds, in this round
        self._said: set[str] = set()
        self._elsewhere, self._told = Elsewhere(clock), 0  # how many were said to be done elsewhere
        self.area: Area | None = LiveArea(console, self.lines) if moving else None

    def __enter__(self) -> Sweep:
        if self.area is not None:
            self.area.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.area is not None:
            self.area.stop()

    # ------------------------------------------------------------ what is going to be trained

    def expect(
        self, due: Sequence[Settings], complete: Sequence[RunSummary] = (), folders: Sequence[Path] = ()
    ) -> None:
        """These runs are due, in these folders, where other processes may complete them; and those are complete."""
        self._elsewhere.expect(folders)
        self._before += len(complete)
        self._waiting |= {settings.folder: Effort.of(settings) for settings in due}
        self._runs_of.update([*(settings.id for settings in due), *(summary.id for summary in complete)])
        self.total, self.done = self.total + len(due) + len(complete), self.done + len(complete)
        if complete:
            diverged = sum(summary.status == "diverged" for summary in complete)
            others = f", of which {diverged} diverged" if diverged else ""
            self.say(Text(f"{len(complete)} of {self.total} already complete{others}"))

    def expect_trials(self, number: int) -> None:
        """So many more trials of a search are due, whose settings are not known yet."""
        self.total = self.over + number

    def begin_round(self, number: int, left: int, configurations: int, trained: int, most: int) -> None:
        """What is due from now on belongs to a round of a race, and is counted by itself; see `Round`."""
        self._round = Round(number, left, configurations, trained, most)
        self.total, self.done, self.failed, self._trained, self._before = 0, 0, 0, 0, 0
        self._elsewhere, self._told = Elsewhere(self.clock), 0

    # ------------------------------------------------------------ what happens

    def run(self, settings: Settings, name: str) -> SweepRun:
        """The next run begins in this process."""
        self.current = self._begin(settings, name)
        return self.current

    def run_beside(self, settings: Settings, name: str, folder: Path) -> SweepRun:
        """The next run begins in a worker."""
        self.beside[folder] = self._begin(settings, name)
        return self.beside[folder]

    def _begin(self, settings: Settings, name: str) -> SweepRun:
        effort = self._waiting.pop(settings.folder, None) or Effort.of(settings)
        self._elsewhere.taken(settings.folder)
        several = self._round is not None or self._runs_of[settings.id] > 1
        seeds = seed_range(tuple(settings.seeds)) if several else ""
        return SweepRun(self, settings, printable(name), seeds, effort)

    def stored(self, settings: Settings, name: str, summary: RunSummary) -> None:
        """A run that is complete; it has been counted unless another process has trained it meanwhile."""
        if self._waiting.pop(settings.folder, None) is not None:
            self._elsewhere.found(settings.folder)
        self.ranking.add(settings, printable(name), summary)

    def leave(self, folder: Path | None = None) -> None:
        """The run that trains, in this process or in that folder, has been taken over by another process."""
        run = self.current if folder is None else self.beside.get(folder)
        if run is not None:
            self._waiting[run.settings.folder] = run.effort
            self._over(run)

    def _over(self, run: SweepRun) -> None:
        if run is self.current:
            self.current = None
        self.beside = {folder: other for folder, other in self.beside.items() if other is not run}

    @property
    def over(self) -> int:
        """How many runs have ended in this process or were complete before, well or not."""
        return self.done + self.failed

    @property
    def running(self) -> list[SweepRun]:
        """The runs that train, in the order in which they began, but for that of this process, which is the first."""
        return [*([self.current] if self.current is not None else []), *self.beside.values()]

    def end(self) -> None:
        """All runs have ended, here or in other processes."""
        if len(self._elsewhere.done) > (self._told if self.area is None else 0):
            self._told = len(self._elsewhere.done)
            self.say(Text(self._counted()))

    def ended(self, run: SweepRun, *, trained: bool) -> None:
        """A run has ended, and has results."""
        self.done += 1
        self._over(run)
        self._trained += run.effort.seeds
        if trained:
            self._times.append(self.clock() - run.began)

    def count(self) -> None:
        """Says how many are done here and elsewhere, where that has changed and no live area says it."""
        if self.area is None and self._elsewhere.look() > self._told:
            self._told = len(self._elsewhere.done)
            self.say(Text(self._counted()))

    @property
    def tells_failures(self) -> bool:
        """Whether stderr is the same terminal, so that what its lines say is said to everybody; or nobody is told."""
        return self.console.quiet or (self.area is not None and self.area.shows_stderr)

    def fail(self, error: UserError, settings: Settings | None = None, folder: Path | None = None) -> bool:
        """The run that trains has failed, or one that could not even begin; returns `tells_failures`.

        Args:
            settings: of the run, as far as they are known.
            folder: of a run in a worker.
        """
        run = self.current if folder is None else self.beside.get(folder)
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
        self.failed += 1
        if run is not None:
            self._over(run)
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
        number = self.over + self._elsewhere.look() + len(self.running) + 1
        return Text.assemble(f"[{number}{f'/{self.total}' if self.total else ''}] ", (name, "bold"))

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
        running, racing = self.running, []
        bars = [(run.line(), run.share) for run in running[: max(1, height // 4)]]
        if self.total > 1:
            done = self.over + self._elsewhere.look() + sum(run.share for run in running)
            bars.append((Text(self._progress()), done / self.total))
        if self._round is not None:
            of, trained = self._round, self._round.trained + self._trained
            left = f"round {of.number}: {of.left} of {of.configurations} left"
            racing.append(Text(f"{left}; {trained} of at most {of.most} trainings", style="dim"))
        lines = [*with_bars(bars, width), *([] if self.total else [Text(self._progress())]), *racing]
        ranked = self.ranking.lines(running[0].settings if running else None, width, height // 2 - len(lines))
        return [*lines, *ranked]

    def _counted(self) -> str:
        """`12/40 done`, `12/40 done here, 19 elsewhere, 3 before, 1 failed`."""
        elsewhere, before = len(self._elsewhere.done), self._before
        of = f"/{self.total}" if self.total else ""
        others = {"elsewhere": elsewhere, "before": before if elsewhere else 0, "failed": self.failed}
        here = f"{self.done - before}{of} done here" if elsewhere else f"{self.done}{of} done"
        return ", ".join([here, *(f"{number} {where}" for where, number in others.items() if number)])

    def _progress(self) -> str:
        done, left = self._counted(), self.left()
        return done if left is None else f"{done}, {in_words(left)} left{' in this round' if self._round else ''}"

    def left(self) -> float | None:
        """Seconds until all runs have ended, as far as it is known which these are; None where nothing is known yet."""
        running, elsewhere = self.running, self._elsewhere.done
        waiting = [effort for name, effort in [*self._waiting.items()] if name not in elsewhere]
        efforts = [self.pace.seconds(effort) for effort in waiting]
        efforts += [self.pace.seconds(run.effort, (1 - run.share) * run.effort.epochs) for run in running]
        unknown = self.total - self.over - len(elsewhere) - len(efforts)
        if unknown > 0:  # trials, which take as long as those so far
            like = self.pace.seconds(running[0].effort) if running else None
            mean = sum(self._times) / len(self._times) if self._times else like
            efforts.append(None if mean is None else unknown * mean)
        known = [seconds for seconds in efforts if seconds is not None]
        if not known or len(known) < len(efforts):
            return None
        here = max(self.done - self._before, 1)  # the others go on as they did so far
        return sum(known) * here / (here + len(elsewhere)) / max(1, len(running))
