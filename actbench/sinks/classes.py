"""The table of classes at the end of a run: how many test samples of each there are, and how many of them are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from actbench.measures.classes import ClassRecord
from actbench.measures.quantities import results_of
from actbench.records import Estimate
from actbench.store import reader

_SHOWN = 20  # classes; of more, those with the lowest accuracy


def class_table(folder: Path, diverged: Sequence[int] = ()) -> Table | None:
    """The accuracy of each class, lowest first; None where it was not measured."""
    of_classes: dict[str, list[ClassRecord]] = {}
    for row in reader.table(folder, ClassRecord):
        if row.seed not in diverged:
            of_classes.setdefault(row.label, []).append(row)
    if not of_classes:
        return None
    samples, accuracy = results_of(ClassRecord)
    means = {label: Estimate.of([row.class_accuracy for row in rows]) for label, rows in of_classes.items()}
    ordered = sorted(means, key=lambda label: 101.0 if means[label].mean is None else float(means[label].mean or 0.0))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("class")
    for quantity in (samples, accuracy):
        table.add_column(quantity.heading, justify="right")
    for label in ordered[:_SHOWN]:
        rows = of_classes[label]
        table.add_row(Text(label), str(rows[0].samples), means[label].plus_minus(accuracy.digits))
    if len(ordered) > _SHOWN:
        table.caption = f"the {_SHOWN} lowest of {len(ordered)}; all are in classes.csv"
    return table
