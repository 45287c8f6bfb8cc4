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

from actbench.copies import like
from actbench.measures.scores import BUSY
from actbench.report import runs
from actbench.report.configurations import Block, Configuration
from actbench.report.formatting import count, listed, seconds, thousands
from actbench.report.runs import Run
from actbench.report.text_table import Rows, TextTable

EPOCHS = 3  # with fewer measured epochs there is no spread to compare a median with
WIDEST = 0.3  # of the quartiles, as a share of the median
NOTICEABLE = 0.2  # medians that differ by less, relatively, may differ because of what else the machine did
NOISY = "too noisy"

Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Cost:
    """Seconds per epoch and seed: the median and the quartiles over the epochs that were measured in the same way.

    `waiting` is the median share of the time in which the threads waited for a core, NaN where that is not known.
    `obstacle` says why the time may not be compared with others, and is empty where it may; `kind` is a key of `WHY`
    then. `noisy` says that the number itself would mislead: epochs vary too much, or the machine was busy.
    """

    median: float
    low: float
    high: float
    epochs: int
    waiting: float = math.nan
    obstacle: str = ""
    kind: str = ""
    noisy: bool = False
    digits: int | None = None  # decimals that all of a table have; None: as many as this one needs

    @property
    def comparable(self) -> bool:
        return not self.obstacle

    @property
    def in_short(self) -> str:
        """Why it is not comparable in a word or two: `busy 60 %`, `epochs vary`, `2 epochs`."""
        if self.kind == "busy":
            return f"busy {100 * self.waiting:.0f} %"
        return count(self.epochs, "epoch") if self.kind == "few" else self.kind

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


_FEW = f"fewer than {EPOCHS} epochs were timed"
_OTHERWISE = "measured on another machine or device, or with another number of seeds at once, than most"
WHY = {  # the kinds of obstacles, and what a note says of them
    "busy": "the machine was busy with other work: threads waited for a core for a good part of the time",
    "epochs vary": f"the middle half of the epochs is wider than {100 * WIDEST:.0f} % of the median",
    "few": _FEW,
    "otherwise": _OTHERWISE,
}


def of_epochs(times: Sequence[float], waiting: Sequence[float]) -> Cost:
    """The cost from the seconds of each epoch, per seed, and from the shares of waiting (NaN: not known).

    >>> of_epochs([0.4, 0.36, 0.38, 0.38, 0.42], [0.0] * 5).cell
    '0.38 (0.38–0.40)'
    >>> of_epochs([0.4, 0.1, 0.3], [0.0] * 3).cell
    'too noisy'
    """
    if not times:
        return Cost(math.nan, math.nan, math.nan, 0, obstacle=_FEW, kind="few")
    low, median, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else (times[0],) * 3
    known = [share for share in waiting if math.isfinite(share)]
    waited = statistics.median(known) if known else math.nan
    obstacle = kind = ""
    if waited > BUSY:
        kind, obstacle = "busy", f"the machine was busy: threads waited for a core in {100 * waited:.0f} % of the time"
    elif high - low > WIDEST * median and len(times) >= EPOCHS:
        kind, obstacle = "epochs vary", f"epochs vary: half of them took {seconds(low)} to {seconds(high)} s"
    noisy = bool(kind)
    if len(times) < EPOCHS and not noisy:
        kind, obstacle = "few", _FEW
    return Cost(median, low, high, len(times), waited, obstacle, kind, noisy)


Kinds = dict[Kind, Cost]  # how epochs were measured -> what they cost


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
        numbers = [kinds[kind].epochs for kinds in known if kind in kinds]
        return len(numbers), min(numbers)

    chosen = max(candidates, key=usefulness) if candidates else None
    of = [_cost(one, kinds, chosen) for one, kinds in zip(configurations, by_kind, strict=True)]
    medians = [cost.median for cost in of if math.isfinite(cost.median) and cost.median > 0]
    digits = max(0, 1 - math.floor(math.log10(min(medians)))) if medians else None
    return [like(cost, digits=digits) for cost in of]


