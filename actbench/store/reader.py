"""What earlier processes left in a run's folder, read without torch."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from actbench import __version__
from actbench.errors import UserError, printable
from actbench.files.atomic import remove_strays
from actbench.files.reading import MB, NotReadable, leaves, read_json, read_yaml, rows
from actbench.records import (
    EVENTS,
    DefinitionRecord,
    EpochRecord,
    Estimate,
    LayerRecord,
    LookRecord,
    QuantisedRecord,
    RunSummary,
    ShapeRecord,
    Status,
    UnitEvent,
)
from actbench.settings import GROUPS, Settings


def completed(folder: Path) -> RunSummary | None:
    """The summary of a run that is complete (or in which every seed diverged); None where there is still work to do."""
    found = summary(folder)
    return found if found is not None and found.status in ("completed", "diverged") else None


def lacks_int8(settings: Settings, found: RunSummary) -> bool:
    """Whether a complete run shall be scored in INT8, and was not."""
    return settings.quantise == "int8" and found.status == "completed" and "int8_affine_accuracy" not in found.metrics


def summary(folder: Path) -> RunSummary | None:
    """What `summary.json` says; None where there is none.

    Raises:
        UserError: it is damaged, was written by another version, or has been changed by hand.
    """
    path = folder / "summary.json"
    try:
        check_stays(path)
        content = read_json(path, SUMMARY)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({_reason(error)})", where=str(path), how=_AWAY) from error
    wrong = _missing(content, RunSummary, folder)
    if wrong:
        raise UserError(wrong, where=str(path), how=_AWAY)
    try:
        found = RunSummary.from_dict(_printable(content))
        wrong = _mistyped(found) or _inconsistent(found)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"is not a run's summary ({type(error).__name__}: {error})", where=str(path), how=_AWAY
        ) from error
    if wrong:
        raise UserError(f"{wrong}: it was not written by actbench like this", where=str(path), how=_AWAY)
    return found


# What is read of each file at most, in bytes: ten times what a large run leaves.
SUMMARY = 32 * MB
TABLE = 500 * MB
LAYERS = 20_000  # different names in one table

_AWAY = "train the run again under another study=NAME, or move the folder away"


def _missing(content: Any, kind: type, folder: Path, *, beside: Sequence[str] = ()) -> str:
    """What a file of another version lacks, or has beyond; an empty string where it is ours.

    A field with a default may be missing: earlier versions did not write it.
    """
    if not isinstance(content, dict):
        return "does not hold names and values"
    needed = [*beside, *(field.name for field in fields(kind) if field.default is MISSING)]
    known = [*beside, *(field.name for field in fields(kind))]
    lacking = [key for key in needed if key not in content]
    beyond = [key for key in content if key not in known]
    if not lacking and not beyond:
        return ""
    what = f"has no `{lacking[0]}`" if lacking else f"has a `{beyond[0]}` that is not known here"
    theirs = _version(folder)
    return f"{what}; it was written by actbench {theirs}" if theirs not in ("", __version__) else what


def _reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()))


def check_stays(path: Path) -> None:
    """Raises where a file of a run's folder is a link that leads out of it."""
    if path.is_symlink() and leaves(path, path.parent):
        raise NotReadable("it is a link that leads out of the run's folder")


