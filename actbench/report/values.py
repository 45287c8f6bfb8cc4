"""The values of the metrics of several runs, by seed: each metric when it is asked for, since few of many are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from actbench.records import Estimate, RunSummary
from actbench.store.packed import Metrics


class Values(Mapping[str, Mapping[int, float]]):
    """Metric -> seed -> its finite value, in the order of the seeds; where two runs have a seed, the newer one counts.

    Args:
        of: summaries of runs, the oldest first.
    """

    def __init__(self, of: Sequence[RunSummary]) -> None:
        self._of = of
        self._names = dict.fromkeys(metric for summary in of for metric in summary.metrics)
        self._known: dict[str, Mapping[int, float]] = {}

    def __getitem__(self, metric: str) -> Mapping[int, float]:
        if metric not in self._known:
            if metric not in self._names:
                raise KeyError(metric)
            self._known[metric] = self._by_seed(metric)
        return self._known[metric]

    def _by_seed(self, metric: str) -> Mapping[int, float]:
        newest: dict[int, float | None] = {}
        for summary in self._of:
            if metric in summary.metrics:
                newest |= zip(summary.seeds, _values_of(summary.metrics, metric), strict=True)
            else:
                newest |= dict.fromkeys(summary.seeds)
        return {seed: value for seed in sorted(newest) if (value := newest[seed]) is not None}

    def __contains__(self, metric: object) -> bool:
        return metric in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _values_of(metrics: Mapping[str, Estimate], name: str) -> Sequence[float | None]:
    return metrics.values_of(name) if isinstance(metrics, Metrics) else metrics[name].values