def _cost(configuration: Configuration, kinds: Kinds, chosen: Kind | None) -> Cost:
    if not kinds:
        number = configuration.seconds_per_epoch
        return Cost(number, number, number, 0, obstacle=_FEW, kind="few")
    if chosen in kinds:
        return kinds[chosen]
    cost = max((kinds[kind] for kind in sorted(kinds, key=str)), key=lambda cost: cost.epochs)
    return cost if cost.obstacle else replace(cost, obstacle=_OTHERWISE, kind="otherwise")


def _kinds(configuration: Configuration) -> Kinds:
    epochs: dict[Kind, list[tuple[float, float]]] = {}  # seconds per seed, share of waiting
    for run in configuration.counting:
        seeds = run.settings.num_seeds
        times = [(epoch.seconds / seeds, epoch.waiting) for epoch in run.epochs]
        if times:
            epochs.setdefault(_kind(run), []).extend(times)
    return {kind: of_epochs(*zip(*times, strict=True)) for kind, times in epochs.items()}


def _kind(run: Run) -> Kind:
    told = map(str, map(runs.environment(run).get, _MEASURED_BY))
    return run.settings.num_seeds, *told, str(run.settings.probe), str(run.settings.probe_every)


_MEASURED_BY = ("host", "device", "threads", "workers", "threads_of_a_worker", "limited_to_cores", "cpu_capability")


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

_IN_A_HEADING = {
    "busy": "the machine was busy",
    "epochs vary": "epochs vary",
    "few": "too few epochs",
    "otherwise": "measured otherwise",
}


def cost_table(block: Block, of: Sequence[Cost] | None = None) -> TextTable:
    """Seconds per epoch with their quartiles, samples per second and parameters, and what cannot be compared.

    Args:
        block: whose configurations are in the table.
        of: their `costs`, if they are known.
    """
    of = costs(block.configurations) if of is None else of
    header = ("configuration", "s / epoch", "middle half", "epochs", "samples / s", "params", "comparable")
    rows = Rows(_cost_row, block.configurations, of)
    note = (
        "s / epoch: wall time of an epoch, validation included, divided by the seeds that shared it; median over "
        "epochs. Middle half: from the first to the third quartile of the epochs. Samples / s: of training, all seeds"
    )
    if kinds := _kinds_of_obstacles(of):
        nobody = sum(cost.comparable for cost in of) < 2
        note += f". {'What an epoch costs cannot be compared here' if nobody else 'Not comparable'}: {'; '.join(kinds)}"
    return TextTable("Cost", header, rows, note=note, section="cost", gist=_gist(block, of))


def _cost_row(configuration: Configuration, cost: Cost) -> tuple[str, ...]:
    return (
        configuration.name,
        NOISY if cost.noisy else cost.number,
        "–" if cost.noisy else cost.quartiles,
        str(cost.epochs),
        "–" if cost.noisy else thousands(configuration.samples_per_second),
        thousands(configuration.parameters),
        "yes" if cost.comparable else f"no: {cost.in_short}",
    )


def _kinds_of_obstacles(of: Sequence[Cost]) -> list[str]:
    return [why for kind, why in WHY.items() if any(cost.kind == kind for cost in of)]


def _gist(block: Block, of: Sequence[Cost]) -> str:
    """`relu: 0.2 s / epoch; gelu too noisy to compare`, `0.20 (relu) to 0.41 (gelu) s / epoch`."""
    named = [(one.name, cost) for one, cost in zip(block.configurations, of, strict=True) if cost.comparable]
    times = sorted(named, key=lambda pair: pair[1].median)
    noisy = [one.name for one, cost in zip(block.configurations, of, strict=True) if cost.noisy]
    if not times:
        return f"not comparable: {listed(list(dict.fromkeys(_IN_A_HEADING[cost.kind] for cost in of)))}" if of else ""
    (first, low), (last, high) = times[0], times[-1]
    if len(times) == 1:
        words = f"{first}: {low.number} s / epoch and seed"
    elif low.number == high.number:
        words = f"{low.number} s / epoch and seed"
    else:
        words = f"{low.number} ({first}) to {high.number} ({last}) s / epoch and seed"
    return words + (f"; {listed(noisy, 3)} too noisy to compare" if noisy else "")
