"""The accuracy and noise of a trained network in simulated INT8: `quantised.csv`, and metrics in `summary.json`.

`measures.computing.rounding` does the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from actbench.measures.quantities import OfSeed, identified, measured

if TYPE_CHECKING:
    from torch import nn

    from actbench.datasets import Splits

SCHEMES = ("symmetric", "affine")  # of the inputs of layers; weights are symmetric in both
OUTPUT = "output"  # the logits among the layers

_SCHEME = (
    "`symmetric`: the inputs of a layer become integers from -127 to 127; `affine`: from 0 to 255 with a zero point of "
    "their own (Jacob et al. 2017, arXiv:1712.05877)."
)
_SNR = "Sheng et al. 2018, arXiv:1803.08607"


@dataclass(frozen=True)
class Int8Scores(OfSeed):
    """One trained seed in simulated INT8 over the test set, in `summary.json` alone."""

    taken: ClassVar[str] = "once, at the end, with quantise=int8"
    order: ClassVar[int] = 70

    int8_symmetric_accuracy: float = measured(
        "Test accuracy in simulated INT8, symmetric scheme.",
        title="INT8 symmetric", unit="%", better="higher", tag="int8_accuracy/symmetric",
        summary="int8_symmetric_accuracy", place=6,
    )  # fmt: skip
    int8_symmetric_snr: float = measured(
        "Signal-to-noise ratio of the logits in simulated INT8, symmetric scheme, over the test set.",
        title="INT8 symmetric, SNR", short="symmetric, SNR",
        unit="dB", source=_SNR, better="higher", digits=1, tag="int8_snr/symmetric",
        summary="int8_symmetric_snr", place=8,
    )  # fmt: skip
    int8_affine_accuracy: float = measured(
        "Test accuracy in simulated INT8, affine scheme.",
        title="INT8 affine", unit="%", better="higher", tag="int8_accuracy/affine",
        summary="int8_affine_accuracy", place=7,
    )  # fmt: skip
    int8_affine_snr: float = measured(
        "Signal-to-noise ratio of the logits in simulated INT8, affine scheme, over the test set.",
        title="INT8 affine, SNR", short="affine, SNR",
        unit="dB", source=_SNR, better="higher", digits=1, tag="int8_snr/affine",
        summary="int8_affine_snr", place=9,
    )  # fmt: skip


@dataclass(frozen=True)
class Fp32Score(OfSeed):
    """One trained seed in single precision, of a run that was trained and scored in another."""

    taken: ClassVar[str] = "once, at the end, with quantise=int8 and another train.precision than fp32"
    order: ClassVar[int] = 71

    fp32_accuracy: float = measured(
        "Test accuracy in single precision, of a network that was trained and scored in another.",
        title="FP32", unit="%", better="higher", summary="fp32_accuracy",
    )  # fmt: skip


@dataclass(frozen=True)
class QuantisedRecord(OfSeed):
    """One layer of one trained seed in simulated INT8; a row of `quantised.csv`."""

    table: ClassVar[str] = "quantised"
    taken: ClassVar[str] = "once, at the end, with quantise=int8"
    order: ClassVar[int] = 72
    reported: ClassVar[bool] = False

    scheme: str = identified(_SCHEME, among=SCHEMES)
    layer: str = identified("Name of the layer; `output` for the logits, which are not rounded.")
    snr: float = measured(
        "Signal-to-noise ratio of the layer's outputs over the test set, with the errors of all layers below.",
        title="SNR", unit="dB", source=_SNR, better="higher", digits=1,
    )  # fmt: skip
    own_snr: float = measured(
        "Signal-to-noise ratio of the layer's outputs over the test set, from rounding these outputs alone.",
        title="own SNR", unit="dB", source=_SNR, better="higher", digits=1,
    )  # fmt: skip


def score(
    networks: Mapping[int, Callable[[], nn.Module]], splits: Splits, *, precision: str, batch_size: int
) -> Iterator[Int8Scores | Fp32Score | QuantisedRecord]:
    """The rows of all trained seeds.

    Args:
        networks: seed -> a function that returns its ordinary module, x (B, C, H, W) -> logits (B, classes).
        splits: the data, on the device to compute on.
        precision: in which the test set was scored, `fp32` or another.
        batch_size: samples per forward pass.
    """
    from actbench.measures.computing.rounding import quantise

    for seed, network in networks.items():
        result = quantise(network().to(splits.test_x.device), splits, batch_size)
        for scheme, rounded in result.int8.items():
            for noise in rounded.layers:
                yield QuantisedRecord(seed, scheme, noise.layer, noise.snr, noise.own_snr)
        symmetric, affine = result.int8["symmetric"], result.int8["affine"]
        yield Int8Scores(
            seed,
            int8_symmetric_accuracy=symmetric.accuracy,
            int8_symmetric_snr=symmetric.snr,
            int8_affine_accuracy=affine.accuracy,
            int8_affine_snr=affine.snr,
        )
        if precision != "fp32":
            yield Fp32Score(seed, result.accuracy)
