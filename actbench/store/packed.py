"""A run as a line of JSON, which reads back exactly as it was: what `read_before` keeps of it.

What many runs have in common (a choice of the settings, the packages of an environment) is a part of its own, which is
written once and shared by all runs that are read back. A part is named by a digest of its content, so that runs that
were packed in several processes can be put together.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from actbench import __version__
from actbench.copies import made
from actbench.records import Estimate, Finding, RunSummary
from actbench.settings import GROUPS, Choice, Settings, Train

_FORMAT = 2  # of this module; a change of what is read of a run's files is one, too
_CLASSES = (Settings, Choice, Train, RunSummary, Estimate, Finding)
_FIELDS = {kind: tuple(one.name for one in fields(kind)) for kind in _CLASSES}
VERSION = f"{__version__} {_FORMAT} " + hashlib.sha256(repr(_FIELDS).encode()).hexdigest()[:12]
_OWN = ("time", "argv", "overrides")  # of an environment: the rest is usually that of other runs


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
    """What runs share, by its names: as text, and as objects, which are built when they are asked for."""

    texts: dict[str, str] = field(default_factory=dict)
    built: dict[tuple[str, type], Any] = field(default_factory=dict)
    known: dict[int, tuple[Any, str]] = field(default_factory=dict)  # id -> the object, so that it stays, and its name

    def name(self, value: Any) -> str:
        """That of a `Choice`, a `Train`, or plain values."""
        found = self.known.get(id(value))
        if found is None:
            text = json.dumps(_plain(value) if type(value) in _FIELDS else value)
            name = hashlib.sha256(text.encode()).hexdigest()[:20]
            self.texts[name] = text
            if type(value) not in _FIELDS:
                return name
            found = self.known[id(value)] = (value, name)
        return found[1]

    def get(self, name: str, kind: type) -> Any:
        """The same object each time."""
        built = self.built.get((name, kind))
        if built is None:
            content = json.loads(self.texts[name])
            built = self.built[name, kind] = kind(*content) if kind in _FIELDS else content
        return built


def pack(stored: Stored, parts: Parts) -> str | None:
    """A run as text; None where that would not read back as it is."""
    settings, summary = stored.settings, stored.summary
    try:
        of_settings = [
            parts.name(value) if name in GROUPS or name == "train" else value
            for name, value in zip(_FIELDS[Settings], _plain(settings), strict=True)
        ]
        metrics = [parts.name([*summary.metrics]), [_plain(one) for one in summary.metrics.values()]]
        findings = None if summary.findings is None else [_plain(one) for one in summary.findings]
        of_summary = _plain(summary)
        for name, value in (("metrics", metrics), ("findings", findings), ("diverged", [*summary.diverged.items()])):
            of_summary[_FIELDS[RunSummary].index(name)] = value
        own = {key: stored.environment[key] for key in _OWN if key in stored.environment}
        shared = parts.name({key: None if key in own else value for key, value in stored.environment.items()})
        text = json.dumps([settings.id, of_settings, of_summary, stored.epochs, own, shared])
        again = unpack(text, parts)
    except (TypeError, ValueError):  # a date, perhaps
        return None
    same = (again.settings, again.summary, again.environment) == (settings, summary, stored.environment)
    return text if same and repr(again.epochs) == repr(stored.epochs) else None  # NaN is not equal to itself


def unpack(text: str, parts: Parts) -> Stored:
    """The run; what is within it is shared with others, and must not be changed."""
    identity, of_settings, of_summary, epochs, own, shared = json.loads(text)
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
    metrics, estimates = results["metrics"]
    results["metrics"] = {name: _estimate(*one) for name, one in zip(parts.get(metrics, list), estimates, strict=True)}
    if results["findings"] is not None:
        results["findings"] = tuple(
            Finding(symptom, evidence, cause, tuple(remedies), code)
            for symptom, evidence, cause, remedies, code in results["findings"]
        )
    environment = parts.get(shared, dict) | own
    return Stored(settings, made(RunSummary, results), tuple((a, b) for a, b in epochs), environment)


def _estimate(mean: Any, std: Any, ci95: Any, n: Any, values: Any) -> Estimate:
    ends = tuple(ci95) if ci95 else None
    return made(Estimate, {"mean": mean, "std": std, "ci95": ends, "n": n, "values": tuple(values)})


def _plain(value: Any) -> list[Any]:
    """The fields of one of `_CLASSES`, in order; those of choices within a tuple likewise."""
    values = [getattr(value, name) for name in _FIELDS[type(value)]]
    return [[_plain(one) for one in v] if isinstance(v, tuple) and v and type(v[0]) is Choice else v for v in values]
