"""The comparison as tables of text, for the terminal, Markdown and HTML alike; and as tidy data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from actbench import naming
from actbench.report.columns import heading, interval_cell, mean_cell
from actbench.report.comparison import Comparison
from actbench.report.configurations import Block, Configuration
from actbench.report.formatting import interval, p_value, seconds, seed_range, signed, thousands
from actbench.report.ranking import Ranking, Row, correction
from actbench.report.runs import state
from actbench.report.text_table import TextTable
from actbench.report.tuning import Tuned


def comparison_tables(comparison: Comparison, *, brief: bool = False) -> list[TextTable]:
    """The tables of a block: results, differences from the baseline, tuning, diagnostics, and the runs without results.

    `brief`: as a terminal has room for them.
    """
    tables = []
    if comparison.block.configurations:
        tables.append(_results(comparison))
    if any(row.against for row in comparison.ranking.rows):
        tables.append(_differences(comparison))
    if comparison.tuned:
        tables.append(_tuning(comparison.tuned))
    tables += comparison.diagnostics.tables(brief=brief)
    if comparison.block.waiting:
        tables.append(_without_results(comparison.block))
    return tables


def _results(comparison: Comparison) -> TextTable:
    configurations = [row.configuration for row in comparison.ranking.rows]
    # What is measured has a key by which its definition can be found: `actbench.measures`.
    measured = ["val_accuracy", "test_loss"]
    if any("dead_ratio" in configuration.values for configuration in configurations):  # not with probe=false
        measured.append("dead_ratio")
    header = (
        "configuration", heading("test_accuracy"), "n", *map(heading, measured), "seconds / epoch", "samples / s",
        "params",
    )  # fmt: skip
    rows = tuple(_result(configuration, measured) for configuration in configurations)
    note = "means over n seeds, ± half the 95 % interval; seconds per seed, with validation"
    if "dead_ratio" in measured:
        note += "; dead units after training"
    return TextTable("Results, best first", header, rows, _marks(comparison.ranking), note)


def _result(configuration: Configuration, measured: Sequence[str]) -> tuple[str, ...]:
    diverged = f" ({len(configuration.diverged)} diverged)" if configuration.diverged else ""
    accuracy = interval_cell("test_accuracy", configuration.estimate("test_accuracy"))
    return (
        configuration.name,
        accuracy if configuration.n else "diverged",
        f"{configuration.n}{diverged}",
        *(mean_cell(key, configuration.estimate(key)) for key in measured),
        seconds(configuration.seconds_per_epoch),
        thousands(configuration.samples_per_second),
        thousands(configuration.parameters),
    )


def _marks(ranking: Ranking) -> tuple[str, ...]:
    baseline = ranking.baseline.configuration if ranking.baseline else None
    return tuple("baseline" if row.configuration is baseline else row.verdict for row in ranking.rows)


def _differences(comparison: Comparison) -> TextTable:
    assert comparison.ranking.baseline is not None
    baseline = comparison.ranking.baseline.configuration
    rows = [row for row in comparison.ranking.rows if row.against is not None]
    return TextTable(
        f"Against {baseline.name}, paired seed by seed",
        ("configuration", "difference", "95 % interval", "p corrected", "effect size", "P(better)", "n"),
        tuple(_difference(row) for row in rows),
        tuple(row.verdict for row in rows),
        f"difference of test accuracy in points, its interval not corrected; {correction(comparison.ranking)}; "
        "effect size: Cohen's d_z; P(better): the probability that a random seed is better than a random seed of "
        "the baseline",
    )


def _difference(row: Row) -> tuple[str, ...]:
    test = row.against
    assert test is not None
    return (
        row.name,
        signed(test.difference.mean),
        interval(test.difference),
        test.note or p_value(row.p),
        signed(test.effect_size),
        "–" if test.improvement is None else f"{test.improvement:.2f}",
        str(test.n),
    )


def _tuning(tuned: Tuned) -> TextTable:
    rows = [
        (
            row.name,
            tuned.chosen[row.name],
            interval_cell("test_accuracy", row.configuration.estimate("test_accuracy")),
            signed(row.against.difference.mean) if row.against else "–",
            (row.against.note or p_value(row.p)) if row.against else "–",
            interval_cell("test_accuracy", tuned.untuned[row.name].estimate("test_accuracy")),
            str(len(tuned.settings)),
            mean_cell("val_accuracy", row.configuration.estimate("val_accuracy")),
        )
        for row in tuned.ranking.rows
    ]
    baseline = tuned.ranking.baseline
    header = (
        tuned.per, "best setting", heading("test_accuracy"), "difference", "p corrected",
        f"untuned {heading('test_accuracy')}", "settings tried", heading("val_accuracy"),
    )  # fmt: skip
    note = (
        f"each {tuned.per} at its best of the same {len(tuned.settings)} settings, chosen by validation accuracy; "
        f"untuned: test accuracy at the common setting {tuned.common}; "
        f"difference: tuned against tuned {baseline.configuration.name if baseline else '–'}; "
        f"{correction(tuned.ranking)} of this table"
    )
    return TextTable(f"Tuned per {tuned.per}, on equal terms", header, tuple(rows), _marks(tuned.ranking), note)


def _without_results(block: Block) -> TextTable:
    header = ("configuration", "seeds", "status", "folder")
    rows = tuple((name, seed_range(run.settings.seeds), state(run), str(run.folder)) for name, run in block.waiting)
    return TextTable("Without results", header, rows, text=True)


# ---------------------------------------------------------------- tidy data


def tidy(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row for each configuration, seed and metric.

    Keys that vary, and keys with another value than the default, have columns of their own. A seed that diverged has
    the metric `diverged` with the epoch. Accuracies are percentages, ratios 0 to 1.
    """
    columns: dict[str, list[object]] = {key: [] for key in ("block", "configuration", "id", "dataset", "epochs")}
    keys = list(dict.fromkeys(key for of in comparisons for key in (*of.block.varying, *of.block.unusual)))
    columns |= {key: [] for key in (*keys, "seed", "metric", "value")}
    for comparison in comparisons:
        for configuration in comparison.block.configurations:
            start = _settings_cells(comparison.block, configuration, keys)
            values: dict[str, Mapping[int, float]] = {**configuration.values}
            if configuration.diverged:
                values["diverged"] = configuration.diverged
            for metric, of_seeds in values.items():
                for seed, value in of_seeds.items():
                    for column, item in zip(columns.values(), (*start, seed, metric, value), strict=True):
                        column.append(_escape_formula(item) if isinstance(item, str) else item)
    return pd.DataFrame({_escape_formula(name): column for name, column in columns.items()})


def _settings_cells(block: Block, configuration: Configuration, keys: Sequence[str]) -> list[object]:
    settings = configuration.settings
    flat = settings.flat()
    values = [naming.shown(flat[key]) if isinstance(flat.get(key), list) else flat.get(key) for key in keys]
    return [block.title, configuration.name, settings.id, configuration.runs[0].dataset, settings.train.epochs, *values]


def _escape_formula(cell: str) -> str:
    """Text that a spreadsheet would take for a formula, with an apostrophe in front of it."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
