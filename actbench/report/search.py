"""The search that a study's runs come from: its trials, what mattered, and each activation at its best.

Everything is read from `search.json` and the runs beside it, never from the database. Settings are chosen by validation
accuracy; the test accuracy of what was chosen is shown beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actbench import naming
from actbench.errors import Problem, UserError
from actbench.records import decimal
from actbench.report.columns import heading, interval_cell
from actbench.report.configurations import Block, Configuration
from actbench.report.formatting import count
from actbench.report.importance import LEAST, importance
from actbench.report.more_command import study_of
from actbench.report.text_table import TextTable
from actbench.store import search as stored
from actbench.store.search import Trial

SECTION = "search"
ACTIVATION = "activation"
_ROWS = 300  # trials in the table


@dataclass(frozen=True)
class SearchOfStudy:
    """A search whose runs are in a block, and the configurations of its trials by the names of their folders."""

    study: Path
    search: stored.Search
    configurations: Mapping[str, Configuration]

    @property
    def trials(self) -> Sequence[Trial]:
        return sorted(self.search.trials, key=lambda trial: trial.number)


def searches(block: Block, problems: list[Problem]) -> list[SearchOfStudy]:
    """The searches that the runs of a block come from; files that cannot be read are added to `problems`."""
    found = []
    for study in sorted({study_of(run.folder) for one in block.configurations for run in one.runs}):
        try:
            search = stored.read(study)
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
            continue
        if search is not None:
            own = [(run, one) for one in block.configurations for run in one.runs if study_of(run.folder) == study]
            configurations = {run.folder.name: configuration for run, configuration in own}
            if any(trial.folder in configurations for trial in search.trials):
                found.append(SearchOfStudy(study, search, configurations))
    return found


def search_tables(block: Block, problems: list[Problem]) -> list[TextTable]:
    """Each activation at its best, what mattered, and the trials; nothing where there was no search."""
    tables = []
    for of in searches(block, problems):
        tables += [_equal_trials(of), _importance(of), _trials(of)]
    return [table for table in tables if table is not None]


def setting(params: Mapping[str, Any], without: str = "") -> str:
    """`relu lr=0.00312`: what was tried, in short."""
    words = []
    for key, value in params.items():
        if key != without:
            shown = decimal(value, None) if isinstance(value, float) else naming.shown(value)
            words.append(shown if key == ACTIVATION else f"{key.rpartition('.')[2]}={shown}")
    return " ".join(words)


# ---------------------------------------------------------------- each activation at its best


def at_equal_trials(trials: Sequence[Trial], key: str) -> tuple[int, dict[str, Trial | None]]:
    """The best of the first k trials of each value of `key`, where k is the number that each of them has.

    A sampler tries more of what was good so far, so that it is also tuned better: equal numbers are equal terms. Trials
    that were given up or diverged count, those that failed do not.

    Returns:
        k, and value -> its best completed trial among these; None where none was completed.
    """
    tried: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.ended != "failed" and key in trial.params:
            tried.setdefault(str(trial.params[key]), []).append(trial)
    k = min(map(len, tried.values()), default=0)
    return k, {value: best(of[:k]) for value, of in tried.items()}


def best(trials: Sequence[Trial]) -> Trial | None:
    """That with the highest validation accuracy, of those that were completed; the first of several."""
    completed = [trial for trial in trials if trial.ended == "completed" and trial.value is not None]
    return max(completed, key=lambda trial: trial.value or -math.inf, default=None)


def _equal_trials(of: SearchOfStudy) -> TextTable | None:
    if ACTIVATION not in of.search.keys:
        return None
    k, chosen = at_equal_trials(of.trials, ACTIVATION)
    if len(chosen) < 2:
        return None
    ranked = sorted(chosen, key=lambda value: -(chosen[value].value or 0.0) if chosen[value] else 1.0)  # type: ignore[union-attr]
    rows = []
    for value in ranked:
        own = [trial for trial in of.trials if str(trial.params.get(ACTIVATION)) == value and trial.ended != "failed"]
        rows.append((value, *_cells(of, chosen[value]), str(len(own)), _accuracy(best(own)), _setting(best(own))))
    header = (
        ACTIVATION, f"best of {k}", heading("val_accuracy"), heading("test_accuracy"), "trials in all",
        "best of all, val. %", "at",
    )  # fmt: skip
    note = (
        f"each activation at its best among its first {count(k, 'trial')}, as many as each of them has: the sampler "
        "tried more of what was good so far. Chosen by validation accuracy, of which the highest of several is too "
        "high by luck; ±: 95 % interval over seeds"
    )
    title = f"Each activation at its best of {count(k, 'trial')}"
    gist = f"{ranked[0]} is first, at {_setting(chosen[ranked[0]])}"
    return TextTable(title, header, tuple(rows), note=note, section=SECTION, gist=gist)


def _cells(of: SearchOfStudy, trial: Trial | None) -> tuple[str, str, str]:
    configuration = of.configurations.get(trial.folder) if trial else None
    tested = interval_cell("test_accuracy", configuration.estimate("test_accuracy")) if configuration else "–"
    return _setting(trial), _accuracy(trial), tested


def _setting(trial: Trial | None) -> str:
    return setting(trial.params, without=ACTIVATION) or "–" if trial else "no result"


def _accuracy(trial: Trial | None) -> str:
    return decimal(trial.value, 2) if trial and trial.value is not None else "–"


# ---------------------------------------------------------------- what mattered


def _importance(of: SearchOfStudy) -> TextTable | None:
    completed = [trial for trial in of.trials if trial.ended == "completed" and trial.value is not None]
    if len(of.search.keys) < 2 or len(completed) < LEAST:
        return None
    shares = importance([trial.params for trial in completed], [trial.value or 0.0 for trial in completed])
    if not shares:
        return None
    ordered = sorted(shares, key=lambda key: -shares[key])
    rows = tuple((key, f"{100 * shares[key]:.0f}") for key in ordered)
    note = (
        f"share of the differences in validation accuracy between {len(completed)} completed trials that a random "
        "forest ascribes to each key (mean decrease in impurity): a hint, for the ranges that were searched"
    )
    gist = f"{ordered[0]} made {100 * shares[ordered[0]]:.0f} % of the difference"
    return TextTable("Importance of keys", ("key", "share %"), rows, note=note, section=SECTION, gist=gist)


# ---------------------------------------------------------------- the trials


def _trials(of: SearchOfStudy) -> TextTable:
    trials, record, rows = of.trials, -math.inf, []
    for trial in trials:
        better = trial.ended == "completed" and (trial.value or 0.0) > record
        record = (trial.value or 0.0) if better else record
        so_far = decimal(record, 2) if math.isfinite(record) else "–"
        rows.append((str(trial.number), setting(trial.params), trial.ended, _accuracy(trial), so_far, trial.folder))
    counts = {kind: sum(trial.ended == kind for trial in trials) for kind in stored.ENDED}
    said = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)
    pruner = "" if of.search.pruner == "none" else f", given up by {of.search.pruner}"
    note = f"{of.search.sampler}{pruner}; a trial that was pruned has the accuracy after its last epoch"
    if len(rows) > _ROWS:
        note += f"; the last {_ROWS} of {len(rows):,} trials, {of.study / stored.FILE} has all"
    header = ("trial", "setting", "ended", heading("val_accuracy"), "best so far", "folder")
    title = f"Trials of the search in {of.study.name}: {said}"
    gist = f"best val. acc. {decimal(record, 2)} %" if math.isfinite(record) else "none has a result"
    return TextTable(title, header, tuple(rows[-_ROWS:]), note=note, text=True, section=SECTION, gist=gist)
