"""A run as a line of JSON, which reads back exactly as it was: what `read_before` keeps of it.

What many runs have in common (a choice of the settings, the packages of an environment) is a part of its own, which is
written once and shared by all runs that are read back. A part is named by a digest of its content, so that runs that
were packed in several processes can be put together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import starmap
from typing import Any, NamedTuple

from actbench import __version__
from actbench.copies import made
from actbench.records import Estimate, Finding, RunSummary
from actbench.settings import GROUPS, Choice, Settings, Train

_FORMAT = 4  # of this module; a change of what is read of a run's files is one, too
_FIELDS = {kind: tuple(one.name for one in fields(kind)) for kind in (Settings, Choice, Train, RunSummary, Finding)}
VERSION = f"{__version__} {_FORMAT} " + hashlib.sha256(repr(_FIELDS).encode()).hexdigest()[:12]
_REST = tuple(name for name in _FIELDS[Settings] if name not in (*GROUPS, "train", "seed"))  # of settings: one part
_OWN = ("seconds", "samples_per_second", "diverged", "metrics", "findings")  # of a summary
_KNOWN = ("id", "seeds", "activation")  # of a summary: its settings tell
_TOLD = tuple(name for name in _FIELDS[RunSummary] if name not in (*_OWN, *_KNOWN))
_OF_A_RUN = ("time", "overrides")  # of an environment: the rest is usually that of other runs
_SYMPTOM = tuple(name for name in _FIELDS[Finding] if name != "evidence")  # of a finding: a part


class Timed(NamedTuple):
    """The wall time of one epoch for all seeds, and the share of it in which threads waited for a core (or NaN)."""

    seconds: float
    waiting: float


class Stored(NamedTuple):
    """What is read of a run."""

    settings: Settings
    summary: RunSummary
    epochs: tuple[Timed, ...]
    environment: dict[str, Any]


class Packed(NamedTuple):
    """A run as it is kept: `key` describes the files that it was read from."""

    key: str
    run: str


class _Built(dict[str, Any]):
    """Parts by their names, each built when it is asked for, and the same object each time."""

    def __init__(self, texts: Mapping[str, str], build: Callable[[Any], Any]) -> None:
        super().__init__()
        self._texts, self._build = texts, build

    def __missing__(self, name: str) -> Any:
        built = self[name] = self._build(json.loads(self._texts[name]))
        return built


class Parts:
    """What runs share, by its names: `texts`, and the objects that they stand for."""

    def __init__(self, texts: dict[str, str] | None = None) -> None:
        self.texts = {} if texts is None else texts
        self.plain = _Built(self.texts, lambda content: content)
        self.rest = _Built(self.texts, _rest_of_settings)
        self.places = _Built(self.texts, lambda names: {name: place for place, name in enumerate(names)})
        self.choices = _Built(self.texts, lambda content: Choice(*content))
        self.symptoms = _Built(self.texts, lambda content: {**content, "remedies": tuple(content["remedies"])})
        self.trains = _Built(self.texts, lambda content: Train(*content))
        self._known: dict[int, tuple[Any, str]] = {}  # id -> the object, so that it stays, and its name

    def name(self, content: Any) -> str:
        """That of some plain values."""
        text = json.dumps(content)
        name = hashlib.sha256(text.encode()).hexdigest()[:20]
        self.texts[name] = text
        return name

    def name_of(self, choice: Choice | Train) -> str:
        """That of a choice, which many runs share."""
        if id(choice) not in self._known:
            self._known[id(choice)] = choice, self.name(_plain(choice))
        return self._known[id(choice)][1]


class Metrics(Mapping[str, Estimate]):
    """The estimates of a run's metrics, each made of the values of the seeds when it is asked for."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: Sequence[Sequence[float | None]]) -> None:
        self._places, self._values = places, values

    def __getitem__(self, name: str) -> Estimate:
        return Estimate.of([math.nan if value is None else value for value in self.values_of(name)])

    def values_of(self, name: str) -> Sequence[float | None]:
        """The values alone, of which many are asked for."""
        return self._values[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def items(self) -> ItemsView[str, Estimate]:
        return {name: self[name] for name in self._places}.items()

    def __repr__(self) -> str:
        return repr(dict(self.items()))


def pack(stored: Stored, parts: Parts) -> str | None:
    """A run as text; None where that would not read back as it is."""
    settings, summary = stored.settings, stored.summary
    try:
        choices = [parts.name_of(getattr(settings, group)) for group in GROUPS]
        rest = {name: getattr(settings, name) for name in _REST}
        rest["measures"] = [_plain(one) for one in settings.measures]
        told = {name: getattr(summary, name) for name in _TOLD}
        values = [one.values for one in summary.metrics.values()]
        findings = None if summary.findings is None else [
            (parts.name({name: getattr(one, name) for name in _SYMPTOM}), one.evidence) for one in summary.findings
        ]  # fmt: skip
        shared = {key: None if key in _OF_A_RUN else value for key, value in stored.environment.items()}
        own = {key: stored.environment[key] for key in _OF_A_RUN if key in stored.environment}
        text = json.dumps([
            settings.id, settings.seed, choices, parts.name_of(settings.train), parts.name(rest), parts.name(told),
            summary.seconds, summary.samples_per_second, [*summary.diverged.items()], parts.name([*summary.metrics]),
            values, findings, stored.epochs, own, parts.name(shared),
        ])  # fmt: skip
        again = unpack(text, parts)
    except (TypeError, ValueError):  # a date, perhaps
        return None
    same = (again.settings, again.summary, again.environment) == (settings, summary, stored.environment)
    return text if same and repr(again.epochs) == repr(stored.epochs) else None  # NaN is not equal to itself


def unpack(text: str, parts: Parts) -> Stored:
    """The run; what is within it is shared with others, and must not be changed."""
    (
        identity, seed, choices, train, rest, told, seconds, speed, diverged, names, values, findings, epochs, own,
        shared,
    ) = json.loads(text)  # fmt: skip
    own_settings = {"train": parts.trains[train], "seed": seed, "id": identity}  # which was checked when it was read
    chosen = zip(GROUPS, map(parts.choices.__getitem__, choices), strict=True)
    settings = made(Settings, parts.rest[rest], chosen, own_settings)
    results = {
        "id": identity, "seeds": tuple(range(seed, seed + settings.num_seeds)), "activation": settings.activation.name,
        "seconds": seconds, "samples_per_second": speed, "diverged": dict(diverged),
        "metrics": Metrics(parts.places[names], values), "findings": None,
    }  # fmt: skip
    if findings is not None:
        found = [made(Finding, parts.symptoms[name], {"evidence": evidence}) for name, evidence in findings]
        results["findings"] = tuple(found)
    summary = made(RunSummary, parts.plain[told], results)
    return Stored(settings, summary, tuple(starmap(Timed, epochs)), parts.plain[shared] | own)


def _rest_of_settings(content: dict[str, Any]) -> dict[str, Any]:
    sites = content["sites"]
    return content | {
        "trust": tuple(content["trust"]),
        "measures": tuple(Choice(*one) for one in content["measures"]),
        "sites": tuple(sites) if isinstance(sites, list) else sites,
    }


def _plain(value: Choice | Train) -> list[Any]:
    """The fields of a choice, in order."""
    return [getattr(value, name) for name in _FIELDS[type(value)]]
