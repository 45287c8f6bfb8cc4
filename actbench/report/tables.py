"""The comparison as tables of text, for the terminal, Markdown and HTML alike; and as tidy data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from actbench import naming
from actbench.report.columns import heading, interval_cell, mean_cell
from actbench.report.comparison import Comparison
from actbench.report.configurations import Block, Configuration
from actbench.report.cost import Cost, cost_table, costs
from actbench.report.formatting import count, ends, points, seed_range, signed, thousands
from actbench.report.runs import state
from actbench.report.text_table import Rows, TextTable
from actbench.report.tuning import Tuned
from actbench.report.verdict import Decision, Verdict

if TYPE_CHECKING:
    import pandas as pd


def comparison_tables(comparison: Comparison) -> list[TextTable]:
    """The tables of a block: results with the verdict, tuning, diagnostics, cost, and the runs without results."""
    tables = []
    of = costs(comparison.block.configurations)
    if comparison.block.configurations:
        tables.append(_results(comparison, of))
    if comparison.tuned:
        tables.append(_tuning(comparison.tuned))
    tables += comparison.diagnostics.tables()
    if comparison.block.configurations:
        tables.append(cost_table(comparison.block, of))
    if comparison.block.waiting:
        tables.append(_without_results(comparison.block))
    return tables


def _results(comparison: Comparison, of: Sequence[Cost]) -> TextTable:
    configurations, verdict = comparison.block.configurations, comparison.verdict
    # What is measured has a key by which its definition can be found: `actbench.measures`.
    measured = ["val_accuracy", "test_loss"]
    if any("balanced_accuracy" in configuration.values for configuration in configurations):  # classes are uneven
        measured.insert(0, "balanced_accuracy")
    if any("dead_ratio" in configuration.values for configuration in configurations):  # not with probe=false
        measured.append("dead_ratio")
    header = (
        "configuration", heading("test_accuracy"), *_verdict_header(verdict), "n", *map(heading, measured),
        "s / epoch", "params",
    )  # fmt: skip
    rows = Rows(lambda one, cost: _result(one, verdict, measured, cost), configurations, of)
    note = f"the best mean comes first; means over n seeds; ±: 95 % interval of the mean alone{_verdict_note(verdict)}"
    note += "; s / epoch: per seed, with validation, median (middle half) of the epochs"
    if "dead_ratio" in measured:
        note += "; dead units: after training"
    marks = _marks(configurations, verdict)
    important = (*header[:2], *_verdict_header(verdict), "n", heading("dead_ratio"))
    return TextTable("Results", header, rows, marks, note, important=important)


def _result(configuration: Configuration, verdict: Verdict, measured: Sequence[str], cost: Cost) -> tuple[str, ...]:
    diverged = f" ({len(configuration.diverged)} diverged)" if configuration.diverged else ""
    accuracy = interval_cell("test_accuracy", configuration.estimate("test_accuracy"))
    return (
        configuration.name,
        accuracy if configuration.n else "diverged",
        *_verdict_cells(verdict, verdict.of(configuration)),
        f"{configuration.n}{diverged}",
        *(mean_cell(key, configuration.estimate(key)) for key in measured),
        cost.cell,
        thousands(configuration.parameters),
    )


# ---------------------------------------------------------------- the verdict in columns


def _verdict_header(verdict: Verdict) -> tuple[str, ...]:
    """None where there is only one."""
    if len(verdict.decisions) < 2:
        return ()
    against = (f"from {verdict.baseline}", "interval") if verdict.baseline else ()
    return ("verdict", "difference", "interval", *against)


def _verdict_cells(verdict: Verdict, decision: Decision | None) -> tuple[str, ...]:
    if len(verdict.decisions) < 2:
        return ()
    empty = ("–",) * (len(_verdict_header(verdict)) - 1)
    if decision is None:
        return ("–", *empty)
    if decision.low is None or decision.high is None:
        return (decision.word, *empty)
    against = decision.against_baseline
    cells = (signed(against.difference), ends(against.low, against.high)) if against else ("–", "–")
    return (
        decision.word, signed(decision.difference), ends(decision.low, decision.high),
        *(cells if verdict.baseline else ()),
    )  # fmt: skip


def _verdict_note(verdict: Verdict) -> str:
    if not verdict.members or verdict.differences is None:
        return ""
    about = "new test images" if verdict.test_set == "new" else "these test images"
    return (
        f"; difference: from the best of the others, in points, for new seeds and {about}, the intervals together with "
        f"{100 * (1 - verdict.level):.3g} % confidence; as good: within {points(verdict.margin)}"
    )


def _marks(configurations: Sequence[Configuration], verdict: Verdict) -> tuple[str, ...]:
    decisions = [verdict.of(configuration) for configuration in configurations]
    if len(verdict.decisions) < 2:
        return ("",) * len(decisions)
    return tuple(decision.word.replace(" ", "-") if decision else "" for decision in decisions)


def _tuning(tuned: Tuned) -> TextTable:
    configurations = [decision.configuration for decision in tuned.verdict.decisions]
    rows = [
        (
            one.name,
            tuned.chosen[one.name],
            interval_cell("test_accuracy", one.estimate("test_accuracy")) if one.n else "diverged",
            *_verdict_cells(tuned.verdict, tuned.verdict.of(one)),
            interval_cell("test_accuracy", tuned.untuned[one.name].estimate("test_accuracy")),
            str(len(tuned.settings)),
            mean_cell("val_accuracy", one.estimate("val_accuracy")),
        )
        for one in configurations
    ]
    header = (
        tuned.per, "best setting", heading("test_accuracy"), *_verdict_header(tuned.verdict),
        f"untuned {heading('test_accuracy')}", "settings tried", heading("val_accuracy"),
    )  # fmt: skip
    note = (
        f"each {tuned.per} at its best of the same {len(tuned.settings)} settings, chosen by validation accuracy; "
        f"untuned: test accuracy at the common setting {tuned.common}{_verdict_note(tuned.verdict)}"
    )
    marks = _marks(configurations, tuned.verdict)
    title = f"Tuned per {tuned.per}, on equal terms"
    gist = f"{configurations[0].name} is first, at {tuned.chosen[configurations[0].name]}" if configurations else ""
    return TextTable(title, header, tuple(rows), marks, note, section="tuning", gist=gist)


def _without_results(block: Block) -> TextTable:
    header = ("configuration", "seeds", "status", "folder")
    rows = tuple((name, seed_range(run.settings.seeds), state(run), str(run.folder)) for name, run in block.waiting)
    others = f" and {count(len(rows) - 1, 'more run')}" if len(rows) > 1 else ""
    gist = f"{rows[0][0]} ({rows[0][2]}){others}"
    return TextTable("Without results", header, rows, text=True, section="unfinished", gist=gist)


# ---------------------------------------------------------------- tidy data


def tidy(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row for each configuration, seed and metric.

    Keys that vary, and keys with another value than the default, have columns of their own. A seed that diverged has
    the metric `diverged` with the epoch. Accuracies are percentages, ratios 0 to 1.
    """
    import pandas as pd  # which a table in a terminal has no use for

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
