"""The history of a search: the validation accuracy of each trial, and the best so far."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from actbench.errors import Problem
from actbench.records import decimal
from actbench.report.comparison import Comparison
from actbench.report.drawing import BLUE, TIPS, Drawing, Tip, cut, heading, line_style
from actbench.report.search import ACTIVATION, SearchOfStudy, searches, setting
from actbench.store.search import Trial

SECTION = "search"
ORDER = 35
_NAMED = 12  # activations with a style of their own
_CAPTION = (
    "Validation accuracy of each trial in the order in which they were begun; the line is the best so far. Hollow: "
    "given up before the last epoch; a cross at the bottom: diverged or failed.{below}"
)


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """The largest search of the block; None where there was none, or it has fewer than two results."""
    found = searches(comparison.block, problems)
    of = max(found, key=lambda search: len(search.search.trials), default=None)
    if of is None or sum(trial.value is not None for trial in of.trials) < 2:
        return None
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    heading(figure, comparison, "Search", f"{of.search.sampler}: a point for each trial, line: the best so far")
    axes = figure.subplots()
    below = _set_limits(axes, of.trials)
    _points(axes, of)
    axes.set_xlabel("trial")
    axes.set_ylabel("validation accuracy (%)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    said = f" {below} of them below the picture are drawn at its lower edge." if below else ""
    return Drawing(figure, _CAPTION.format(below=said), tuple(_tips(axes, of.trials)))


def _set_limits(axes: Axes, trials: Sequence[Trial]) -> int:
    """Shows the better half of the results well; returns how many of the others lie below the axes."""
    values = [trial.value for trial in trials if trial.value is not None]
    top, middle = max(values), statistics.median(values)
    bottom = max(min(values), middle - 4 * (top - middle) - 0.5)
    room = 0.08 * (top - bottom) + 0.05
    axes.set_ylim(bottom - room, top + room)
    axes.set_xlim(min(trial.number for trial in trials) - 0.8, max(trial.number for trial in trials) + 0.8)
    return sum(value < bottom for value in values)


def _height(axes: Axes, trial: Trial) -> float:
    """Of the point; at the lower edge where there is no result, or one below it."""
    low, high = axes.get_ylim()
    edge = low + 0.02 * (high - low)
    return edge if trial.value is None else max(trial.value, edge)


def _points(axes: Axes, of: SearchOfStudy) -> None:
    names = list(dict.fromkeys(str(trial.params.get(ACTIVATION, "")) for trial in of.trials))
    styles = {name: line_style(place) for place, name in enumerate(names)}
    several = 1 < len(names) <= _NAMED
    for name in names:
        style = styles[name] if several else line_style(0)
        own = [trial for trial in of.trials if str(trial.params.get(ACTIVATION, "")) == name]
        for ended, faces in (("completed", style.colour), ("pruned", "none")):
            shown = [trial for trial in own if trial.ended == ended]
            axes.scatter(
                [trial.number for trial in shown], [_height(axes, trial) for trial in shown], s=28, marker=style.marker,
                facecolors=faces, edgecolors=style.colour, linewidths=1, zorder=3,
                label=cut(name, 24) if ended == "completed" and several else None,
            )  # fmt: skip
        lost = [trial for trial in own if trial.ended in ("diverged", "failed")]
        axes.scatter(
            [trial.number for trial in lost], [_height(axes, trial) for trial in lost], s=28, marker="x",
            color=style.colour, zorder=3,
        )  # fmt: skip
    numbers, records, record = [], [], -math.inf
    for trial in of.trials:
        if trial.ended == "completed":
            record = max(record, trial.value or 0.0)
        numbers.append(trial.number)
        records.append(record if math.isfinite(record) else math.nan)
    axes.plot(numbers, records, drawstyle="steps-post", color="0.35" if several else BLUE, linewidth=1.4, zorder=2)
    if several:
        axes.legend(fontsize=8, ncols=1 if len(names) < 7 else 2, loc="lower right")


def _tips(axes: Axes, trials: Sequence[Trial]) -> list[Tip]:
    shown = list(trials)[-TIPS:]
    return [Tip(axes, trial.number, _height(axes, trial), _told(trial)) for trial in shown]


def _told(trial: Trial) -> str:
    value = f"{decimal(trial.value, 2)} %, " if trial.value is not None else ""
    return f"trial {trial.number}, {setting(trial.params)}: {value}{trial.ended}"
