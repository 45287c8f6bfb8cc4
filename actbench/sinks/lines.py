"""Single lines about a run: how an epoch went, how the run ended, how much of it is done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.text import Text

from actbench.measures.units import network_ratio
from actbench.records import Epoch, Estimate, RunSummary, decimal


def epoch_line(epoch: Epoch, epochs: int) -> str:
    """`epoch 2/10  train loss 0.1234  val accuracy 97.81 ± 0.20 %  dead 0.0 %`, over the seeds that have not diverged.

    Empty where there are none.
    """
    alive = [record for record in epoch.records if record.seed not in epoch.diverged]
    if not alive:
        return ""
    loss = f"train loss {decimal(mean(record.train_loss for record in alive), 4)}"
    words = [f"epoch {epoch.number}/{epochs}", loss if epoch.number > 0 else "before training"]
    words.append(validation(epoch))
    if epoch.layers:
        dead = mean(network_ratio(epoch.of_seed(record.seed), "dead") for record in alive)
        words.append(f"dead {'–' if math.isnan(dead) else f'{100 * dead:.1f}'} %")
    return "  ".join(words)


def validation(epoch: Epoch) -> str:
    """`val accuracy 97.81 ± 0.20 %`; empty where every seed has diverged."""
    alive = [record.val_accuracy for record in epoch.records if record.seed not in epoch.diverged]
    return f"val accuracy {Estimate.of(alive).plus_minus()} %" if alive else ""


def outcome(summary: RunSummary, *, counted: bool = False, timed: bool = True) -> Text:
    """`test accuracy 97.81 ± 0.20 %, dead 0.0 %, 12.1 s`, and the names of the findings, or only their number."""
    seconds = f"{summary.seconds['total']:.1f} s" if timed else ""
    if summary.status == "diverged":
        epochs = sorted({*summary.diverged.values()})
        when = f"epoch {epochs[0]}" if len(epochs) == 1 else f"epochs {epochs[0]} to {epochs[-1]}"
        return Text("; ".join(filter(None, [f"every seed diverged, in {when}", seconds])), style="bold red")
    if summary.status == "pruned":
        accuracy = summary.metrics["val_accuracy"].plus_minus()
        said = f"given up {summary.reason}, val accuracy {accuracy} %"
        return Text("; ".join(filter(None, [said, seconds])), style="dim")
    words = [f"test accuracy {summary.metrics['test_accuracy'].plus_minus()} %"]
    dead = summary.metrics.get("dead_ratio")
    words += [f"dead {100 * dead.mean:.1f} %"] if dead and dead.mean is not None else []
    line = Text(", ".join(filter(None, [*words, seconds])))
    if summary.diverged:
        line.append(f"  {len(summary.diverged)} of {len(summary.seeds)} seeds diverged", style="bold red")
    findings = [finding.code or finding.symptom for finding in summary.findings or ()]
    number = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
    if findings:
        line.append(f"  {number if counted else ', '.join(findings)}", style="yellow")
    return line


def bar(share: float, width: int) -> Text:
    """So much of it is done: a bar, and the percentage where there is no room for more.

    >>> bar(0.25, 13).plain
    '━━─────  25 %'
    """
    share = min(max(share, 0.0), 1.0)
    room = width - len(" 100 %")
    full = round(share * room) if room >= 4 else 0
    line = Text("━" * full, style="cyan")
    line.append("─" * max(room - full, 0) if room >= 4 else "", style="dim")
    return line.append(f"{100 * share:3.0f} %".rjust(6 if room >= 4 else 0))


def with_bars(rows: Sequence[tuple[Text, float]], width: int, most: int = 30) -> list[Text]:
    """Each line of words with the share that is done as a bar behind it, which fills what room there is up to `most`.

    The bars stand below each other, unless the longest line leaves hardly any room.
    """
    least = 2 + len(" 100 %")
    longest = max((words.cell_len for words, _ in rows), default=0)
    beside = longest + least + 6 <= width
    lines = []
    for words, share in rows:
        line = words.copy()
        line.truncate(longest if beside else max(width - least, 10), overflow="ellipsis", pad=beside)
        lines.append(line.append("  ").append_text(bar(share, min(width - line.cell_len - 2, most + 6))))
    return lines


def mean(values: Iterable[float]) -> float:
    """Of what is known; NaN where nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def seed_range(seeds: tuple[int, ...]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]}-{seeds[-1]}"
