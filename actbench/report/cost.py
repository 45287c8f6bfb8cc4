"""What an epoch of each configuration costs, and whether that can be compared.

A median over epochs with its quartiles. A time is too noisy to compare where too few epochs were timed, where they vary
too much, or where the machine was busy with other work: two digits would look as if they meant something.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from actbench.measures.scores import BUSY
from actbench.report import runs
from actbench.report.configurations import Block, Configuration
from actbench.report.formatting import listed, seconds, thousands
from actbench.report.runs import Run
from actbench.report.text_table import TextTable

EPOCHS = 3  # with fewer measured epochs there is no spread to compare a median with
WIDEST = 0.3  # of the quartiles, as a share of the median
NOTICEABLE = 0.2  # medians that differ by less, relatively, may differ because of what else the machine did
NOISY = "too noisy"

Kind = tuple[Any, ...]
Kinds = dict[Kind, list[tuple[float, float]]]  # how epochs were measured -> seconds per seed, share of waiting


@dataclass(frozen=True)
class Cost:
    """Seconds per epoch and seed: the median and the quartiles over the epochs that were measured in the same way.

    `waiting` is the median share of the time in which the threads waited for a core, NaN where that is not known.
    `obstacle` says why the time may not be compared with others, and is empty where it may; `noisy` says that the
    number itself would mislead: epochs vary too much, or the machine was busy.
    """

    median: float
    low: float
    high: float
    epochs: int
    waiting: float = math.nan
    obstacle: str = ""
    noisy: bool = False
    digits: int | None = None  # decimals that all of a table have; None: as many as this one needs

    @property
    def comparable(self) -> bool:
        return not self.obstacle

    @property
    def cell(self) -> str:
        """`0.38 (0.36–0.41)`, or `too noisy`; a dash where nothing is known."""
        if not math.isfinite(self.median):
            return "–"
        if self.noisy:
            return NOISY
        return self.number if self.epochs < EPOCHS else f"{self.number} ({self.quartiles})"

    @property
    def number(self) -> str:
        """The median in as many decimals as its quartiles."""
        return "–" if not math.isfinite(self.median) else f"{self.median:.{self._digits}f}"

    @property
    def quartiles(self) -> str:
        """`0.36–0.41`; a dash where there are too few epochs."""
        return "–" if self.epochs < EPOCHS else f"{self.low:.{self._digits}f}–{self.high:.{self._digits}f}"

    @property
    def _digits(self) -> int:
        """Two of the median that count, and one more where the quartiles would look equal."""
        if self.digits is not None:
            return self.digits
        digits = max(0, 1 - math.floor(math.log10(self.median))) if self.median > 0 else 2
        return digits + (f"{self.low:.{digits}f}" == f"{self.high:.{digits}f}")


def _few(epochs: int) -> str:
    return f"fewer than {EPOCHS} epochs were timed" if epochs < EPOCHS else ""


def of_epochs(times: Sequence[float], waiting: Sequence[float]) -> Cost:
    """The cost from the seconds of each epoch, per seed, and from the shares of waiting (NaN: not known).

    >>> of_epochs([0.4, 0.36, 0.38, 0.38, 0.42], [0.0] * 5).cell
    '0.38 (0.38–0.40)'
    >>> of_epochs([0.4, 0.1, 0.3], [0.0] * 3).cell
    'too noisy'
    """
    if not times:
        return Cost(math.nan, math.nan, math.nan, 0, obstacle=_few(0))
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else (times[0],) * 3
    known = [share for share in waiting if math.isfinite(share)]
    waited = statistics.median(known) if known else math.nan
    noise = ""
    if waited > BUSY:
        noise = f"the machine was busy: threads waited for a core in {100 * waited:.0f} % of the time"
    elif high - low > WIDEST * median and len(times) >= EPOCHS:
        noise = f"epochs vary: half of them took {seconds(low)} to {seconds(high)} s"
    return Cost(median, low, high, len(times), waited, noise or _few(len(times)), bool(noise))


def costs(configurations: Sequence[Configuration]) -> list[Cost]:
    """The cost of each: of the epochs that were measured in the same way as those of all others, if there are any.

    In the same way: with the same number of seeds at once, on the same machine, device and number of threads. Where
    there are no such epochs, the costs of those that were measured otherwise than most are not comparable.
    """
    return _costs(configurations, [_kinds(configuration) for configuration in configurations])


def _costs(configurations: Sequence[Configuration], by_kind: Sequence[Kinds]) -> list[Cost]:
    known = [kinds for kinds in by_kind if kinds]
    shared = set.intersection(*({*kinds} for kinds in known)) if known else set()
    everywhere = sorted({kind for kinds in known for kind in kinds}, key=str)
    candidates = sorted(shared, key=str) or everywhere

    def usefulness(kind: Kind) -> tuple[int, int]:
        numbers = [len(kinds[kind]) for kinds in known if kind in kinds]
        return len(numbers), min(numbers)

    chosen = max(candidates, key=usefulness) if candidates else None
    of = [_cost(one, kinds, chosen) for one, kinds in zip(configurations, by_kind, strict=True)]
    medians = [cost.median for cost in of if math.isfinite(cost.median) and cost.median > 0]
    digits = max(0, 1 - math.floor(math.log10(min(medians)))) if medians else None
    return [replace(cost, digits=digits) for cost in of]


def _cost(configuration: Configuration, kinds: Kinds, chosen: Kind | None) -> Cost:
    if not kinds:
        number = configuration.seconds_per_epoch
        return Cost(number, number, number, 0, obstacle=_few(0))
    if chosen in kinds:
        return of_epochs(*zip(*kinds[chosen], strict=True))
    most = max(sorted(kinds, key=str), key=lambda kind: len(kinds[kind]))
    cost = of_epochs(*zip(*kinds[most], strict=True))
    otherwise = "measured on another machine or device, or with another number of seeds at once, than most"
    return replace(cost, obstacle=cost.obstacle or otherwise)


def _kinds(configuration: Configuration) -> Kinds:
    kinds: Kinds = {}
    for run in configuration.counting:
        seeds = len(run.settings.seeds)
        times = [(epoch.seconds / seeds, epoch.waiting) for epoch in run.epochs]
        if times:
            kinds.setdefault(_kind(run), []).extend(times)
    return kinds


def _kind(run: Run) -> Kind:
    environment = runs.environment(run)
    keys = ("host", "device", "threads", "workers", "threads_of_a_worker", "cpu_capability")
    seeds = len(run.settings.seeds)
    return (seeds, *(str(environment.get(key)) for key in keys), str(run.settings.probe), str(run.settings.probe_every))


def not_dearer(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Those whose epochs do not measurably take longer than those of another one; all where nothing can be compared."""
    kinds = [_kinds(configuration) for configuration in configurations]
    numbers = range(len(configurations))

    def dearer(a: int, b: int) -> bool:
        one, other = _costs([configurations[a], configurations[b]], [kinds[a], kinds[b]])
        return a != b and _dearer(one, other)

    return [configurations[a] for a in numbers if not any(dearer(a, b) for b in numbers)]