def _printable(content: Any) -> Any:
    """Stored words without what a terminal would obey: a run's reason may quote whatever an exception said."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, dict):
        return {_printable(key): _printable(value) for key, value in content.items()}
    return [*map(_printable, content)] if isinstance(content, list) else content


def environment(folder: Path) -> dict[str, Any]:
    """What `environment.json` says; empty where it cannot be read."""
    path = folder / "environment.json"
    try:
        check_stays(path)
        content = _printable(read_json(path))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _version(folder: Path) -> str:
    """The actbench that trained a run, by its `environment.json`."""
    packages = environment(folder).get("packages")
    return str(packages.get("actbench", "")) if isinstance(packages, dict) else ""


def _mistyped(found: RunSummary) -> str:
    """What in a summary is of another kind than it should be; an empty string where all is well."""
    if found.status not in get_args(Status):
        return f"there is no status `{found.status}`"
    for name in [field.name for field in fields(found) if field.type == "str"]:
        if not isinstance(getattr(found, name), str):
            return f"`{name}` is not a word"
    amounts = {"epochs_done": found.epochs_done, "parameters": found.parameters, **found.seconds}
    for name, value in {**amounts, "samples_per_second": found.samples_per_second}.items():
        if not _is_amount(value):
            return f"`{name}` is not a number of 0 or more"
    if not {"train", "eval", "total"} <= found.seconds.keys():
        return "`seconds` has no `train`, `eval` and `total`"
    words = [word for f in found.findings or () for word in (f.code, f.symptom, f.evidence, f.cause, *f.remedies)]
    if not all(isinstance(word, str) for word in words):
        return "`findings` are not words"
    if not all(isinstance(seed, int) and _is_amount(epoch) for seed, epoch in found.diverged.items()):
        return "`diverged` does not map seeds to epochs"
    return ""


def _inconsistent(found: RunSummary) -> str:
    """What in a summary contradicts itself; an empty string where all is well."""
    if len(set(found.seeds)) != len(found.seeds) or not all(_is_amount(s) and isinstance(s, int) for s in found.seeds):
        return "`seeds` is not a list of different numbers"
    for name, metric in found.metrics.items():
        values = [math.nan if value is None else float(value) for value in metric.values]
        again = Estimate.of(values)
        if len(values) != len(found.seeds):
            return f"`{name}` has {len(values)} values for {len(found.seeds)} seeds"
        if again.n != metric.n or not _close(again.mean, metric.mean):
            return f"the mean of `{name}` ({metric.mean}) is not that of its values ({again.mean})"
        low, high = (0, 100) if name.endswith("_accuracy") else (-math.inf, math.inf)
        if any(not low <= value <= high for value in values if math.isfinite(value)):
            return f"`{name}` has a value outside {low} to {high}"
    if found.status == "completed" and "test_accuracy" not in found.metrics:
        return "it is completed and has no `test_accuracy`"
    return ""


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _MOST


_MOST = 1e18  # no count and no time is as much; what is above may not even be a floating-point number


def _close(a: float | None, b: float | None) -> bool:
    return a is b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def settings_of(folder: Path) -> Settings:
    """What `settings.yaml` says.

    Raises:
        UserError: it is missing, damaged, of another version, or has been changed by hand.
    """
    path = folder / "settings.yaml"
    try:
        check_stays(path)
        content = read_yaml(path)
        wrong = _missing(content, Settings, folder, beside=["id"])
        if wrong:
            raise UserError(wrong, where=str(path), how=_AWAY)
        found = Settings.from_dict(content)
        _check_types(found)
        seeds, again = found.seeds, found.id
    except FileNotFoundError as error:
        raise UserError("is missing", where=str(path), how=_AWAY) from error
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"cannot be read ({_reason(error)})", where=str(path), how=_AWAY) from error
    if again != content["id"] or not seeds:
        raise UserError(
            f"its id {content['id']} is not that of its content ({again}): it was changed by hand",
            where=str(path),
            how=_AWAY,
        )
    return found


def _check_types(settings: Settings) -> None:
    """Raises a TypeError where a value is of another kind than `Settings` says."""
    for group in GROUPS:
        choice = getattr(settings, group)
        if not (isinstance(choice.name, str) and isinstance(choice.params, dict)):
            raise TypeError(f"`{group}` is not a choice")
        if not all(word is None or isinstance(word, str) for word in (choice.target, choice.content)):
            raise TypeError(f"`{group}` has no `target`")
    if any(printable(word) != word for word in _words(asdict(settings))):
        raise TypeError("it has characters in it that a terminal would obey")
    train = settings.train
    for name, value in {
        "seed": settings.seed, "num_seeds": settings.num_seeds, "epochs": train.epochs, "batch_size": train.batch_size
    }.items():  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise TypeError(f"`{name}` is not a whole number")
    if settings.num_seeds > _SEEDS:
        raise TypeError(f"`num_seeds` is more than {_SEEDS:,}")
    if not (_is_amount(settings.dropout) and _is_amount(settings.split) and isinstance(settings.study, str)):
        raise TypeError("`dropout`, `split` or `study` is not what it should be")


_SEEDS = 100_000  # of one run; they are listed one by one


def _words(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from _words(value)
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from _words(item)


def links_out(folder: Path) -> Iterator[Path]:
    """The links by which something that is written into a run's folder would be written elsewhere.

    The study's folder may be a stranger's too; that of all studies is the user's to put where they like.
    """
    for place in (folder.parent, folder):
        if place.is_symlink():
            yield place
            return
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(at, name)
            if path.is_symlink() and leaves(path, folder):
                yield path


def check_owner(folder: Path, settings: Settings) -> None:
    """Nothing is written into a folder that holds something else.

    Raises:
        UserError: the folder belongs to another configuration or other seeds, or is a file.
    """
    path = folder / "settings.yaml"
    for link in links_out(folder):
        raise UserError(
            "is a link that leads out of the run's folder: nothing is written through it",
            where=str(link),
            how="remove it, or another study=NAME or output_dir",
        )
    if folder.exists() and not folder.is_dir():
        raise UserError("is a file", where=str(folder), how="another study=NAME or output_dir")
    if not path.exists():
        foreign = sorted(p.name for p in folder.glob("*") if not p.name.startswith(".")) if folder.exists() else []
        if foreign:
            raise UserError(
                f"holds {foreign[0]} and no settings.yaml: it is not a run's folder",
                where=str(folder),
                how="another study=NAME or output_dir",
            )
        return
    owner = settings_of(folder)
    theirs = (owner.id, owner.dataset.name, owner.seed, owner.num_seeds)
    ours = (settings.id, settings.dataset.name, settings.seed, settings.num_seeds)
    if theirs != ours:
        raise UserError(
            f"holds another run: {_described(owner.activation.name, *theirs)}; "
            f"this one is {_described(settings.activation.name, *ours)}",
            where=str(folder),
            how="another study=NAME or output_dir",
        )


def _described(activation: str, run_id: str, dataset: str, seed: int, num_seeds: int) -> str:
    return f"{activation} on {dataset}, id {run_id}, {num_seeds} seeds from {seed}"


def status(folder: Path) -> str:
    """The status in a folder's `summary.json`, or an empty string."""
    try:
        return printable(str(read_json(folder / "summary.json", SUMMARY)["status"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""


TRACEBACK = "traceback.txt"  # of a run that failed


LOCK = ".lock"  # of a run that is at work, or has not come to its end


def tidy(folder: Path, *, alone: bool = False) -> None:
    """Removes what a killed process left half-written, and what a complete run has no use for.

    With `alone`, the caller holds the folder: nobody else is writing there.
    """
    remove_strays(folder, alone=alone)
    if status(folder) in ("completed", "diverged"):
        for name in ("resume.pt", TRACEBACK, *(() if alone else (LOCK,))):
            (folder / name).unlink(missing_ok=True)


Record = TypeVar(
    "Record", EpochRecord, LayerRecord, LookRecord, UnitEvent, DefinitionRecord, ShapeRecord, QuantisedRecord
)
TABLES: dict[type, str] = {
    EpochRecord: "history.csv",
    LayerRecord: "layers.csv",
    LookRecord: "looks.csv",
    UnitEvent: "units.csv",
    DefinitionRecord: "definitions.csv",
    ShapeRecord: "shapes.csv",
    QuantisedRecord: "quantised.csv",
}


def table(folder: Path, kind: type[Record]) -> list[Record]:
    """The records of a kind that a run's folder has; none where the file is not there."""
    return records(folder / TABLES[kind], kind)


def records(path: Path, kind: type[Record]) -> list[Record]:
    """The rows of a CSV file, exactly as they were."""
    if not os.path.lexists(path):
        return []
    read: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}
    columns = {field.name: read[str(field.type)] for field in fields(kind)}
    try:
        check_stays(path)
        found = [kind(**{name: columns[name](value) for name, value in row.items()}) for row in rows(path, TABLE)]
        if not all(map(_is_plausible, found)):
            raise ValueError("a time, a unit, a name or an event that cannot be")
        layers = len({getattr(record, "layer", "") for record in found})
        if layers > LAYERS:
            raise NotReadable(f"it names {layers:,} layers; {LAYERS:,} are the most that are read")
        return found
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        reason = f" ({_reason(error)})" if isinstance(error, NotReadable) else ""
        raise UserError(f"cannot be read{reason}", where=str(path), how=_AWAY) from error


def _is_plausible(record: Any) -> bool:
    """Whether its numbers, names and events can be: no number beyond all bounds, no name that a terminal would obey."""
    values = vars(record).values()
    return (
        all(abs(value) < _MOST for value in values if isinstance(value, int))
        and all(value.isprintable() for value in values if isinstance(value, str))
        and 0 <= getattr(record, "epoch", 0) < math.inf
        and getattr(record, "unit", 0) >= 0
        and getattr(record, "event", "dead") in EVENTS
    )


def last_layers(folder: Path) -> list[LayerRecord]:
    """The layers of the last epoch in `layers.csv`."""
    layers = records(folder / "layers.csv", LayerRecord)
    last = max((layer.epoch for layer in layers), default=0)
    return [layer for layer in layers if layer.epoch == last]
