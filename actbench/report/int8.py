"""What simulated INT8 costs each configuration: noise, accuracy, and the layer that is rounded worst."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actbench.errors import Problem
from actbench.measures.int8 import QuantisedRecord
from actbench.records import Estimate
from actbench.report.columns import heading, mean_cell
from actbench.report.configurations import METRIC, Configuration
from actbench.report.formatting import minus
from actbench.report.seed_records import read_each, records_by_seed
from actbench.report.text_table import TextTable

_SCHEMES = ("symmetric", "affine")
_SNR = {"symmetric": "int8_symmetric_snr", "affine": "int8_affine_snr"}
_ACCURACY = {"symmetric": "int8_symmetric_accuracy", "affine": "int8_affine_accuracy"}
_NOTE = (
    "SNR: signal-to-noise ratio of the logits, mean over seeds; rows are ordered by the better of the two schemes; "
    "lost: test accuracy in floating point minus that in INT8, in points, paired by seed, ± half the 95 % interval; "
    "worst layer: the one whose own rounding has the lowest SNR (dB)"
)


def int8_table(configurations: Sequence[Configuration], problems: list[Problem]) -> TextTable | None:
    """Configurations by signal-to-noise ratio, beside the test accuracy lost; None where nothing was quantised.

    The order ignores accuracy: on MNIST the losses are smaller than the differences between seeds. Files that cannot be
    read are added to `problems`.
    """
    scored = [one for one in configurations if any(name in one.values for name in _ACCURACY.values())]
    lost = {configuration.name: _accuracy_lost(configuration) for configuration in scored}
    quantised = [configuration for configuration in scored if lost[configuration.name]]
    if not quantised:
        return None
    quantised.sort(key=_better_snr, reverse=True)
    worst = read_each(quantised, worst_layers, problems)
    nothing = Estimate.of([])
    rows = []
    for configuration in quantised:
        name = configuration.name
        snr = (mean_cell(_SNR[scheme], configuration.estimate(_SNR[scheme])) for scheme in _SCHEMES)
        points = (minus(lost[name].get(scheme, nothing).plus_minus()) for scheme in _SCHEMES)
        layers = (worst.get(name, {}).get(scheme, "–") for scheme in _SCHEMES)
        rows.append((name, *snr, *points, *layers))
    header = (
        "configuration",
        *(heading(_SNR[scheme]) for scheme in _SCHEMES),
        *(f"lost, {scheme}" for scheme in _SCHEMES),
        *(f"worst layer, {scheme}" for scheme in _SCHEMES),
    )
    gist = _gist(quantised)
    return TextTable("In INT8, least noise first", header, tuple(rows), note=_NOTE, section="int8", gist=gist)


def _gist(quantised: Sequence[Configuration]) -> str:
    """`least noise in relu (31.2 dB), most in swish (20.1 dB)`, by the better of the two schemes."""
    said = {"least": quantised[0], "most": quantised[-1]} if len(quantised) > 1 else {"the": quantised[0]}
    ratios = {word: (one.name, _better_snr(one)) for word, one in said.items()}
    parts = [f"{word} noise in {name} ({snr:.1f} dB)" for word, (name, snr) in ratios.items() if math.isfinite(snr)]
    return ", ".join(parts)


def _accuracy_lost(configuration: Configuration) -> dict[str, Estimate]:
    """Scheme -> the accuracy lost; networks trained in bf16 or TF32 are compared with their accuracy in fp32."""
    exact = configuration.values.get("fp32_accuracy") or configuration.values.get(METRIC, {})
    lost = {}
    for scheme in _SCHEMES:
        rounded = configuration.values.get(_ACCURACY[scheme], {})
        seeds = sorted(exact.keys() & rounded.keys())
        if seeds:
            lost[scheme] = Estimate.of([exact[seed] - rounded[seed] for seed in seeds])
    return lost


def _better_snr(configuration: Configuration) -> float:
    """The signal-to-noise ratio of the better scheme; −inf where there is none."""
    return max(configuration.mean(_SNR[scheme]) for scheme in _SCHEMES)


def worst_layers(configuration: Configuration) -> dict[str, str]:
    """Scheme -> the layer whose own rounding has the lowest mean signal-to-noise ratio: `hidden1 (31.2)`.

    Raises:
        UserError: a file cannot be read.
    """
    ratios: dict[str, dict[str, list[float]]] = {}
    for records in records_by_seed(configuration, QuantisedRecord).values():
        for record in records:
            if math.isfinite(record.own_snr) and record.layer != "output":
                ratios.setdefault(record.scheme, {}).setdefault(record.layer, []).append(record.own_snr)
    worst = {}
    for scheme, layers in ratios.items():
        means = {layer: math.fsum(values) / len(values) for layer, values in layers.items()}
        layer = min(means, key=lambda name: means[name])
        worst[scheme] = f"{layer} ({means[layer]:.1f})"
    return worst
