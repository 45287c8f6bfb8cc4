"""Differences of test accuracy from the best of the others, and from a named baseline: the intervals of the verdict.

It is the first picture of the page. The verdict's word is told by the marker's shape and written at the end of the row.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC, Configuration
from actbench.report.drawing import (
    BLUE,
    GREY,
    ORANGE,
    TIPS,
    Drawing,
    Tip,
    arrow_heads,
    cut,
    heading,
    keep_in_view,
    of_series,
    shown_configurations,
    tips_of_line,
    zero_line,
)
from actbench.report.evidence import common_seeds
from actbench.report.formatting import ends, listed, points, signed
from actbench.report.sections import TOP
from actbench.report.verdict import Verdict

SECTION = TOP
ORDER = 30
_LOOKS = {  # the verdict's word: colour, marker, and its filling
    "best": (BLUE, "^", BLUE),
    "better": (BLUE, "^", BLUE),
    "as good": (BLUE, "o", BLUE),
    "worse": (ORANGE, "v", ORANGE),
    "undecided": ("0.4", "D", "white"),
}
_FAR = 20.0  # times the smaller differences: a row beyond is an arrow at the edge, and squashes no other
_WIDE = 4.0  # times what was measured: as far as intervals of those that are not worse are in view on either side
_LEGIBLE = 0.02  # of the width of the axes: a band that is narrower gets edges


@dataclass(frozen=True)
class Bar:
    """One row: the difference with the ends of its interval, that of every seed, and the verdict's word."""

    name: str
    word: str
    difference: float
    low: float
    high: float
    seeds: tuple[float, ...]
    numbers: tuple[int, ...] = ()  # of the seeds


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A row for each configuration that is compared; None where none is."""
    shown, selection = shown_configurations(comparison, compared=True)
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
    lost = [decision.name for decision in verdict.decisions if decision.word == "diverged"]
    caption += f" Diverged, without a row: {listed(lost)}." if lost else ""
    figure = differences(panels, verdict.margin)
    how = "marker: mean difference; bar: interval of the verdict, an arrow where it goes on; rings: seeds, paired"
    heading(figure, comparison, "Differences in test accuracy", how)
    return Drawing(figure, caption, tuple(_tips(figure.axes, panels)))


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
        bars.append(Bar(
            decision.name, decision.word, decision.difference, decision.low, decision.high,
            *_by_seed(configuration, best),
        ))  # fmt: skip
    return bars


def against_the_baseline(verdict: Verdict, shown: Sequence[Configuration], baseline: Configuration) -> list[Bar]:
    """The rows against the baseline, without itself."""
    found = [(one, decision.against_baseline) for one in shown if (decision := verdict.of(one))]
    return [
        Bar(one.name, of.word, of.difference, of.low, of.high, *_by_seed(one, baseline))
        for one, of in found
        if of is not None
    ]


def _by_seed(first: Configuration, second: Configuration) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The difference of each seed that both have, and the seeds."""
    seeds = tuple(common_seeds(first, second))
    return tuple(first.values[METRIC][seed] - second.values[METRIC][seed] for seed in seeds), seeds


