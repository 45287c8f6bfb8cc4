"""The terminal: live progress for a person, one plain line per epoch for a file; a table at the end."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from actbench.measures import registry
from actbench.measures.layers import LayerRecord
from actbench.measures.quantities import Quantity, by_seed, over_layers, placed
from actbench.measures.units import network_ratio
from actbench.records import Epoch, Estimate, Finding, RunSummary
from actbench.sinks.classes import class_table
from actbench.store import own_tables


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
        self._progress: _Polling | None = None
        self._epochs, self._execution = 0, ""

    def begin(self, head: Headline, clock: Clock, total_steps: int) -> None:
        self._epochs, self._execution = head.epochs, head.execution
        if head.note:
            self.console.print(Text(head.note, style="bold yellow"))
        train, val, test = head.samples
        label = self.name if self.brief else head.label
        self._say(
            f"[bold]{escape(label)}[/] on {escape(head.dataset)} ({train:,} / {val:,} / {test:,} samples), "
            f"{_seeds(head.seeds)}, {head.parameters:,} parameters"
        )
        how, where = f"{head.device}, {head.execution}", f"files in {head.folder}"
        fits = len(f"{how}; {where}") <= self.console.width
        for line in [f"{how}; {where}"] if fits else [how, where]:
            self._say(escape(line), style="dim")
        if head.resumed_from:
            self.remark(f"going on after epoch {head.resumed_from} of {head.epochs}", style="")
        if self.live:
            self._progress = _Polling(self.console, clock, total_steps)
            self._progress.start()

    def epoch(self, epoch: Epoch) -> None:
        for seed in epoch.diverged:
            words = f"seed {seed} diverged in epoch {epoch.number}: its loss is no longer finite"
            self.remark(words, style="bold red")
        alive = [record for record in epoch.records if record.seed not in epoch.diverged]
        if not alive:
            return
        line = f"epoch {epoch.number}/{self._epochs}  "
        line += f"train loss {_mean(record.train_loss for record in alive):.4f}  "
        line += f"val accuracy {Estimate.of([record.val_accuracy for record in alive]).plus_minus()} %"
        if epoch.layers:
            dead = _mean(network_ratio(epoch.of_seed(record.seed), "dead") for record in alive)
            line += f"  dead {'–' if math.isnan(dead) else f'{100 * dead:.1f}'} %"
        if self._progress is not None:
            self._progress.say(line)
        else:
            named = f"{self.name}  " if self.brief else ""
            self._say(escape(f"{named}{line}  {alive[0].seconds:.1f} s"))

    def executed(self, execution: str) -> None:
        """How the steps were executed in fact, which is said where it is not as it was begun."""
        if execution != self._execution:
            self.remark(f"in fact: {execution}")

    def remark(self, text: str, style: str = "dim") -> None:
        """A line of its own, with the run's name where others speak too."""
        self._say(escape(f"{self.name}: {text}" if self.brief else text), style=style)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def end(self, summary: RunSummary, layers: Iterable[LayerRecord], folder: Path, *, stored: bool = False) -> None:
        """The table of a finished run."""
        self.close()
        if self.brief:
            self._say(escape(f"{self.name}: {_in_a_line(summary, stored)}"))
            return
        if stored:
            self._say("already complete: this is the stored result", style="bold")
        if summary.dataset_note:
            self.console.print(Text(summary.dataset_note, style="bold yellow"))
        self.console.print(summary_table(summary, own_tables.metrics(folder)))
        of_classes = class_table(folder, tuple(summary.diverged))
        if of_classes is not None:
            self.console.print(of_classes)
        rows = [layer for layer in layers if layer.seed not in summary.diverged]
        if rows:
            self.console.print(layer_table(rows))
            for remark in undefined(rows):
                self._say(escape(remark), style="dim")
        if summary.findings is not None:
            probed = "dead_ratio" in summary.metrics
            self._diagnosis(summary.findings, folder, probed=probed)
        self._say(escape(f"files        {folder}"))
        if (folder / "tensorboard").exists():
            self._say(escape(f"look inside  tensorboard --logdir {_quoted(folder)}"))

    def _diagnosis(self, findings: Sequence[Finding], folder: Path, *, probed: bool) -> None:
        """What went wrong inside, why, and the commands that try something else; or that nothing did."""
        if not findings:
            where = "" if probed else " in loss and accuracy; units were not measured (probe=false)"
            self._say(f"diagnosis    nothing alarming{where}", style="dim")
            return
        self._say("diagnosis", style="bold")
        for finding in findings:
            what = Text.assemble((finding.title, "bold yellow"), f"\n{finding.evidence}\n", (finding.cause, "dim"))
            self.console.print(Padding(what, (0, 0, 0, 2)))
            for remedy in finding.remedies:  # on one line each, however long: they are pasted
                self._say(escape(f"  try  {self.whole(remedy)}"), style="green")
            self._say("")
        if any(finding.remedies for finding in findings):
            self._say(escape(f"try them all  actbench try {_quoted(folder)}"))

    def _say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style or None, highlight=False, soft_wrap=True)


