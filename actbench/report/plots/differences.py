"""Differences of test accuracy from the baseline, paired by seed: mean, interval, and every seed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.drawing import (
    BLUE,
    ORANGE,
    Drawing,
    cut,
    interval_row,
    keep_in_view,
    rows_figure,
    shown_configurations,
)
from actbench.report.ranking import Row

ORDER = 30
_VERDICTS = {"better": (BLUE, "^"), "worse": (ORANGE, "v"), "unclear": ("#666666", "o")}


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:  # noqa: ARG001
    """A row for each configuration but the baseline."""
    shown, selection = shown_configurations(comparison)
    rows = [row for row in comparison.ranking.rows if row.against and row.configuration in shown]
    if not rows or comparison.ranking.baseline is None:
        return None
    name = comparison.ranking.baseline.configuration.name
    caption = f"Difference from {name}, paired seed by seed, with 95 % interval.{selection}"
    return Drawing(differences(rows, name), caption)


def differences(rows: Sequence[Row], baseline: str) -> Figure:
    """The mean difference of each row with its interval, and that of every seed as a ring."""
    figure, axes = rows_figure([row.name for row in rows])
    values: list[float] = [0.0]
    ends: list[float] = []
    for y, row in enumerate(rows):
        assert row.against is not None
        estimate = row.against.difference
        seeds = [value for value in estimate.values if value is not None]
        if seeds:
            interval_row(axes, y, estimate, seeds, *_VERDICTS[row.verdict])
        values += seeds
        ends += estimate.ci95 or ()
    axes.axvline(0, color="0.3", linewidth=1)
    keep_in_view(axes, values, ends or values)
    axes.set_xlabel(f"test accuracy minus that of {cut(baseline, 44)},\nsame seed (percentage points)")
    present = [verdict for verdict in _VERDICTS if any(row.verdict == verdict for row in rows)]
    for verdict in present:
        colour, marker = _VERDICTS[verdict]
        label = "no difference shown" if verdict == "unclear" else f"{verdict} (corrected p ≤ 0.05)"
        axes.scatter([], [], color=colour, marker=marker, s=40, label=label)
    figure.legend(loc="outside upper right", ncols=3, fontsize=9)
    return figure
