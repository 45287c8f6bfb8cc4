"""`summary.json`: the results of a run. It is written last, as the sign that everything else is there."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, get_args

from actbench.errors import UserError, printable
from actbench.files.atomic import write_text
from actbench.files.reading import MB, is_printable, parse_json, read_json, read_text
from actbench.measures import registry
from actbench.records import Estimate, RunSummary, Status
from actbench.settings import Settings
from actbench.store.plausible import AWAY, all_printable, check_stays, is_amount, lacking, reason

LARGEST = 32 * MB  # that is read: ten times what a large run leaves


def write_summary(folder: Path, summary: RunSummary) -> None:
    text = json.dumps(finite(summary.to_dict()), indent=2, ensure_ascii=False)
    write_text(folder / "summary.json", text + "\n")


def finite(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and value - value != 0 else value


def summary(folder: Path) -> RunSummary | None:
    """What `summary.json` says; None where there is none.

    Raises:
        UserError: it is damaged, was written by another version, or has been changed by hand.
    """
    path = f"{folder}/summary.json"
    try:
        check_stays(path)
        text = read_text(path, LARGEST)
        content = parse_json(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({reason(error)})", where=path, how=AWAY) from error
    wrong = lacking(content, RunSummary, folder)
    if wrong:
        raise UserError(wrong, where=path, how=AWAY)
    try:
        stored = RunSummary.from_dict(content if is_printable(text) else all_printable(content))
        wrong = _mistyped(stored) or _inconsistent(stored)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"is not a run's summary ({type(error).__name__}: {error})", where=path, how=AWAY) from error
    if wrong:
        raise UserError(f"{wrong}: it was not written by actbench like this", where=path, how=AWAY)
    return stored


def completed(folder: Path) -> RunSummary | None:
    """The summary of a run that is complete (or in which every seed diverged); None where there is still work to do."""
    stored = summary(folder)
    return stored if stored is not None and stored.status in ("completed", "diverged") else None


def lacks_int8(settings: Settings, stored: RunSummary) -> bool:
    """Whether a complete run shall be scored in INT8, and was not."""
    return settings.quantise == "int8" and stored.status == "completed" and "int8_affine_accuracy" not in stored.metrics


def status(folder: Path) -> str:
    """The status in a folder's `summary.json`, or an empty string."""
    try:
        return printable(str(read_json(folder / "summary.json", LARGEST)["status"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""


# ---------------------------------------------------------------- whether it can be


def _mistyped(stored: RunSummary) -> str:
    """What in a summary is of another kind than it should be; an empty string where all is well."""
    if stored.status not in get_args(Status):
        return f"there is no status `{stored.status}`"
    for name in [field.name for field in fields(stored) if field.type == "str"]:
        if not isinstance(getattr(stored, name), str):
            return f"`{name}` is not a word"
    amounts = {"epochs_done": stored.epochs_done, "parameters": stored.parameters, **stored.seconds}
    for name, value in {**amounts, "samples_per_second": stored.samples_per_second}.items():
        if not is_amount(value):
            return f"`{name}` is not a number of 0 or more"
    if not {"train", "eval", "total"} <= stored.seconds.keys():
        return "`seconds` has no `train`, `eval` and `total`"
    words = [word for f in stored.findings or () for word in (f.code, f.symptom, f.evidence, f.cause, *f.remedies)]
    if not all(isinstance(word, str) for word in words):
        return "`findings` are not words"
    if not all(isinstance(seed, int) and is_amount(epoch) for seed, epoch in stored.diverged.items()):
        return "`diverged` does not map seeds to epochs"
    return ""


def _inconsistent(stored: RunSummary) -> str:
    """What in a summary contradicts itself; an empty string where all is well."""
    if len(set(stored.seeds)) != len(stored.seeds) or not all(
        is_amount(s) and isinstance(s, int) for s in stored.seeds
    ):
        return "`seeds` is not a list of different numbers"
    for name, metric in stored.metrics.items():
        values = [math.nan if value is None else float(value) for value in metric.values]
        again = Estimate.of(values)
        if len(values) != len(stored.seeds):
            return f"`{name}` has {len(values)} values for {len(stored.seeds)} seeds"
        if again.n != metric.n or not _close(again.mean, metric.mean):
            return f"the mean of `{name}` ({metric.mean}) is not that of its values ({again.mean})"
        low, high = (0, 100) if name in _percentages() else (-math.inf, math.inf)
        if any(not low <= value <= high for value in values if math.isfinite(value)):
            return f"`{name}` has a value outside {low} to {high}"
    if stored.status == "completed" and "test_accuracy" not in stored.metrics:
        return "it is completed and has no `test_accuracy`"
    return ""


@cache
def _percentages() -> frozenset[str]:
    return frozenset(quantity.summary for quantity in registry.declared() if quantity.unit == "%")


def _close(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
