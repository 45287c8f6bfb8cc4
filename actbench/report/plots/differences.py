"""Differences of test accuracy from the best of the others, and from a named baseline: the intervals of the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import BLUE, GREY, ORANGE, Drawing, cut, keep_in_view, shown_configurations
from actbench.report.evidence import common_seeds
from actbench.report.formatting import points
from actbench.report.sections import TOP
from actbench.report.verdict import Verdict

SECTION = TOP
ORDER = 30
_LOOKS = {
    "best": (BLUE, "^", "best"),
    "better": (BLUE, "^", "better than the baseline"),
    "as good": (BLUE, "o", "as good"),
    "worse": (ORANGE, "v", "worse"),
    "undecided": ("#666666", "D", "undecided"),
}


@dataclass(frozen=True)
class Bar:
    """One row: the difference with the ends of its interval, that of every seed, and the verdict's word."""

    name: str
    word: str
    difference: float
    low: float
    high: float
    seeds: tuple[float, ...]


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A row for each configuration that is compared; None where none is."""
    shown, selection = shown_configurations(comparison)
    verdict = comparison.verdict
    bars = against_the_best(verdict, shown)
    if not bars:
        return None
    panels = [("the best of the others", bars)]
    if comparison.baseline and (others := against_the_baseline(verdict, shown, comparison.baseline.configuration)):
        panels.append((comparison.baseline.configuration.name, others))
    names = " and from ".join(name for name, _ in panels)
    caption = (
        f"Difference from {names}, paired by seed, with the intervals of the verdict. Band: as good within "
        f"{points(verdict.margin)}.{selection}"
    )
    return Drawing(differences(panels, verdict.margin), caption)


def against_the_best(verdict: Verdict, shown: Sequence[Configuration]) -> list[Bar]:
    """The rows against the best of the others, in the order of `shown`."""
    bars = []
    for configuration in shown:
        decision = verdict.of(configuration)
        if decision is None or decision.difference is None or decision.low is None or decision.high is None:
            continue
        apart = [(found[0], other) for other in verdict.members if other is not configuration
                 if (found := verdict.between(configuration, other))]  # fmt: skip
        best = min(apart, key=lambda pair: pair[0])[1]
        seeds = _by_seed(configuration, best)
        bars.append(Bar(decision.name, decision.word, decision.difference, decision.low, decision.high, seeds))
    return bars


def against_the_baseline(verdict: Verdict, shown: Sequence[Configuration], baseline: Configuration) -> list[Bar]:
    """The rows against the baseline, without itself."""
    found = [(one, decision.against_baseline) for one in shown if (decision := verdict.of(one))]
    return [
        Bar(one.name, of.word, of.difference, of.low, of.high, _by_seed(one, baseline))
        for one, of in found
        if of is not None
    ]


def _by_seed(first: Configuration, second: Configuration) -> tuple[float, ...]:
    return tuple(first.values[METRIC][seed] - second.values[METRIC][seed] for seed in common_seeds(first, second))


def differences(panels: Sequence[tuple[str, Sequence[Bar]]], margin: float) -> Figure:
    """A panel for each thing that is compared with: the mean differences with their intervals, every seed as a ring."""
    rows = max(len(bars) for _, bars in panels)
    figure = Figure(figsize=(9, 1.3 + 0.32 * rows), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    names = list(dict.fromkeys(bar.name for _, bars in panels for bar in bars))
    for axes, (against, bars) in zip(all_axes, panels, strict=True):
        _panel(axes, bars, names, margin)
        axes.set_xlabel(f"test accuracy minus that of\n{cut(against, 40)}, same seed (points)")
    for axes in all_axes[1:]:
        axes.tick_params(labelleft=False)
    words = [word for word in _LOOKS if any(bar.word == word for _, bars in panels for bar in bars)]
    for word in words:
        colour, marker, label = _LOOKS[word]
        all_axes[0].scatter([], [], color=colour, marker=marker, s=40, label=label)
    figure.legend(loc="outside upper right", ncols=5, fontsize=9)
    return figure


def _panel(axes: Axes, bars: Sequence[Bar], names: Sequence[str], margin: float) -> None:
    axes.axvspan(-margin, margin, color=GREY, alpha=0.18, linewidth=0)
    axes.axvline(0, color="0.3", linewidth=1)
    for bar in bars:
        y = names.index(bar.name)
        colour, marker, _ = _LOOKS[bar.word]
        axes.scatter(bar.seeds, [y + 0.2] * len(bar.seeds), s=14, facecolors="none", edgecolors=colour,
                     linewidths=0.9, zorder=2)  # fmt: skip
        axes.plot([bar.low, bar.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
        axes.scatter([bar.difference], [y], s=40, color=colour, marker=marker, zorder=4)
    axes.set_yticks(range(len(names)), [cut(name, 44) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    values = [0.0, *(value for bar in bars for value in (*bar.seeds, bar.difference))]
    ends = [end for bar in bars for end in (bar.low, bar.high) if math.isfinite(end)]
    keep_in_view(axes, values, ends or values)
