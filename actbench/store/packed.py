"""A run as a line of JSON, which reads back exactly as it was: what `read_before` keeps of it.

What many runs have in common (a choice of the settings, the packages of an environment) is a part of its own, which is
written once and shared by all runs that are read back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from actbench import __version__
from actbench.copies import made
from actbench.records import Estimate, Finding, RunSummary
from actbench.settings import GROUPS, Choice, Settings, Train

_FORMAT = 1  # of this module; a change of what is read of a run's files is one, too
_CLASSES = (Settings, Choice, Train, RunSummary, Estimate, Finding)
_FIELDS = {kind: tuple(one.name for one in fields(kind)) for kind in _CLASSES}
VERSION = f"{__version__} {_FORMAT} " + hashlib.sha256(repr(_FIELDS).encode()).hexdigest()[:12]
_SHARED = ("argv", "packages", "git", "threads_spin")  # of an environment


class Stored(NamedTuple):
    """What is read of a run: `epochs` has the seconds of each and the share in which threads waited for a core."""

    settings: Settings
    summary: RunSummary
    epochs: tuple[tuple[float, float], ...]
    environment: dict[str, Any]


class Packed(NamedTuple):
    """A run as it is kept: `key` describes the files that it was read from."""

    key: str
    run: str


@dataclass
class Parts:
    """What runs share, each with its number: as text, and as objects, which are built when they are asked for."""

    texts: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    built: dict[tuple[int, type], Any] = field(default_factory=dict)
    known: dict[int, tuple[Any, int]] = field(
        default_factory=dict
    )  # id -> the object, so that it stays, and its number

    @classmethod
    def of(cls, texts: Sequence[str]) -> Parts:
        return cls([*texts], {text: number for number, text in enumerate(texts)})

    def number(self, value: Any) -> int:
        """That of a `Choice`, a `Train`, or plain values."""
        found = self.known.get(id(value))
        if found is None:
            content = _plain(value) if type(value) in _FIELDS else value
            text = json.dumps(content)
            if text not in self.numbers:
                self.numbers[text] = len(self.texts)
                self.texts.append(text)
            found = self.known[id(value)] = (value, self.numbers[text])
        return found[1]

    def get(self, number: int, kind: type) -> Any:
        """The same object each time."""
        built = self.built.get((number, kind))
        if built is None:
            content = json.loads(self.texts[number])
            built = self.built[number, kind] = kind(*content) if kind in _FIELDS else content
        return built


def pack(stored: Stored, parts: Parts) -> str | None:
    """A run as text; None where that would not read back as it is."""
    settings, summary = stored.settings, stored.summary
    try:
        of_settings = [
            parts.number(value) if name in GROUPS or name == "train" else value
            for name, value in zip(_FIELDS[Settings], _plain(settings), strict=True)
        ]
        metrics = [[name, *_plain(one)] for name, one in summary.metrics.items()]
        findings = None if summary.findings is None else [_plain(one) for one in summary.findings]
        of_summary = _plain(summary)
        for name, value in (("metrics", metrics), ("findings", findings), ("diverged", [*summary.diverged.items()])):
            of_summary[_FIELDS[RunSummary].index(name)] = value
        shared = {key: parts.number(stored.environment[key]) for key in _SHARED if key in stored.environment}
        own = {key: value for key, value in stored.environment.items() if key not in shared}
        order = [*stored.environment]
        text = json.dumps([settings.id, of_settings, of_summary, stored.epochs, own, shared, order])
        again = unpack(text, parts)
    except (TypeError, ValueError):  # a date, perhaps
        return None
    same = (again.settings, again.summary, again.environment) == (settings, summary, stored.environment)
    return text if same and repr(again.epochs) == repr(stored.epochs) else None  # NaN is not equal to itself


def unpack(text: str, parts: Parts) -> Stored:
    """The run; what is within it is shared with others, and must not be changed."""
    identity, of_settings, of_summary, epochs, own, shared, order = json.loads(text)
    values = dict(zip(_FIELDS[Settings], of_settings, strict=True))
    for group in GROUPS:
        values[group] = parts.get(values[group], Choice)
    values["train"] = parts.get(values["train"], Train)
    values["trust"] = tuple(values["trust"])
    values["measures"] = tuple(Choice(*one) for one in values["measures"])
    if isinstance(values["sites"], list):
        values["sites"] = tuple(values["sites"])
    settings = made(Settings, values)
    vars(settings)["id"] = identity  # as it was checked when the files were read
    results = dict(zip(_FIELDS[RunSummary], of_summary, strict=True))
    results["seeds"] = tuple(results["seeds"])
    results["diverged"] = dict(results["diverged"])
    results["metrics"] = {name: _estimate(*one) for name, *one in results["metrics"]}
    if results["findings"] is not None:
        results["findings"] = tuple(
            Finding(symptom, evidence, cause, tuple(remedies), code)
            for symptom, evidence, cause, remedies, code in results["findings"]
        )
    every = own | {key: parts.get(number, object) for key, number in shared.items()}
    environment = {key: every[key] for key in order}
    return Stored(settings, made(RunSummary, results), tuple((a, b) for a, b in epochs), environment)


def _estimate(mean: Any, std: Any, ci95: Any, n: Any, values: Any) -> Estimate:
    ends = tuple(ci95) if ci95 else None
    return made(Estimate, {"mean": mean, "std": std, "ci95": ends, "n": n, "values": tuple(values)})


def _plain(value: Any) -> list[Any]:
    """The fields of one of `_CLASSES`, in order; those of choices within a tuple likewise."""
    values = [getattr(value, name) for name in _FIELDS[type(value)]]
    return [[_plain(one) for one in v] if isinstance(v, tuple) and v and type(v[0]) is Choice else v for v in values]
