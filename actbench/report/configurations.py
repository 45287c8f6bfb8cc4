"""Runs -> configurations (runs that differ only in their seeds) -> blocks that may be ranked together."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actbench import naming
from actbench.choices import usual_parameters
from actbench.copies import like, made
from actbench.records import Estimate, RunSummary
from actbench.report.formatting import count
from actbench.report.runs import Run, trained_at
from actbench.report.shared_settings import shared_settings
from actbench.report.simultaneous import MIN_SEEDS
from actbench.report.values import Values
from actbench.settings import Settings

METRIC = "test_accuracy"  # what is ranked and tested


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """The complete runs of one configuration, taken together.

    `values` has the finite values of each metric by seed; `diverged` maps a seed to the epoch in which it diverged.
    `seconds_per_epoch` is the wall time of an epoch, validation included, divided by the seeds that shared it: the
    median over epochs (`report.cost` says how far it can be trusted). `samples_per_second` counts the samples of all
    seeds.
    """

    name: str
    settings: Settings
    runs: tuple[Run, ...]
    values: Mapping[str, Mapping[int, float]]
    diverged: dict[int, int]
    seconds_per_epoch: float
    samples_per_second: float
    parameters: int

    def estimate(self, metric: str) -> Estimate:
        """The metric's mean over seeds with its interval."""
        known: dict[str, Estimate] = vars(self).setdefault("_estimates", {})  # tables and orders ask again and again
        if metric not in known:
            known[metric] = Estimate.of(list(self.values.get(metric, {}).values()))
        return known[metric]

    def mean(self, metric: str) -> float:
        """The mean over seeds; −inf where there is none, so that it ranks last."""
        values = self.values.get(metric)  # without an estimate: many are ordered, and few are shown
        return math.fsum(values.values()) / len(values) if values else -math.inf

    @property
    def n(self) -> int:
        """The number of seeds with a result."""
        return len(self.values.get(METRIC, {}))

    @property
    def counting(self) -> list[Run]:
        """The runs that count: not those whose seeds were all trained again by newer ones."""
        return _counting(self.runs)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Configurations that may be ranked together: the same dataset, training set and number of epochs.

    `configurations` are ordered by mean test accuracy, best first. `waiting` has the runs without results and the names
    of their configurations, `varying` the keys that tell configurations apart, `shared` the settings that all have.
    """

    title: str
    shared: str
    configurations: tuple[Configuration, ...]
    waiting: tuple[tuple[str, Run], ...]
    remarks: tuple[str, ...]
    varying: tuple[str, ...]
    unusual: tuple[str, ...] = ()  # keys that do not vary, with a value that is not the default
    note: str = ""  # about the dataset, where `auto` fell back to another one

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, those without results last."""
        complete = [run for configuration in self.configurations for run in configuration.runs]
        return (*complete, *(run for _, run in self.waiting))


def blocks(runs: Iterable[Run]) -> list[Block]:
    """One block for each protocol; the one with most runs comes first."""
    by_protocol: dict[tuple[object, ...], list[Run]] = {}
    alike: dict[tuple[object, ...], list[Run]] = {}  # many runs share their choices
    for run in map(_with_later_parameters, runs):
        of = id(run.settings.dataset), id(run.settings.train), run.dataset
        if of not in alike:
            alike[of] = by_protocol.setdefault(run.settings.protocol(run.dataset), [])
        alike[of].append(run)
    titles = {protocol: _title(members[0]) for protocol, members in by_protocol.items()}
    number_of = Counter(titles.values())
    for protocol, title in titles.items():
        if number_of[title] > 1:  # other data under the same name
            titles[protocol] = _title(by_protocol[protocol][0], with_version=True)
    ordered = sorted(by_protocol, key=lambda protocol: (-len(by_protocol[protocol]), titles[protocol]))
    return [_block(by_protocol[protocol], titles[protocol]) for protocol in ordered]


def _with_later_parameters(run: Run) -> Run:
    settings = run.settings.with_later_parameters()
    return run if settings is run.settings else like(run, settings=settings)


def _title(run: Run, *, with_version: bool = False) -> str:
    settings = run.settings
    usual = {**(usual_parameters("dataset", settings.dataset.name) or {}), "name": run.dataset}
    params = {
        key: value for key, value in settings.data_params.items() if value is not None and value != usual.get(key)
    }
    size = params.pop("train_size", None)
    version = f" (data {settings.dataset.version})" if with_version and settings.dataset.content else ""
    words = [f"{run.dataset}{version}", *([f"{size:,} training samples"] if size else [])]
    words += [f"{key}={naming.shown(value)}" for key, value in params.items()]
    epochs = settings.train.epochs
    return ", ".join([*words, f"{epochs} epoch{'s' if epochs != 1 else ''}"])


