"""Accuracies and paired differences: mean, interval, and every seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actbench.records import Estimate
from actbench.report.configurations import Configuration
from actbench.report.plots.style import BLUE, ORANGE, cut
from actbench.report.ranking import METRIC, Row


def _rows_figure(names: Sequence[str]) -> tuple[Figure, Axes]:
    """One line for each name, the first on top."""
    figure = Figure(figsize=(9, 1.3 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [cut(name, 44) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _interval_row(axes: Axes, y: int, estimate: Estimate, dots: Sequence[float], colour: str, marker: str) -> None:
    axes.scatter(dots, [y + 0.2] * len(dots), s=14, facecolors="none", edgecolors=colour, linewidths=0.9, zorder=2)
    if estimate.ci95:
        axes.plot(estimate.ci95, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
    axes.scatter([estimate.mean or 0.0], [y], s=40, color=colour, marker=marker, zorder=4)


def _keep_in_view(axes: Axes, values: Sequence[float], ends: Sequence[float]) -> None:
    """All dots, and their span more on either side: the interval of two seeds may be wider than that, and is cut."""
    span = max(values) - min(values) or 0.1
    low, high = max(min(ends), min(values) - span), min(max(ends), max(values) + span)
    axes.set_xlim(min(low, min(values)) - 0.05 * span, max(high, max(values)) + 0.05 * span)


def _keep_possible(axes: Axes) -> None:
    """No accuracy is below 0 or above 100 %, whatever an interval says; markers at the very end stay whole."""
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, -1.0), min(right, 101.0))


def intervals(shown: Sequence[Configuration], baseline: Configuration | None) -> Figure:
    figure, axes = _rows_figure([one.name for one in shown])
    values: list[float] = []
    ends: list[float] = []
    for y, one in enumerate(shown):
        estimate, dots = one.estimate(METRIC), list(one.values[METRIC].values())
        is_baseline = one is baseline
        _interval_row(axes, y, estimate, dots, ORANGE if is_baseline else BLUE, "s" if is_baseline else "o")
        values += dots
        ends += estimate.ci95 or ()
    _keep_in_view(axes, values, ends or values)
    _keep_possible(axes)
    axes.set_xlabel("test accuracy (%); filled: mean, bar: 95 % interval, rings: seeds" + _square(baseline))
    return figure


def _square(baseline: Configuration | None) -> str:
    return f"\nsquare: {cut(baseline.name, 60)}, the baseline" if baseline else ""


_VERDICTS = {"better": (BLUE, "^"), "worse": (ORANGE, "v"), "unclear": ("#666666", "o")}


def differences(rows: Sequence[Row], baseline: str) -> Figure:
    figure, axes = _rows_figure([row.name for row in rows])
    values: list[float] = [0.0]
    ends: list[float] = []
    for y, row in enumerate(rows):
        assert row.against is not None
        estimate = row.against.difference
        dots = [value for value in estimate.values if value is not None]
        if dots:
            _interval_row(axes, y, estimate, dots, *_VERDICTS[row.verdict])
        values += dots
        ends += estimate.ci95 or ()
    axes.axvline(0, color="0.3", linewidth=1)
    _keep_in_view(axes, values, ends or values)
    axes.set_xlabel(f"test accuracy minus that of {cut(baseline, 44)},\nsame seed (percentage points)")
    present = [verdict for verdict in _VERDICTS if any(row.verdict == verdict for row in rows)]
    for verdict in present:
        colour, marker = _VERDICTS[verdict]
        label = "no difference shown" if verdict == "unclear" else f"{verdict} (corrected p ≤ 0.05)"
        axes.scatter([], [], color=colour, marker=marker, s=40, label=label)
    figure.legend(loc="outside upper right", ncols=3, fontsize=9)
    return figure