def differences(panels: Sequence[tuple[str, Sequence[Bar]]], margin: float) -> Figure:
    """A panel for each thing that is compared with: the mean differences with their intervals, every seed as a ring."""
    rows = max(len(bars) for _, bars in panels)
    figure = Figure(figsize=(9 if len(panels) == 1 else 10, 1.7 + 0.3 * rows), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    names = list(dict.fromkeys(bar.name for _, bars in panels for bar in bars))
    for axes, (against, bars) in zip(all_axes, panels, strict=True):
        _panel(axes, against, bars, names, margin)
        end_of_line = " " if len(panels) == 1 else "\n"
        axes.set_xlabel(f"test accuracy minus that of{end_of_line}{cut(against, 40)}, same seed (points)")
    for axes in all_axes[1:]:
        axes.tick_params(labelleft=False)
    return figure


def _panel(axes: Axes, against: str, bars: Sequence[Bar], names: Sequence[str], margin: float) -> None:
    zero_line(axes)
    axes.set_yticks(range(len(names)), [cut(name, 44) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0, pad=8)  # room for arrow heads
    near = near_zero(bars, margin)
    values = [0.0, *(value for bar in near for value in (*bar.seeds, bar.difference))]
    span = max(values) - min(values) or 0.1
    if margin < 2 * span:  # else the band alone would be seen
        values += [-margin, margin]
    limits = [end for bar in near if bar.word == "worse" for end in (bar.low, bar.high) if math.isfinite(end)]
    keep_in_view(axes, [*values, *_ends_in_view(near, values)], limits or values)
    _band(axes, margin)
    for bar in bars:
        _row(axes, bar, names.index(bar.name))
    for y, name in enumerate(names):
        if name == against:
            of_series(name, _word(axes, y, "baseline", "0.4"))


def near_zero(bars: Sequence[Bar], margin: float) -> list[Bar]:
    """The rows that the axis has to show: one that trains badly may be a hundred times as far away as the others."""
    sizes = [abs(bar.difference) for bar in bars]
    halves = [half for bar in bars if math.isfinite(half := (bar.high - bar.low) / 2)]
    limit = max(_FAR * float(np.quantile(sizes, 0.25)), 10 * margin, 2 * statistics.median(halves or [0.0]))
    near = [bar for bar, size in zip(bars, sizes, strict=True) if size <= limit]
    return near or list(bars)


def _ends_in_view(bars: Sequence[Bar], values: Sequence[float]) -> list[float]:
    """The ends of the intervals of those that are not worse, which is what is to be decided: as far as they are sane.

    Those of two seeds may be a hundred times as wide as what was measured.
    """
    span = max(values) - min(values) or 0.1
    reach = _WIDE * span
    ends = [end for bar in bars if bar.word != "worse" for end in (bar.low, bar.high) if math.isfinite(end)]
    return [min(max(end, min(values) - reach), max(values) + reach) for end in ends]


def _band(axes: Axes, margin: float) -> None:
    """The margin, with its name above it."""
    left, right = axes.get_xlim()
    axes.axvspan(max(-margin, left), min(margin, right), color=GREY, alpha=0.22, linewidth=0)
    if 2 * margin < _LEGIBLE * (right - left):
        for edge in (-margin, margin):
            axes.axvline(edge, color=GREY, linewidth=0.8)
    wider = margin >= max(-left, right)
    text = f"as good: within ±{points(margin)}" + (", wider than this picture" if wider else "")
    middle = 0.5 if wider else -left / (right - left)
    side = "center" if 0.25 < middle < 0.75 else "left" if middle <= 0.25 else "right"
    axes.annotate(text, (middle, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", ha=side,
                  va="bottom", fontsize=8, color="0.3")  # fmt: skip


def _row(axes: Axes, bar: Bar, y: int) -> None:
    colour, marker, filling = _LOOKS[bar.word]
    left, right = axes.get_xlim()
    seeds = [value for value in bar.seeds if left <= value <= right]
    rings = axes.scatter(seeds, [y + 0.22] * len(seeds), s=12, facecolors="none", edgecolors=colour,
                         linewidths=0.8, zorder=2)  # fmt: skip
    shown = [min(max(end, left), right) for end in (bar.low, bar.high)]
    line = axes.plot(shown, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    arrows = arrow_heads(axes, y, bar.low, bar.high, colour)
    if left <= bar.difference <= right:
        mean: Artist = axes.scatter([bar.difference], [y], s=38, facecolors=filling, edgecolors=colour, marker=marker,
                                    zorder=4, linewidths=1.4)  # fmt: skip
    else:
        edge, offset, side = (left, 9, "left") if bar.difference < left else (right, -9, "right")
        mean = axes.annotate(signed(bar.difference), (edge, y), (offset, 3), textcoords="offset points", ha=side,
                             fontsize=9, color=colour, annotation_clip=False)  # fmt: skip
    word = _word(axes, y, bar.word, colour)
    of_series(bar.name, rings, *line, *arrows, mean, word, axes.get_yticklabels()[y])


def _word(axes: Axes, y: int, word: str, colour: str) -> Artist:
    """The verdict's word, to the right of a row."""
    return axes.annotate(word, (1, y), (9, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                         va="center", fontsize=9, color=colour)  # fmt: skip


def _tips(all_axes: Sequence[Axes], panels: Sequence[tuple[str, Sequence[Bar]]]) -> list[Tip]:
    """Of each mean with its interval, and of the seeds as far as there is room."""
    tips = []
    names = list(dict.fromkeys(bar.name for _, bars in panels for bar in bars))
    each = max(2, min(24, TIPS // sum(len(bars) for _, bars in panels) - 1))
    for axes, (against, bars) in zip(all_axes, panels, strict=True):
        for bar in bars:
            y, seeds = names.index(bar.name), bar.numbers or tuple(range(len(bar.seeds)))
            text = f"{bar.name} − {against}: {signed(bar.difference)} points ({ends(bar.low, bar.high)}): {bar.word}"
            left, right = axes.get_xlim()
            tips.append(Tip(axes, min(max(bar.difference, left), right), y, text, bar.name))
            texts = [f"{bar.name}, seed {k}: {signed(v)} points" for k, v in zip(seeds, bar.seeds, strict=True)]
            tips += tips_of_line(axes, bar.seeds, [y + 0.22] * len(seeds), texts, bar.name, each)
    return tips
