"""`Run`: the results of one configuration with its seeds, read from the files that the run has left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench import naming
from actbench.api import asking, html
from actbench.custom.conf_files import near
from actbench.errors import UserError
from actbench.measures import registry
from actbench.records import Estimate, Finding, RunSummary
from actbench.report import runs as stored
from actbench.settings import Settings
from actbench.store import own_tables, reader

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """The results of one configuration: tables, metrics and findings. `actbench.run` and `actbench.load` return it.

    Accuracies are percentages, ratios 0 to 1, as in the files; `actbench list measures` defines each column.

    Attributes:
        folder: of the run; of several (further seeds of one configuration) the first one's.
        settings: what was asked for.
        status: `completed`, or `diverged` where every seed did.
    """

    def __init__(self, parts: Sequence[stored.Run]) -> None:
        there = [replace(part, folder=part.folder.absolute()) for part in parts]  # wherever the program goes
        self._parts = sorted(there, key=lambda part: part.settings.seed)
        first = self._parts[0]
        self.folder: Path = first.folder
        self.settings: Settings = first.settings
        statuses = [summary.status for summary in self.summaries]
        self.status: str = "completed" if "completed" in statuses else statuses[0]

    @property
    def seeds(self) -> list[int]:
        """The seeds, those that diverged included."""
        return sorted(seed for part in self._parts for seed in part.settings.seeds)

    @property
    def summaries(self) -> list[RunSummary]:
        """What is in the `summary.json` of each of its folders."""
        return [part.summary for part in self._parts if part.summary is not None]

    @property
    def findings(self) -> list[Finding]:
        """What went wrong inside, each with its evidence, the likely cause and remedies."""
        return [finding for summary in self.summaries for finding in summary.findings or ()]

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row for each seed and epoch: learning rate, losses, accuracies, gradient norm."""
        return self.table("history")

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row for each seed, epoch (0: before training) and layer: dead, dormant, saturated units and more."""
        return self.table("layers")

    @cached_property
    def units(self) -> pd.DataFrame:
        """A row for each birth, death and revival of a unit."""
        return self.table("units")

    @cached_property
    def by_seed(self) -> pd.DataFrame:
        """The metrics after training: a row for each seed, NaN where it diverged."""
        import pandas as pd

        rows = {
            seed: {name: metric.values[place] for name, metric in summary.metrics.items()}
            for summary in self.summaries for place, seed in enumerate(summary.seeds)
        }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index", dtype=float).rename_axis("seed").sort_index()

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The metrics over seeds: `mean`, `std`, `low` and `high` (ends of the mean's 95 % interval), and `n`."""
        import pandas as pd

        rows = {name: _estimated(Estimate.of([*map(float, values)])) for name, values in self.by_seed.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric").astype({"n": int})

    def table(self, name: str) -> pd.DataFrame:
        """The rows of one of its CSV files, of all seeds; without rows where it has no such file.

        Args:
            name: of the file without `.csv`, such as `looks`, `definitions`, `shapes`, or a measurement of one's own.

        Raises:
            UserError: there is no such table, or the file cannot be read.
        """
        import pandas as pd

        kinds: dict[str, Any] = {**registry.tables(), **own_tables.read(self.folder)}
        paths = [part.folder / f"{name}.csv" for part in self._parts]
        if name not in kinds and not any(path.exists() for path in paths):
            there = sorted(path.stem for path in self.folder.glob("*.csv"))
            raise UserError("there is no such table", where=name, how=f"there are {', '.join(there)}")
        if name not in kinds:
            return pd.concat([pd.read_csv(path) for path in paths if path.exists()], ignore_index=True)
        rows = [row for part in self._parts for row in reader.table(part.folder, kinds[name])]
        return pd.DataFrame(rows, columns=[column.name for column in fields(kinds[name])])

    @property
    def name(self) -> str:
        """Its activation."""
        return naming.activations(self.settings.flat())

    def __repr__(self) -> str:
        accuracy = (
            Estimate.of([*map(float, self.by_seed["test_accuracy"])]) if "test_accuracy" in self.by_seed else None
        )
        result = f"test accuracy {accuracy.plus_minus()} %" if accuracy else self.status
        findings = ", ".join(finding.code or finding.symptom for finding in self.findings)
        found = f", {findings}" if findings else ""
        return f"<Run {self.name}: {result}, n = {len(self.seeds)}{found}; {near(self.folder)}>"

    def _repr_html_(self) -> str:
        return html.of_run(self)


def _estimated(of: Estimate) -> dict[str, Any]:
    low, high = of.ci95 or (None, None)
    return {"mean": of.mean, "std": of.std, "low": low, "high": high, "n": of.n}


def of_folders(folders: Sequence[Path]) -> Run:
    """The run in some folders, all of one configuration.

    Raises:
        UserError: one cannot be read, or has no results: the run was interrupted, or failed.
    """
    with asking.errors_in_python():
        found = stored.find(folders)
    if found.problems:
        raise UserError.of(map(asking.problem_in_python, found.problems))
    for run in found.runs:
        if not run.complete:
            how = "the same call, or the same command, goes on with it"
            raise UserError(f"has no results: {stored.state(run)}", where=str(run.folder), how=how)
    return Run(found.runs)
