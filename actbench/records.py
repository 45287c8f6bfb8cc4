"""The only shapes that leave the training loop: one seed in one epoch, one of its layers, and the sum of a run.

A field with a default is one that earlier versions did not write.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from scipy.special import stdtrit

Status = Literal["completed", "diverged", "interrupted", "failed"]


@dataclass(frozen=True)
class EpochRecord:
    """One seed in one epoch; a row of `history.csv`.

    Losses are means over samples in nats, accuracies percentages, `lr` the learning rate at the end of the epoch,
    `grad_norm` the Euclidean norm of the whole gradient (before clipping; mean over a few steps of the epoch),
    `seconds` the wall time of the epoch for all seeds together, validation included, `clipped` the share of those few
    steps in which clipping changed the gradient (NaN without clipping).
    """

    seed: int
    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    grad_norm: float
    seconds: float
    clipped: float = math.nan


@dataclass(frozen=True)
class LayerRecord:
    """The units of one layer of one seed after one epoch (0: before training); a row of `layers.csv`.

    `dead`, `dormant` and `saturated` are shares of the layer's `units`, `active` the share of (unit, sample) pairs with
    z > 0 (of an activation that selects among units, as `topk`: that it lets through), `mean` and `std` those of the
    outputs, `grad_norm` the norm of the gradient of the layer's parameters.

    NaN is what is not known: everything where outputs overflowed, and `saturated` where the activation is not
    elementwise and its outputs depend on other samples, or are too many (see `probes.units`).

    What happened since the epoch before, as numbers of units: `deaths` (alive before, dead now), `revivals` (dead
    before, alive now, and alive once before that) and `births` (dead from the start, alive for the first time). The
    dead are `dead_at_init` + `died`: those never alive so far, and those that died in training, as shares of `units`.
    `dead_for` is the mean time that those now dead have been so, in epochs (NaN where none is). These three are NaN
    where nobody looked before training. A unit that dies and comes back between two epochs does not count here.
    """

    seed: int
    epoch: int
    layer: str
    units: int
    dead: float
    dormant: float
    saturated: float
    active: float
    mean: float
    std: float
    grad_norm: float
    births: int = 0
    deaths: int = 0
    revivals: int = 0
    dead_at_init: float = math.nan
    died: float = math.nan
    dead_for: float = math.nan


@dataclass(frozen=True)
class LookRecord:
    """The life and death of a layer's units at one of the looks that `probe.every` asks for; a row of `looks.csv`.

    `step` counts optimizer steps from the start of training, `epoch` the same in epochs; the rest is as in
    `LayerRecord`, but from look to look: births, deaths and revivals are those since the look before.
    """

    seed: int
    step: int
    epoch: float
    layer: str
    units: int
    dead: float
    births: int
    deaths: int
    revivals: int
    dead_at_init: float
    died: float
    dead_for: float


EVENTS = ("dead", "birth", "death", "revival")  # what may befall a unit; the first where it is looked at first


@dataclass(frozen=True)
class UnitEvent:
    """One unit that was found in another state than at the look before; a row of `units.csv`.

    `event` is `dead` (found so at the first look), `birth`, `death` or `revival`, as in `LayerRecord`; units that were
    alive all along have no row. With `probe.every` its looks are among those compared. `step` counts optimizer steps,
    `unit` from 0.
    """

    seed: int
    step: int
    epoch: float
    layer: str
    unit: int
    event: str


@dataclass(frozen=True)
class DefinitionRecord:
    """The share of a layer's units that would be called dead by one of several definitions; a row of `definitions.csv`.

    `definition` is `exact` (f'(z) = 0 for every sample), `dormant<=T` (mean |h| at most T of the layer's mean of mean
    |h|; `dormant<=0` is "outputs 0 for every sample") or `fires<1%` (z > 0 for less than one in a hundred samples).
    """

    seed: int
    epoch: int
    layer: str
    units: int
    definition: str
    share: float


@dataclass(frozen=True)
class ShapeRecord:
    """A learned parameter of an activation, over the units of one layer that have one each; a row of `shapes.csv`."""

    seed: int
    epoch: int
    layer: str
    parameter: str
    mean: float
    std: float
    min: float
    max: float


class Origin(NamedTuple):
    """What was first infinite or NaN in a seed that diverged, in the order of a training step.

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
    """What one epoch gave: a record for each seed that had not diverged before, and for each of their layers.

    Epoch 0 is the look at the untrained network and has layers only. `diverged` names the seeds whose loss stopped
    being finite in this epoch, and `origins` says where that came from, as plain tuples of an `Origin`'s fields.
    `look_seconds` is what the looks of `probe.every` took, beside `train_seconds`, and
    `busy` the share of the time that a GPU was at work (NaN where that is not known).
    """

    number: int
    records: tuple[EpochRecord, ...] = ()
    layers: tuple[LayerRecord, ...] = ()
    looks: tuple[LookRecord, ...] = ()
    events: tuple[UnitEvent, ...] = ()
    definitions: tuple[DefinitionRecord, ...] = ()
    shapes: tuple[ShapeRecord, ...] = ()
    diverged: tuple[int, ...] = ()
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    look_seconds: float = 0.0
    busy: float = math.nan
    origins: tuple[tuple[Any, ...], ...] = ()

    def of_seed(self, seed: int) -> tuple[LayerRecord, ...]:
        """The layers of one seed."""
        return tuple(layer for layer in self.layers if layer.seed == seed)


