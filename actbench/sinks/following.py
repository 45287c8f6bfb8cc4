"""What somebody sees who follows runs on other machines: how many run, wait and are done, and who is best so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.text import Text

from actbench.errors import printable
from actbench.records import RunSummary
from actbench.settings import Settings
from actbench.sinks.lines import outcome, seed_range
from actbench.sinks.live import LiveArea
from actbench.sinks.ranking import Ranking

_WIDEST = 100  # columns of the live area


class Following:
    """A context; on a terminal it has a live area, elsewhere a line for each run that ends and each change of numbers.

    Args:
        console: where to.
        runs: all of them, the complete ones too.
        names: of configurations, by their `id`.
        moving: whether there is a live area.
    """

    def __init__(self, console: Console, runs: Iterable[Settings], names: Mapping[str, str], *, moving: bool) -> None:
        self.console, self.names, self.ranking = console, names, Ranking()
        self._runs_of = Counter(settings.id for settings in runs)
        self.total, self.done, self.failures = sum(self._runs_of.values()), 0, 0
        self._counts = self._said = ""
        self.area = LiveArea(console, self.lines) if moving else None

    def __enter__(self) -> Following:
        if self.area is not None:
            self.area.start()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.area is not None:
            self.area.stop()

    def before(self, settings: Settings, summary: RunSummary) -> None:
        """A run was complete when the command began."""
        self.done += 1
        self.ranking.add(settings, self._name(settings), summary)

    def ended(self, settings: Settings, summary: RunSummary | None) -> None:
        """A run is complete now."""
        self.done += 1
        if summary is None:
            return
        name = self._name(settings)
        self.ranking.add(settings, name, summary)
        seeds = f" {seed_range(tuple(settings.seeds))}" if self._runs_of[settings.id] > 1 else ""
        label = Text.assemble(f"[{self.done + self.failures}/{self.total}] ", (f"{name}{seeds}", "bold"))
        self._print(Text.assemble(label, "  ", outcome(summary)))

    def failed(self) -> None:
        """A run has ended without results, which has been said."""
        self.failures += 1

    def show(self, *, running: int, waiting: int) -> None:
        """The numbers as they are now."""
        failed = f", {self.failures} failed" if self.failures else ""
        self._counts = f"{running} running, {waiting} waiting, {self.done}/{self.total} done{failed}"
        if self.area is None and self._counts != self._said:
            self._said = self._counts
            best = self.ranking.lines(None, _WIDEST, 3)[1:2]
            self._print(Text(self._counts + "".join(f"; best so far {line.plain[3:].strip()}" for line in best)))

    def say(self, what: str) -> None:
        self._print(Text(what))

    def lines(self) -> list[Text]:
        """The live area as it is now: no higher than half of the terminal."""
        width, height = min(self.console.width, _WIDEST), self.console.height
        return [Text(self._counts), *self.ranking.lines(None, width, height // 2 - 1)]

    def _name(self, settings: Settings) -> str:
        return printable(self.names.get(settings.id, settings.label))

    def _print(self, line: Text) -> None:
        if self.area is not None:
            self.area.say(line)
        else:
            self.console.print(line, soft_wrap=True, highlight=False)
