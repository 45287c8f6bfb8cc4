"""Findings in a training loop of one's own: the rules of `actbench.diagnosis`, with remedies in words for its code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from actbench.diagnosis import diagnose
from actbench.diagnosis.evidence import layer_named
from actbench.diagnosis.history import RunHistory
from actbench.measures.scores import EpochRecord
from actbench.records import Epoch, Finding, Traits
from actbench.settings import Choice, Settings, Train
from actbench.watching.records import LookRow

_RULES = ("dead-units", "saturated-units", "mean-shift")  # the others need losses or gradients, which a watch has not


@dataclass(frozen=True)
class Layer:
    """What is known of a watched layer besides its numbers.

    Args:
        kind: of its activation: `relu`, or the class of a module that is not torch's.
        traits: of the activation.
        dimensions: of what goes in: 2 (B, F), 3 (B, T, F) or 4 (B, C, H, W).
        place: of it in code: `model.block[1].act`, or the file and the line of a call.
        weight: of the layer in front, in code; empty where that is not known.
        normalised: whether a normalisation stands in front.
    """

    kind: str = ""
    traits: Traits = field(default_factory=Traits)
    dimensions: int = 2
    place: str = ""
    weight: str = ""
    normalised: bool = False


def findings_of(rows: Sequence[LookRow], layers: Mapping[str, Layer]) -> list[Finding]:
    """What went wrong by the last look at each layer, the worst first."""
    last = {row.layer: row for row in rows}
    lost = [row for row in last.values() if not math.isfinite(row.dead)]
    if lost:
        return [_diverged(lost, len(last))]
    first = [row for row in rows if row.step == 0]
    record = EpochRecord(0, 1, *[math.nan] * (len(fields(EpochRecord)) - 2))
    epochs = (
        *([Epoch(number=0, rows=tuple(row.as_record(0) for row in first))] if first else []),
        Epoch(number=1, rows=(record, *(row.as_record(1) for row in last.values()))),
    )
    traits = {name: layer.traits for name, layer in layers.items()}
    found = diagnose(RunHistory(_SETTINGS, epochs, "cpu", traits=traits))
    return [_in_words(finding, last, layers) for finding in found if finding.code in _RULES]


def _in_words(finding: Finding, rows: Mapping[str, LookRow], layers: Mapping[str, Layer]) -> Finding:
    worst = max((name for name in rows if finding.evidence.startswith(f"{layer_named(name)}: ")), key=len, default="")
    layer, units = layers.get(worst, Layer()), rows[worst].units if worst else 0
    ideas = {"dead-units": _for_dead, "saturated-units": _for_saturated, "mean-shift": _for_shifted}[finding.code]
    return replace(finding, remedies=tuple(ideas(finding, worst, layer, units)))


def _for_dead(finding: Finding, name: str, layer: Layer, units: int) -> Iterator[str]:
    if finding.symptom == "units died":
        yield SLOWER
    if layer.traits.flat or not layer.kind:
        yield f"nn.LeakyReLU() or nn.PReLU() in the place of {_here(name, layer)}"
    yield from _normalised(name, layer, units)
    yield from _initialised(layer)


def _for_saturated(_finding: Finding, name: str, layer: Layer, units: int) -> Iterator[str]:
    yield SLOWER
    yield from _normalised(name, layer, units)
    yield from _initialised(layer)
    if layer.traits.bounded or not layer.kind:
        yield f"nn.LeakyReLU() or nn.GELU() in the place of {_here(name, layer)}"


def _for_shifted(_finding: Finding, name: str, layer: Layer, units: int) -> Iterator[str]:
    yield from _normalised(name, layer, units)
    if layer.traits.never_negative or not layer.kind:
        yield f"nn.ELU(), nn.SELU() or nn.GELU() in the place of {_here(name, layer)}"
    yield from _initialised(layer)


SLOWER = "a tenth of the learning rate"


def in_code(path: str) -> str:
    """The path of a module or a parameter as it is written in Python.

    >>> in_code("blocks.0.act"), in_code("1.weight")
    ('model.blocks[0].act', 'model[1].weight')
    """
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in path.split("."))


def _here(name: str, layer: Layer) -> str:
    return f"{layer.kind or 'the activation'} at {layer.place or name}"


def _normalised(name: str, layer: Layer, units: int) -> Iterator[str]:
    if layer.normalised:
        return
    norms = {2: "BatchNorm1d", 3: "LayerNorm", 4: "BatchNorm2d", 5: "BatchNorm3d"}
    yield f"nn.{norms.get(layer.dimensions, 'BatchNorm1d')}({units}) in front of {_here(name, layer)}"


def _initialised(layer: Layer) -> Iterator[str]:
    if not layer.weight:
        return
    if layer.traits.bounded:
        yield f"nn.init.xavier_normal_({layer.weight}) before training"
    else:
        yield f"nn.init.kaiming_normal_({layer.weight}) before training"


def _diverged(lost: Sequence[LookRow], layers: int) -> Finding:
    others = f"; {len(lost)} of {layers} layers" if layers > 1 else ""
    return Finding(
        code="diverged-loss",
        symptom="training diverged",
        evidence=f"{layer_named(lost[0].layer)}: outputs or slopes are not finite at step {lost[0].step:,}{others}",
        cause="Weights or activations have overflowed, mostly after steps that were too long.",
        remedies=(
            SLOWER,
            "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0) before optimizer.step()",
            "torch.autograd.set_detect_anomaly(True), to find the first operation that is not finite",
        ),
    )


_NONE = Choice("none")
_SETTINGS = Settings(  # the rules ask what a command could change: nothing of it is known here, and none of it is said
    activation=Choice("own"), upper_activation=_NONE, init=Choice("torch_default"), model=Choice("own"), norm=_NONE,
    optimizer=Choice("own"), scheduler=_NONE, clip=_NONE, dataset=Choice("own"), augment=_NONE, split=0.5, dropout=0.0,
    train=Train(1, 1, 1, "cpu", None, "fp32"), seed=0, num_seeds=1, probe=True, tensorboard=False, study="", trust=(),
)  # fmt: skip
