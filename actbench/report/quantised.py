"""What is left of each configuration in simulated INT8."""

from __future__ import annotations

import math
from collections.abc import Sequence

from actbench.errors import Problem
from actbench.measures.int8 import QuantisedRecord
from actbench.records import Estimate
from actbench.report.configurations import METRIC, Configuration
from actbench.report.readings import by_seed, readable
from actbench.report.text_table import Sheet, mean, minus

_SCHEMES = ("symmetric", "affine")
_NONE = Estimate.of([])


def quantised_sheet(configurations: Sequence[Configuration], problems: list[Problem]) -> Sheet | None:
    """The ranking by signal-to-noise ratio, beside the test accuracy lost; None where nothing was quantised.

    Accuracy decides nothing: on MNIST all of them lose less than seeds differ by. Files that cannot be read are added
    to `problems`.
    """
    lost = {one.name: found for one in configurations if (found := _lost(one))}
    if not lost:
        return None
    chosen = sorted((one for one in configurations if one.name in lost), key=_ratio, reverse=True)
    worst = readable(chosen, worst_layers, problems)
    header = ("configuration", *(f"SNR dB, {s}" for s in _SCHEMES), *(f"lost, {s}" for s in _SCHEMES))
    header += tuple(f"worst layer, {s}" for s in _SCHEMES)
    rows = []
    for one in chosen:
        of_one = lost[one.name]
        ratios = (mean(one.estimate(f"int8_{scheme}_snr"), 1) for scheme in _SCHEMES)
        layers = (worst.get(one.name, {}).get(scheme, "–") for scheme in _SCHEMES)
        rows.append((one.name, *ratios, *(minus(of_one.get(s, _NONE).plus_minus()) for s in _SCHEMES), *layers))
    note = (
        "SNR: signal-to-noise ratio of the logits, mean over seeds, by the better of which the rows are ordered; lost: "
        "test accuracy in floating point minus that in INT8, points, same seed, ± half the 95 % interval; worst layer: "
        "whose own rounding has the lowest SNR (dB)"
    )
    return Sheet("In INT8, least noise first", header, tuple(rows), note=note)


def _lost(one: Configuration) -> dict[str, Estimate]:
    """Scheme -> the accuracy lost, of a network trained in bf16 or TF32 against what it has in single precision."""
    exact, found = one.values.get("fp32_accuracy") or one.values.get(METRIC, {}), {}
    for scheme in _SCHEMES:
        rounded = one.values.get(f"int8_{scheme}_accuracy", {})
        both = sorted(exact.keys() & rounded.keys())
        if both:
            found[scheme] = Estimate.of([exact[seed] - rounded[seed] for seed in both])
    return found


def _ratio(one: Configuration) -> float:
    """The better scheme's signal-to-noise ratio; −inf where there is none."""
    return max(-math.inf if (snr := one.estimate(f"int8_{s}_snr").mean) is None else snr for s in _SCHEMES)


def worst_layers(one: Configuration) -> dict[str, str]:
    """Scheme -> the layer whose own rounding has the lowest mean signal-to-noise ratio: `hidden1 (31.2)`.

    Raises:
        UserError: a file cannot be read.
    """
    ratios: dict[str, dict[str, list[float]]] = {}
    for records in by_seed(one, QuantisedRecord).values():
        for record in records:
            if math.isfinite(record.own_snr) and record.layer != "output":
                ratios.setdefault(record.scheme, {}).setdefault(record.layer, []).append(record.own_snr)
    found = {}
    for scheme, layers in ratios.items():
        means = {layer: math.fsum(values) / len(values) for layer, values in layers.items()}
        layer = min(means, key=lambda name: means[name])
        found[scheme] = f"{layer} ({means[layer]:.1f})"
    return found
