"""Simulated INT8 for the trained seeds of a run, right after training or later, from its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from actbench.job.summary import estimates
from actbench.measures import int8
from actbench.measures.quantities import metrics_of
from actbench.records import RunSummary
from actbench.settings import Settings
from actbench.store import reader
from actbench.store.folder import RunFolder
from actbench.train import Training


def score_trained(settings: Settings, training: Training, summary: RunSummary, folder: RunFolder) -> RunSummary:
    """The summary of a run that has just been trained, with its INT8 metrics; `quantised.csv` is written."""
    numbers = {seed: number for number, seed in enumerate(training.seeds)}
    networks = {seed: partial(training.network.plain_network, number) for seed, number in numbers.items()}
    return _score(settings, training, summary, networks, folder)


def score_stored(settings: Settings, training: Training, summary: RunSummary, folder: RunFolder) -> RunSummary:
    """The same for a run that was complete without these metrics, from its checkpoints; its files are updated."""
    states = folder.read_checkpoints(training.seeds)
    networks = {
        seed: partial(_from_checkpoint, training, number, states[seed]) for number, seed in enumerate(training.seeds)
    }
    summary = _score(settings, training, summary, networks, folder)
    folder.write_settings(replace(reader.settings_of(folder.path), quantise=settings.quantise))
    folder.write_summary(summary)
    return summary


def _from_checkpoint(training: Training, number: int, state: Mapping[str, Tensor]) -> nn.Module:
    network = training.network.plain_network(number)
    network.load_state_dict(state)
    return network


def _score(
    settings: Settings, training: Training, summary: RunSummary, networks: Mapping[int, Callable[[], nn.Module]],
    folder: RunFolder,
) -> RunSummary:  # fmt: skip
    sound = {seed: network for seed, network in networks.items() if seed not in summary.diverged}
    train = settings.train
    rows = list(int8.score(sound, training.splits, precision=train.precision, batch_size=train.eval_batch_size))
    folder.write_rows(rows)
    values: dict[str, list[float]] = {}
    for kind in dict.fromkeys(type(row) for row in rows):
        values |= metrics_of(kind, [row for row in rows if type(row) is kind], summary.seeds)
    return replace(summary, metrics={**summary.metrics, **estimates(values, summary.seeds, summary.diverged)})