RATIOS = ("dead", "dormant", "saturated", "active")


def network_ratio(layers: Sequence[LayerRecord], ratio: str) -> float:
    """The ratio over all units of a network, from the records of its layers (one seed, one epoch)."""
    units = sum(layer.units for layer in layers)
    return sum(getattr(layer, ratio) * layer.units for layer in layers) / units if units else math.nan


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
        finite = [value for value in values if math.isfinite(value)]
        kept = tuple(value if math.isfinite(value) else None for value in values)
        n = len(finite)
        if n == 0:
            return cls(None, None, None, 0, kept)
        mean = math.fsum(finite) / n
        if n == 1:
            return cls(mean, None, None, 1, kept)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in finite) / (n - 1))
        half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
        return cls(mean, std, (mean - half, mean + half), n, kept)

    def plus_minus(self, digits: int = 2, scale: float = 1.0) -> str:
        """`98.07 ± 0.05`, half the width of the 95 % interval; the bare value where there is one seed."""
        if self.mean is None:
            return "–"
        mean = f"{scale * self.mean:.{digits}f}"
        return mean if self.ci95 is None else f"{mean} ± {scale * (self.ci95[1] - self.ci95[0]) / 2:.{digits}f}"


@dataclass(frozen=True)
class Traits:
    """What an activation is like, as `activations.traits` measures it; all False where nothing is known.

    Args:
        flat: f' is exactly 0 on an interval, so that a unit can die.
        bounded: |f| stays below some bound on both sides.
        never_negative: f ≥ 0 everywhere, so that the mean of the outputs cannot be 0.
        saturates: the slope vanishes somewhere, beside a steepest slope that there is.
        coupled: an output depends on other values of z than the one in its own place.
        selects: some units of a layer are let through as they are and the others become 0, by the values of all.
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

    `symptom` is what it looks like in a few words, `evidence` what was measured, `cause` what is likely behind it,
    `remedies` are overrides that can be put behind `actbench`, and `code` is the stable name of the rule that found it
    (`actbench.diagnosis.rules`); empty in the files of earlier versions.
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
class QuantisedRecord:
    """One layer of one trained seed in simulated INT8; a row of `quantised.csv`.

    Signal-to-noise ratios in dB of the layer's outputs over the test set: `snr` against those of the network in
    floating point, with the errors of all layers below; `own_snr` of rounding this layer's outputs alone. `layer` is
    `output` for the logits, which are not rounded.
    """

    seed: int
    scheme: str
    layer: str
    snr: float
    own_snr: float


@dataclass(frozen=True)
class RunSummary:
    """A run's results; `summary.json`.

    `diverged` maps a seed to the epoch in which its loss stopped being finite. `seconds` are wall time: `train`,
    `eval` (validation and probes) and `looks` (of `probe.every`) of all epochs, and `total`, their sum.
    """

    status: Status
    id: str
    label: str
    dataset: str
    dataset_note: str  # not empty where the data are not what was hoped for: `auto` that fell back to the digits
    activation: str
    upper_activation: str
    seeds: tuple[int, ...]
    diverged: dict[int, int]
    epochs_done: int
    parameters: int
    metrics: dict[str, Estimate]
    seconds: dict[str, float]
    samples_per_second: float
    execution: str  # how: `stacked, eager`, `seed by seed, channels_last, eager: ` and why
    device: str
    reason: str = ""  # one line, for what failed or was interrupted
    findings: tuple[Finding, ...] | None = None  # what went wrong inside; None where nobody asked

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
        told = content.get("findings")
        findings = None if told is None else tuple(Finding(**{**f, "remedies": tuple(f["remedies"])}) for f in told)
        seeds = tuple(content["seeds"])
        return cls(**{**content, "seeds": seeds, "metrics": metrics, "diverged": diverged, "findings": findings})