def _block(runs: Sequence[Run], title: str) -> Block:
    by_id: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: str(run.folder)):
        by_id.setdefault(run.settings.id, []).append(run)
    for members in by_id.values():
        if len(members) > 1:
            members.sort(key=trained_at)  # stable: in the order of the folders where the time is unknown
    settings = [members[0].settings for members in by_id.values()]
    varying = naming.varying(settings)
    names = dict(zip(by_id, naming.names(settings, varying), strict=True))
    shared, unusual = shared_settings(settings, varying)
    remarks = [remark for members in by_id.values() for remark in _aliases(members)]
    merged = [
        _merge(names[run_id], complete, remarks)
        for run_id, members in by_id.items()
        if (complete := [run for run in members if run.complete])
    ]
    ordered, order_remarks = in_order(merged)
    given_up = [run for run in runs if run.pruned] if merged else []  # which nobody waits for
    remarks += [f"{count(len(given_up), 'run')} given up by a search: there is no result of them"] if given_up else []
    waiting = [(names[run.settings.id], run) for run in runs if not run.complete and run not in given_up]
    return Block(
        title=title,
        shared=shared,
        unusual=unusual,
        configurations=tuple(ordered),
        waiting=tuple(sorted(waiting, key=lambda pair: (pair[0], str(pair[1].folder)))),
        remarks=(*remarks, *order_remarks),
        varying=tuple(varying),
        note=next((run.summary.dataset_note for run in runs if run.summary and run.summary.dataset_note), ""),
    )


def in_order(configurations: Sequence[Configuration]) -> tuple[list[Configuration], list[str]]:
    """Best first by mean test accuracy, and remarks. Where seeds differ, the mean is over those they have in common."""
    seeds = [{*configuration.values[METRIC]} for configuration in configurations if configuration.n]
    shared = set.intersection(*seeds) if seeds else set()
    uneven = any(own != shared for own in seeds) and len(shared) >= MIN_SEEDS

    def key(configuration: Configuration) -> tuple[float, str]:
        if not uneven:
            return -configuration.mean(METRIC), configuration.name
        accuracies = configuration.values.get(METRIC, {})
        mean = Estimate.of([value for seed, value in accuracies.items() if seed in shared]).mean
        return (math.inf if mean is None else -mean), configuration.name

    remark = f"ranked by the {len(shared)} seeds that all configurations have in common" if uneven else ""
    return sorted(configurations, key=key), [remark] if remark else []


def _aliases(members: Sequence[Run]) -> list[str]:
    """A remark on choices that are the same under different names."""
    names = list(dict.fromkeys(naming.activations_of(run.settings) for run in members))
    if len(names) < 2:
        return []
    return [f"{', '.join(names[1:])} is the same configuration as {names[0]} under another name: the two are merged"]


def _merge(name: str, runs: Sequence[Run], remarks: list[str]) -> Configuration:
    """The complete runs of one configuration, oldest first, as one; where two have a seed, the newer one counts."""
    summaries = [run.summary for run in runs if run.summary is not None]  # all of them
    diverged: dict[int, int] = {}
    earlier: set[int] = set()
    for number, summary in enumerate(summaries):
        if again := earlier.intersection(summary.seeds):
            before = Values(summaries[:number]).get(METRIC, {})
            if _accuracies(summary, again) != {seed: before.get(seed) for seed in again}:
                folder = runs[number].folder
                remarks.append(f"{name}: {_seeds(again)} trained twice with different results; {folder} is used")
            diverged = {seed: epoch for seed, epoch in diverged.items() if seed not in again}
        earlier.update(summary.seeds)
        diverged |= summary.diverged
    seconds_per_epoch, samples_per_second = _speed(_counting(runs))
    values = {
        "name": name, "settings": runs[0].settings, "runs": tuple(runs), "values": Values(summaries),
        "diverged": dict(sorted(diverged.items())), "seconds_per_epoch": seconds_per_epoch,
        "samples_per_second": samples_per_second, "parameters": summaries[0].parameters,
    }  # fmt: skip
    return made(Configuration, values)


def _speed(runs: Sequence[Run]) -> tuple[float, float]:
    """Seconds per epoch and seed, with validation, and training samples per second; NaN where nothing was trained."""
    samples = train_seconds = 0.0
    for run in runs:
        assert run.summary is not None
        train_seconds += run.summary.seconds["train"]
        samples += run.summary.samples_per_second * run.summary.seconds["train"]
    seconds = [epoch.seconds / run.settings.num_seeds for run in runs for epoch in run.epochs]
    return statistics.median(seconds or [math.nan]), samples / train_seconds if train_seconds else math.nan


def _counting(runs: Sequence[Run]) -> list[Run]:
    """The runs without those whose seeds were all trained again by newer ones."""
    if len(runs) == 1:
        return [*runs]
    kept: list[Run] = []
    newer: set[int] = set()
    for run in reversed(runs):
        seeds = {*run.settings.seeds}
        if not seeds <= newer:
            kept.append(run)
        newer |= seeds
    return kept


def _accuracies(summary: RunSummary, seeds: set[int]) -> dict[int, float | None]:
    """The test accuracies of some seeds."""
    metric = summary.metrics.get(METRIC)
    by_seed = dict(zip(summary.seeds, metric.values, strict=True)) if metric else {}
    return {seed: by_seed.get(seed) for seed in seeds}


def _seeds(seeds: set[int]) -> str:
    numbers = ", ".join(map(str, sorted(seeds)))
    return f"seeds {numbers} were" if len(seeds) > 1 else f"seed {numbers} was"
