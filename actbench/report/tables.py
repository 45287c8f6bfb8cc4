"""The comparison as tables of words: for the terminal, Markdown and HTML alike; and as tidy data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from actbench import naming
from actbench.report.comparison import Comparison
from actbench.report.configurations import Block, Configuration
from actbench.report.ranking import Ranking, Row, correction
from actbench.report.runs import status
from actbench.report.text_table import Sheet, mean
from actbench.report.tuning import Tuned
from actbench.report.words import interval, p_value, signed


def sheets(comparison: Comparison, *, brief: bool = False) -> list[Sheet]:
    """The tables of a block: results, differences from the baseline, tuning, what the insides say, and the runs without
    results; `brief`: as a terminal has room for them.
    """
    made = []
    if comparison.block.configurations:
        made.append(_results(comparison))
    if any(row.against for row in comparison.ranking.rows):
        made.append(_differences(comparison))
    if comparison.tuned:
        made.append(_tuning(comparison.tuned))
    made += comparison.inside.sheets(brief=brief)
    if comparison.block.waiting:
        made.append(_waiting(comparison.block))
    return made


def _results(comparison: Comparison) -> Sheet:
    rows: list[tuple[str, ...]] = [_result(row.configuration) for row in comparison.ranking.rows]
    marks = _marks(comparison.ranking)
    probed = any("dead_ratio" in row.configuration.values for row in comparison.ranking.rows)
    header: tuple[str, ...] = (
        "configuration", "test accuracy %", "n", "val. acc. %", "test loss", "dead units %", "seconds / epoch",
        "samples / s", "params",
    )  # fmt: skip
    if not probed:
        header, rows = header[:5] + header[6:], [row[:5] + row[6:] for row in rows]
    note = "means over n seeds, ± half the 95 % interval; seconds per seed, with validation; dead units after training"
    return Sheet("Results, best first", header, tuple(rows), marks, note)


def _marks(ranking: Ranking) -> tuple[str, ...]:
    against = ranking.baseline.configuration if ranking.baseline else None
    return tuple("baseline" if row.configuration is against else row.verdict for row in ranking.rows)


def _result(one: Configuration) -> tuple[str, ...]:
    n = str(one.n) + (f" ({len(one.diverged)} diverged)" if one.diverged else "")
    return (
        one.name,
        one.estimate("test_accuracy").plus_minus() if one.n else "diverged",
        n,
        mean(one.estimate("val_accuracy"), 2),
        mean(one.estimate("test_loss"), 3),
        mean(one.estimate("dead_ratio"), 1, 100),
        _seconds(one.seconds_per_epoch),
        _thousands(one.samples_per_second),
        _thousands(one.parameters),
    )


def _differences(comparison: Comparison) -> Sheet:
    assert comparison.ranking.baseline is not None
    baseline = comparison.ranking.baseline.configuration
    rows = [row for row in comparison.ranking.rows if row.against is not None]
    return Sheet(
        f"Against {baseline.name}, paired seed by seed",
        ("configuration", "difference", "95 % interval", "p corrected", "effect size", "P(better)", "n"),
        tuple(_difference(row) for row in rows),
        tuple(row.verdict for row in rows),
        f"test accuracy in points, intervals uncorrected; {correction(comparison.ranking)}; "
        "effect size: Cohen's d_z; P(better): a random seed against a random seed",
    )


def _difference(row: Row) -> tuple[str, ...]:
    against = row.against
    assert against is not None
    return (
        row.name,
        signed(against.difference.mean),
        interval(against.difference),
        against.note or p_value(row.p),
        signed(against.effect),
        "–" if against.improvement is None else f"{against.improvement:.2f}",
        str(len(against.seeds)),
    )


def _tuning(tuned: Tuned) -> Sheet:
    rows = [
        (
            row.name,
            tuned.chosen[row.name],
            row.configuration.estimate("test_accuracy").plus_minus(),
            signed(row.against.difference.mean) if row.against else "–",
            (row.against.note or p_value(row.p)) if row.against else "–",
            tuned.untuned[row.name].estimate("test_accuracy").plus_minus(),
            str(len(tuned.settings)),
            mean(row.configuration.estimate("val_accuracy"), 2),
        )
        for row in tuned.ranking.rows
    ]
    against = tuned.ranking.baseline
    header = (
        tuned.per, "best setting", "test accuracy %", "difference", "p corrected", "untuned test accuracy %",
        "settings tried", "val. acc. %",
    )  # fmt: skip
    return Sheet(
        f"Tuned per {tuned.per}, on equal terms",
        header,
        tuple(rows),
        _marks(tuned.ranking),
        f"each {tuned.per} at its best of the same {len(tuned.settings)} settings, chosen by validation accuracy; "
        f"untuned: test accuracy at the common setting {tuned.common}; "
        f"difference: tuned against tuned {against.configuration.name if against else '–'}; "
        f"{correction(tuned.ranking)}, those of this table alone",
    )


def _waiting(block: Block) -> Sheet:
    rows = tuple((name, _seeds(run.settings.seeds), status(run), str(run.folder)) for name, run in block.waiting)
    return Sheet("Without results", ("configuration", "seeds", "status", "folder"), rows, ("",) * len(rows), text=True)


def _seeds(seeds: Sequence[int]) -> str:
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"


def _seconds(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _thousands(value: float) -> str:
    """`407k`: three digits are enough beside an accuracy."""
    if not math.isfinite(value):
        return "–"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def tidy(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row for each configuration, seed and metric; the varied keys, and those with another value
    than the default, have columns of their own.

    A seed that diverged has the metric `diverged` with the epoch. Accuracies are percentages, ratios 0 to 1.
    """
    columns: dict[str, list[object]] = {key: [] for key in ("block", "configuration", "id", "dataset", "epochs")}
    keys = list(dict.fromkeys(key for one in comparisons for key in (*one.block.varying, *one.block.unusual)))
    columns |= {key: [] for key in (*keys, "seed", "metric", "value")}
    for comparison in comparisons:
        for one in comparison.block.configurations:
            flat = one.settings.flat()
            head = [comparison.block.title, one.name, one.settings.id, one.runs[0].dataset, one.settings.train.epochs]
            head += [naming.shown(flat[key]) if isinstance(flat.get(key), list) else flat.get(key) for key in keys]
            values: dict[str, Mapping[int, float]] = {**one.values}
            if one.diverged:
                values["diverged"] = one.diverged
            for metric, of_seeds in values.items():
                for seed, value in of_seeds.items():
                    for column, item in zip(columns.values(), (*head, seed, metric, value), strict=True):
                        column.append(_harmless(item) if isinstance(item, str) else item)
    return pd.DataFrame({_harmless(name): column for name, column in columns.items()})


def _harmless(cell: str) -> str:
    """Words that a spreadsheet would take for a formula begin with an apostrophe instead."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