def _dearer(one: Cost, other: Cost) -> bool:
    """Whether the middle half of the times lies above that of the other, and the median is a fifth higher.

    Never where one of them is not comparable.
    """
    if not (one.comparable and other.comparable):
        return False
    return one.low > other.high and one.median > (1 + NOTICEABLE) * other.median


# ---------------------------------------------------------------- shown


def cost_table(block: Block) -> TextTable:
    """Seconds per epoch with their quartiles, samples per second and parameters, and what cannot be compared."""
    of = costs(block.configurations)
    header = ("configuration", "s / epoch", "middle half", "epochs", "samples / s", "params", "comparable")
    rows = tuple(
        (
            configuration.name,
            NOISY if cost.noisy else cost.number,
            "–" if cost.noisy else cost.quartiles,
            str(cost.epochs),
            "–" if cost.noisy else thousands(configuration.samples_per_second),
            thousands(configuration.parameters),
            "yes" if cost.comparable else f"no: {cost.obstacle}",
        )
        for configuration, cost in zip(block.configurations, of, strict=True)
    )
    note = (
        "s / epoch: wall time of an epoch, validation included, divided by the seeds that shared it; median over "
        "epochs. Middle half: from the first to the third quartile of the epochs. Samples / s: of training, all seeds"
    )
    return TextTable("Cost", header, rows, note=note, section="cost", gist=_gist(block, of))


def _gist(block: Block, of: Sequence[Cost]) -> str:
    times = sorted((cost for cost in of if cost.comparable), key=lambda cost: cost.median)
    noisy = [one.name for one, cost in zip(block.configurations, of, strict=True) if cost.noisy]
    if not times:
        return "s / epoch are too noisy to compare" if noisy else ""
    low, high = times[0].number, times[-1].number
    words = f"{low if low == high else f'{low} to {high}'} s / epoch and seed"
    return words + (f"; {listed(noisy, 3)} too noisy to compare" if noisy else "")
