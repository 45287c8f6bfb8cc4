"""The results of training: `Epoch` with its rows, and `RunSummary`.

Fields with a default were not written by earlier versions. The classes of rows are in `actbench.measures`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from actbench.copies import made

if TYPE_CHECKING:
    from actbench.measures.layers import LayerRecord
    from actbench.measures.scores import EpochRecord

Row = TypeVar("Row")
Status = Literal["completed", "diverged", "interrupted", "pruned", "failed"]


# The words that a run notes as its command line; without them, those of the process.
COMMAND_LINE: ContextVar[tuple[str, ...]] = ContextVar("COMMAND_LINE", default=())


class Origin(NamedTuple):
    """The first value that was infinite or NaN in a seed that diverged, in the order of a training step.

    `step` counts the steps of the epoch from 1. `kind` is `images`, `augmentation`, `layer` or `activation` (whose
    outputs are not finite, while what went in was), `between` (what the network computes between its modules, before
    `where`), the same with `validation` in front, `loss`, `layer gradient` or `activation gradient` (that of its
    inputs, while that of its outputs was finite), `clip` or `update`. `where` is a module's name, and `size` the
    largest size among the numbers that went in (NaN where that is not known).
    """

    seed: int
    epoch: int
    step: int
    kind: str
    where: str
    size: float


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The results of one epoch: the rows of all tables, for the seeds that had not diverged before it.

    Epoch 0 is the untrained network and has no training scores. `diverged` names the seeds whose loss stopped being
    finite in this epoch, and `origins` says why, as plain tuples of an `Origin`'s fields. `look_seconds` is the time of
    the looks of `probe_every`, which `train_seconds` does not include, and `busy` the share of the time that a GPU was
    busy (NaN where that is not known).
    """

    number: int
    rows: tuple[Any, ...] = ()
    diverged: tuple[int, ...] = ()
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    look_seconds: float = 0.0
    busy: float = math.nan
    origins: tuple[tuple[Any, ...], ...] = ()

    @cached_property
    def _tables(self) -> dict[type, tuple[Any, ...]]:
        tables: dict[type, list[Any]] = {}
        for row in self.rows:
            tables.setdefault(type(row), []).append(row)
        return {kind: tuple(rows) for kind, rows in tables.items()}

    def tables(self) -> Mapping[type, tuple[Any, ...]]:
        """Class of rows -> its rows, for all tables that have any."""
        return self._tables

    def of(self, kind: type[Row]) -> tuple[Row, ...]:
        """The rows of one table, by the class of its rows: `epoch.of(LayerRecord)`."""
        return self._tables.get(kind, ())

    def _table(self, name: str) -> tuple[Any, ...]:
        return next((rows for kind, rows in self._tables.items() if getattr(kind, "table", "") == name), ())

    @property
    def records(self) -> tuple[EpochRecord, ...]:
        """The rows of `history.csv`: losses and accuracies of each seed."""
        return self._table("history")

    @property
    def layers(self) -> tuple[LayerRecord, ...]:
        """The rows of `layers.csv`."""
        return self._table("layers")

    def of_seed(self, seed: int) -> tuple[LayerRecord, ...]:
        """The layers of one seed."""
        return tuple(layer for layer in self.layers if layer.seed == seed)


_LARGE = 1e5  # from here on numbers are written with a power of ten


def decimal(value: float, digits: int | None) -> str:
    """A number with so many decimals (None: as many as it needs), which no number is too large for, and no −0.00.

    >>> decimal(0.1234, 2), decimal(-0.001, 2), decimal(21865797781042.121, 2), decimal(2e6, None), decimal(2.5, None)
    ('0.12', '0.00', '2.2e13', '2e6', '2.5')
    """
    if _LARGE <= abs(value) < math.inf:
        return f"{value:.2g}".replace("e+0", "e").replace("e+", "e")
    text = f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


