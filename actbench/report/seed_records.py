"""The records that the runs of a configuration left in their CSV files, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from actbench.errors import Problem, UserError
from actbench.report.configurations import Configuration
from actbench.store import reader
from actbench.store.reader import Record

AT_MOST = 24  # configurations whose files are read for one table or plot
Data = TypeVar("Data")


def records_by_seed(configuration: Configuration, kind: type[Record]) -> dict[int, list[Record]]:
    """The records of each seed that did not diverge, in the order of the file; where two runs have a seed, the newer's.

    Raises:
        UserError: a file cannot be read.
    """
    records: dict[int, list[Record]] = {}
    for run in configuration.runs:  # oldest first
        for seed in run.settings.seeds if records else ():
            records.pop(seed, None)
        for record in reader.table(run.folder, kind):
            if record.seed not in configuration.diverged:
                records.setdefault(record.seed, []).append(record)
    return dict(sorted(records.items()))


def read_each(
    configurations: Iterable[Configuration], read: Callable[[Configuration], Data], problems: list[Problem]
) -> dict[str, Data]:
    """What `read` returns for each configuration, by its name; files that cannot be read are added to `problems`."""
    data = {}
    for configuration in configurations:
        try:
            data[configuration.name] = read(configuration)
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return data


def most_dead(configurations: Sequence[Configuration], at_most: int = AT_MOST) -> list[Configuration]:
    """Those with the largest share of dead units after training, in the order in which they came."""
    ordered = sorted(configurations, key=lambda configuration: -configuration.mean("dead_ratio"))[:at_most]
    chosen = {id(configuration) for configuration in ordered}
    return [configuration for configuration in configurations if id(configuration) in chosen]


def selection_note(selected: Sequence[Configuration], configurations: Sequence[Configuration]) -> str:
    """What `most_dead` selected, in words; empty where it selected all."""
    if len(selected) == len(configurations):
        return ""
    return f"the {len(selected)} of {len(configurations)} configurations with most dead units"