class _Polling(Progress):
    """A bar that reads the step counter whenever it is drawn: the loop knows nothing of it."""

    def __init__(self, console: Console, clock: Clock, total: int) -> None:
        self._clock = clock
        self._task: TaskID | None = None
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), TimeRemainingColumn()
        )  # fmt: skip
        super().__init__(*columns, console=console, transient=True, refresh_per_second=4)
        self._task = self.add_task("training", total=total, completed=clock.steps)

    def get_renderables(self) -> Iterable[RenderableType]:
        if self._task is not None:
            self.update(self._task, completed=self._clock.steps)
        return super().get_renderables()

    def say(self, line: str) -> None:
        if self._task is not None:
            self.update(self._task, description=line)


def _in_a_line(summary: RunSummary, stored: bool) -> str:
    skipped = "already complete, skipped; " if stored else ""
    if summary.status == "diverged":
        return f"{skipped}every seed diverged"
    diverged = f", {len(summary.diverged)} of {len(summary.seeds)} seeds diverged" if summary.diverged else ""
    dead = summary.metrics.get("dead_ratio")
    share = f", dead {100 * dead.mean:.1f} %" if dead and dead.mean is not None else ""
    accuracy = summary.metrics["test_accuracy"].plus_minus()
    wrong = "".join(f"; {finding.title}" for finding in summary.findings or ())
    return f"{skipped}test accuracy {accuracy} %{share}{diverged}{wrong} ({summary.seconds['total']:.1f} s)"


def _results() -> list[Quantity]:
    """The lines of `summary_table`: what a seed has, and not each of its layers."""
    results = [q for kind in registry.row_types() if kind is not LayerRecord for q in placed(kind) if q.summary]
    return sorted(results, key=lambda quantity: quantity.place)


def summary_table(summary: RunSummary, own: Sequence[Quantity] = ()) -> Table:
    """Accuracy, loss and cost with 95 % intervals over seeds, and the metrics of the user's `own` measurements."""
    finite = max((estimate.n for estimate in summary.metrics.values()), default=0)
    epochs = "1 epoch" if summary.epochs_done == 1 else f"{summary.epochs_done} epochs"
    title = f"{summary.label} on {summary.dataset}, {epochs}"
    table = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    table.add_column(f"mean ± 95 % (n = {finite})", justify="right")
    table.add_column("by seed", overflow="fold")
    for quantity in [*_results(), *own]:
        if quantity.summary in summary.metrics:
            estimate = summary.metrics[quantity.summary]
            values = (quantity.shown(math.nan if value is None else value) for value in estimate.values)
            table.add_row(quantity.heading, estimate.plus_minus(quantity.digits, quantity.scale), "  ".join(values))
    for seed, epoch in summary.diverged.items():
        table.add_row(f"seed {seed}", "[bold red]diverged[/]", f"in epoch {epoch}")
    if summary.epochs_done:
        per_epoch = summary.seconds["total"] / summary.epochs_done
        cost = f"for all seeds; {summary.samples_per_second:,.0f} samples/s"
        table.add_row("seconds per epoch", f"{per_epoch:.2f}", cost)
        looks = summary.seconds.get("looks", 0.0)
        if looks:
            share = f"{100 * looks / summary.seconds['total']:.0f} % of the time"
            table.add_row("of them probe_every", f"{looks / summary.epochs_done:.2f}", share)
    return table


def layer_table(layers: Iterable[LayerRecord]) -> Table:
    """The shares of dead, dormant, saturated and active units of each layer, in percent, averaged over seeds."""
    rows = list(layers)
    names = list(dict.fromkeys(row.layer for row in rows))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer")
    table.add_column("units", justify="right")
    shown = placed(LayerRecord)
    for quantity in shown:
        table.add_column(quantity.heading, justify="right")
    for name in names:
        own = [row for row in rows if row.layer == name]
        means = [quantity.shown(_mean(getattr(row, quantity.key) for row in own)) for quantity in shown]
        table.add_row(Text(name), str(own[0].units), *means)
    if len(names) > 1:
        of_seeds = by_seed(rows).values()
        units = sum(row.units for row in rows) // len(of_seeds)
        means = [quantity.shown(_mean(over_layers(layers, quantity) for layers in of_seeds)) for quantity in shown]
        table.add_section()
        table.add_row("all", str(units), *means)
    return table


def undefined(layers: Iterable[LayerRecord]) -> list[str]:
    """What a dash in `layer_table` means, for each share that has one though outputs are finite."""
    rows = [row for row in layers if math.isfinite(row.mean)]
    remarks = []
    for quantity in placed(LayerRecord):
        names = dict.fromkeys(row.layer for row in rows if math.isnan(getattr(row, quantity.key)))
        if names:
            remarks.append(f"{quantity.title}: not defined for this activation ({', '.join(names)})")
    return remarks


def _mean(values: Iterable[float]) -> float:
    """Of what is known; NaN where nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}-{seeds[-1]}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