@dataclass(frozen=True)
class Estimate:
    """A metric over seeds: `values` in the order of the run's seeds (None: that seed diverged), n of them finite.

    `ci95` is the two-sided 95 % interval of the mean by Student's t with n - 1 degrees of freedom;
    `std` (n - 1 in the denominator) and `ci95` are None for fewer than two values.
    """

    mean: float | None
    std: float | None
    ci95: tuple[float, float] | None
    n: int
    values: tuple[float | None, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate of the mean of `values`, one for each seed; what is not finite counts as missing.

        >>> Estimate.of([97.0, 98.0, 99.0]).ci95  # 98 ± 4.303 · 1 / sqrt(3)
        (95.51586..., 100.48413...)
        """
        kept = tuple([value if math.isfinite(value) else None for value in values])
        finite = [value for value in kept if value is not None]
        n = len(finite)
        mean = math.fsum(finite) / n if n else None
        if mean is None or n == 1:  # of which there are very many
            return made(cls, {"mean": mean, "std": None, "ci95": None, "n": n, "values": kept})
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in finite) / (n - 1))
        from scipy.special import stdtrit  # only here, since `actbench list` needs no SciPy

        half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
        return cls(mean, std, (mean - half, mean + half), n, kept)

    def plus_minus(self, digits: int = 2, scale: float = 1.0) -> str:
        """`98.07 ± 0.05`, half the width of the 95 % interval; the bare value where there is one seed."""
        if self.mean is None:
            return "–"
        mean = decimal(scale * self.mean, digits)
        return mean if self.ci95 is None else f"{mean} ± {decimal(scale * (self.ci95[1] - self.ci95[0]) / 2, digits)}"


@dataclass(frozen=True)
class Traits:
    """Properties of an activation, as `activations.traits` measures them; all False where nothing is known.

    Args:
        flat: f' is exactly 0 on an interval, so that a unit can die.
        bounded: |f| stays below some bound on both sides.
        never_negative: f ≥ 0 everywhere, so that the mean of the outputs cannot be 0.
        saturates: the slope vanishes somewhere, relative to the steepest slope, which is bounded.
        coupled: an output depends on other values of z than the one in its own place.
        selects: comparing all units of a layer, it leaves some as they are and sets the others to 0.
    """

    flat: bool = False
    bounded: bool = False
    never_negative: bool = False
    saturates: bool = False
    coupled: bool = False
    selects: bool = False


@dataclass(frozen=True)
class Finding:
    """Something that went wrong in a run.

    `symptom` describes it in a few words, `evidence` is what was measured, `cause` the likely cause, and `remedies` are
    overrides to add to the command. `code` is the stable name of its rule (`actbench.diagnosis.rules`); empty in the
    files of earlier versions.
    """

    symptom: str
    evidence: str
    cause: str
    remedies: tuple[str, ...]
    code: str = ""

    @property
    def title(self) -> str:
        """`dead-units: units died`; the symptom alone where there is no code."""
        return f"{self.code}: {self.symptom}" if self.code else self.symptom


@dataclass(frozen=True)
class RunSummary:
    """A run's results; `summary.json`.

    `diverged` maps a seed to the epoch in which its loss stopped being finite. `seconds` are wall time: `train`,
    `eval` (validation and measurements) and `looks` (of `probe_every`) of all epochs, and `total`, their sum.
    """

    status: Status
    id: str
    label: str
    dataset: str
    dataset_note: str  # not empty where `dataset=auto` fell back to the digits
    activation: str
    upper_activation: str
    seeds: tuple[int, ...]
    diverged: dict[int, int]
    epochs_done: int
    parameters: int
    metrics: Mapping[str, Estimate]
    seconds: dict[str, float]
    samples_per_second: float
    execution: str  # how the seeds ran: `stacked, eager`, or `seed by seed, eager: ` and the reason
    device: str
    reason: str = ""  # one line, for what failed or was interrupted
    findings: tuple[Finding, ...] | None = None  # None where the run was not diagnosed

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> RunSummary:
        """The summary that `to_dict` wrote; a KeyError or TypeError where it did not."""
        metrics = {
            name: Estimate(
                metric["mean"],
                metric["std"],
                tuple(metric["ci95"]) if metric["ci95"] else None,
                metric["n"],
                tuple(metric["values"]),
            )
            for name, metric in content["metrics"].items()
        }
        diverged = {int(seed): epoch for seed, epoch in content["diverged"].items()}
        stored = content.get("findings")
        findings = None if stored is None else tuple(Finding(**{**f, "remedies": tuple(f["remedies"])}) for f in stored)
        seeds = tuple(content["seeds"])
        return cls(**{**content, "seeds": seeds, "metrics": metrics, "diverged": diverged, "findings": findings})
