"""`search.json` of a study: the trials of a search, and how each ended. It has validation accuracies alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actbench.errors import UserError
from actbench.files.atomic import write_text
from actbench.files.reading import MB, read_json
from actbench.store.plausible import all_printable, check_stays, reason

FILE = "search.json"
LARGEST = 64 * MB  # that is read: a hundred thousand trials
ENDED = ("completed", "pruned", "diverged", "failed")


@dataclass(frozen=True)
class Trial:
    """A trial of a search.

    Attributes:
        number: from 0, in the order in which they were begun.
        ended: one of `ENDED`.
        value: mean validation accuracy (%) of a trial that was completed, and when it was given up of one that was
            pruned; None of others.
        params: key -> value, of what was searched.
        folder: name of the run's folder; empty where none was made.
    """

    number: int
    ended: str
    value: float | None
    params: Mapping[str, Any]
    folder: str = ""


@dataclass(frozen=True)
class Search:
    """A search: the names of its sampler and pruner, how many trials there shall be, and those that have ended.

    `keys` are those that are searched.
    """

    sampler: str
    pruner: str
    n_trials: int
    keys: tuple[str, ...]
    trials: Sequence[Trial]


def write(study: Path, search: Search) -> None:
    text = json.dumps(asdict(search), indent=1, ensure_ascii=False)
    write_text(study / FILE, text + "\n")


def read(study: Path) -> Search | None:
    """The search of a study; None where there was none.

    Raises:
        UserError: its file cannot be read, or was not written by actbench.
    """
    path = study / FILE
    try:
        check_stays(path)
        return _checked(all_printable(read_json(path, LARGEST)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        how = "remove it: the comparison is made without the search; the same command writes it again"
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=how) from error


def _checked(content: Any) -> Search:
    trials = [Trial(**trial) for trial in content.pop("trials")]
    search = Search(**{**content, "keys": tuple(content["keys"]), "trials": trials})
    for trial in trials:
        if trial.ended not in ENDED:
            raise ValueError(f"no trial ends `{trial.ended}`")
        if not isinstance(trial.number, int) or not isinstance(trial.folder, str) or not isinstance(trial.params, dict):
            raise ValueError("its trials are not numbered, with values and a folder")
        if not {*trial.params} <= {*search.keys} or any(isinstance(one, (dict, list)) for one in trial.params.values()):
            raise ValueError("the values of a trial are not those of what was searched")
        if trial.value is not None and not (isinstance(trial.value, (int, float)) and math.isfinite(trial.value)):
            raise ValueError("the value of a trial is no number")
    if not all(isinstance(word, str) for word in (search.sampler, search.pruner, *search.keys)):
        raise ValueError("its names are not words")
    if isinstance(search.n_trials, bool) or not isinstance(search.n_trials, int):
        raise ValueError("`n_trials` is not a number")
    return search
