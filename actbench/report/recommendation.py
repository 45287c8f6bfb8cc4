"""Which of several configurations that are as good as each other to use: the cheapest one, if that can be told."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from actbench import naming
from actbench.errors import UserError
from actbench.measures.scores import EpochRecord
from actbench.report import runs
from actbench.report.configurations import METRIC, Configuration
from actbench.report.runs import Run
from actbench.store import reader

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict

CHEAPEST, SMALLEST, BASELINE, USUAL, HIGHEST, ONLY = "cheapest", "smallest", "baseline", "usual", "highest mean", "only"

_NOTICEABLE = 0.2  # medians that differ by less, relatively, may differ because of what else the machine did
_MORE = 0.01  # so many more parameters, relatively, cost nothing: one that an activation learns for each layer
_EPOCHS = 3  # with fewer measured epochs there is no spread to compare a median with
_USUAL = "relu"


def recommend(verdict: Verdict) -> tuple[Configuration | None, str]:
    """The configuration to use among those that are best or as good as the best, and what decided for it.

    In this order, each among those that are left: what is measurably dearer than another one goes; what has
    noticeably more parameters goes; the baseline; relu; the highest mean.
    """
    left = [decision.configuration for decision in verdict.with_word("best", "as good")]
    if len(left) < 2:
        only = left[0] if left and len(verdict.decisions) > 1 else None
        return only, ONLY if only else ""
    cheap = _not_dearer(left)
    if len(cheap) == 1:
        return cheap[0], CHEAPEST
    fewest = min(one.parameters for one in cheap)
    small = [one for one in cheap if one.parameters <= (1 + _MORE) * fewest]
    if len(small) == 1:
        return small[0], SMALLEST
    for one in small:
        if one.name == verdict.baseline:
            return one, BASELINE
    usual = [one for one in small if naming.activations(one.settings.flat()) == _USUAL]
    if usual:
        return usual[0], USUAL if len(usual) == 1 else HIGHEST
    return max(small, key=lambda one: one.mean(METRIC)), HIGHEST


# ---------------------------------------------------------------- measured cost


def _not_dearer(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Those whose epochs do not measurably take longer than those of another one; all where that cannot be compared.

    Measurably: the middle half of the epochs' times lies above that of the other, and the median is a fifth higher.
    """
    times = comparable_times(configurations)
    if not times:
        return [*configurations]
    quarters = [statistics.quantiles(of, n=4, method="inclusive") for of in times]

    def dearer(a: int, b: int) -> bool:
        return quarters[a][0] > quarters[b][2] and quarters[a][1] > (1 + _NOTICEABLE) * quarters[b][1]

    numbers = range(len(configurations))
    return [configurations[a] for a in numbers if not any(dearer(a, b) for b in numbers)]


def comparable_times(configurations: Sequence[Configuration]) -> list[list[float]]:
    """For each configuration, the seconds of its epochs that were measured in the same way as those of all others.

    That is with the same number of seeds at once, on the same machine, device and number of threads. Empty where there
    are not `_EPOCHS` such epochs of each.
    """
    by_kind: list[dict[tuple[Any, ...], list[float]]] = []
    for configuration in configurations:
        kinds: dict[tuple[Any, ...], list[float]] = {}
        for run in configuration.counting:
            kinds.setdefault(_kind(run), []).extend(_seconds(run))
        by_kind.append(kinds)
    shared = set.intersection(*({*kinds} for kinds in by_kind)) if by_kind else set()
    if not shared:
        return []
    most = max(sorted(shared, key=str), key=lambda kind: min(len(kinds[kind]) for kinds in by_kind))
    times = [kinds[most] for kinds in by_kind]
    return times if min(map(len, times)) >= _EPOCHS else []


def _kind(run: Run) -> tuple[Any, ...]:
    environment = runs.environment(run)
    keys = ("host", "device", "threads", "workers", "threads_of_a_worker", "cpu_capability")
    seeds = len(run.settings.seeds)
    return (seeds, *(str(environment.get(key)) for key in keys), str(run.settings.probe), run.settings.probe_every)


def _seconds(run: Run) -> list[float]:
    """The wall time of each epoch."""
    try:
        rows = reader.table(run.folder, EpochRecord)
    except UserError:
        return []  # who draws the learning curves reports it
    seconds = {row.epoch: row.seconds for row in rows if row.seconds > 0}
    return [seconds[epoch] for epoch in sorted(seconds)]
