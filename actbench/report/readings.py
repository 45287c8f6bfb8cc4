"""What the probes left of a configuration: the records of all its runs, by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from actbench.errors import Problem, UserError
from actbench.report.configurations import Configuration
from actbench.store import reader
from actbench.store.reader import Record

AT_MOST = 20  # configurations whose files are read for one table or picture
Data = TypeVar("Data")


def by_seed(one: Configuration, kind: type[Record]) -> dict[int, list[Record]]:
    """The records of each seed that did not diverge, as they stand in the file; of one seed, the newest run's.

    Raises:
        UserError: a file cannot be read.
    """
    found: dict[int, list[Record]] = {}
    for run in one.runs:  # oldest first
        for seed in run.settings.seeds:
            found.pop(seed, None)
        for record in reader.table(run.folder, kind):
            if record.seed not in one.diverged:
                found.setdefault(record.seed, []).append(record)
    return dict(sorted(found.items()))


def readable(
    configurations: Iterable[Configuration], read: Callable[[Configuration], Data], problems: list[Problem]
) -> dict[str, Data]:
    """What was read of each configuration, by its name; files that cannot be read are added to `problems`."""
    found = {}
    for one in configurations:
        try:
            found[one.name] = read(one)
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    return found


def most_dead(configurations: Sequence[Configuration], at_most: int = AT_MOST) -> list[Configuration]:
    """Those with the largest share of dead units after training, in the order in which they came."""
    ordered = sorted(configurations, key=lambda one: -one.mean("dead_ratio"))[:at_most]
    return [one for one in configurations if one in ordered]


def of_which(shown: Sequence[Configuration], of: Sequence[Configuration]) -> str:
    """What `most_dead` took, in words; empty where it took all."""
    return f"the {len(shown)} of {len(of)} configurations with most dead units" if len(shown) < len(of) else ""
