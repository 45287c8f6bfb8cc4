"""The table of the accuracy of each class: the classes that do worst, one column for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actbench.errors import Problem
from actbench.measures.classes import ClassRecord
from actbench.records import Estimate
from actbench.report.configurations import Configuration
from actbench.report.seed_records import read_each, records_by_seed
from actbench.report.text_table import TextTable

AT_MOST = 8  # classes; `classes.csv` has all of them

BySeed = Mapping[int, Sequence[ClassRecord]]


def class_table(configurations: Sequence[Configuration], problems: list[Problem]) -> TextTable | None:
    """The table, the worst class first; None where classes are even and have no names.

    Files that cannot be read are added to `problems`.
    """
    read = read_each(configurations, lambda configuration: records_by_seed(configuration, ClassRecord), problems)
    present = {name: by_seed for name, by_seed in read.items() if by_seed}
    if not present:
        return None
    everything = [record for by_seed in present.values() for records in by_seed.values() for record in records]
    samples = {record.label: record.samples for record in everything if record.samples}
    worst = sorted(samples, key=lambda label: _mean([r.class_accuracy for r in everything if r.label == label]))
    shown = worst[:AT_MOST]
    rows = tuple((name, *(_cell(by_seed, label) for label in shown)) for name, by_seed in present.items())
    note = "accuracy % of each class over the test set, after training, the worst class first, and its test samples"
    note += "; mean over seeds, ± half the 95 % interval"
    if len(worst) > AT_MOST:
        note += (
            f"; {len(worst) - AT_MOST} more classes do better: classes.csv in the folder of each run has all of them"
        )
    header = ("configuration", *(f"{label} ({samples[label]})" for label in shown))
    return TextTable("accuracy per class", header, rows, note=note, section="measured")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _cell(by_seed: BySeed, label: str) -> str:
    of_seeds = [r.class_accuracy for records in by_seed.values() for r in records if r.label == label and r.samples]
    return Estimate.of(of_seeds).plus_minus(1)
