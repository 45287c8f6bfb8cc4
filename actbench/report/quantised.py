"""What is left of each configuration in simulated INT8."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actbench.errors import Problem
from actbench.records import Estimate, QuantisedRecord
from actbench.report.configurations import METRIC, Configuration
from actbench.report.readings import by_seed, readable
from actbench.report.sheet import Sheet, mean, minus

_SCHEMES = ("symmetric", "affine")
_NONE = Estimate.of([])


def quantised_sheet(configurations: Sequence[Configuration], problems: list[Problem]) -> Sheet | None:
    """The ranking by test accuracy lost, paired seed by seed; None where nothing was quantised.

    Files that cannot be read are added to `problems`.
    """
    lost = {one.name: found for one in configurations if (found := _lost(one))}
    if not lost:
        return None
    chosen = sorted((one for one in configurations if one.name in lost), key=lambda one: _least(lost[one.name]))
    worst = readable(chosen, worst_layers, problems)
    header = ("configuration", *(f"lost, {s}" for s in _SCHEMES), *(f"SNR dB, {s}" for s in _SCHEMES))
    header += tuple(f"worst layer, {s}" for s in _SCHEMES)
    rows = []
    for one in chosen:
        of_one = lost[one.name]
        ratios = (mean(one.estimate(f"int8_{scheme}_snr"), 1) for scheme in _SCHEMES)
        layers = (worst.get(one.name, {}).get(scheme, "–") for scheme in _SCHEMES)
        rows.append((one.name, *(minus(of_one.get(s, _NONE).plus_minus()) for s in _SCHEMES), *ratios, *layers))
    note = (
        "lost: test accuracy in floating point minus that in INT8, points, same seed, ± half the 95 % interval; "
        "ordered by the better of the two schemes; SNR: of the logits, mean over seeds; worst layer: whose own "
        "rounding has the lowest SNR (dB)"
    )
    return Sheet("In INT8, least accuracy lost first", header, tuple(rows), note=note)


def _lost(one: Configuration) -> dict[str, Estimate]:
    """Scheme -> the accuracy lost."""
    exact, found = one.values.get(METRIC, {}), {}
    for scheme in _SCHEMES:
        rounded = one.values.get(f"int8_{scheme}_accuracy", {})
        both = sorted(exact.keys() & rounded.keys())
        if both:
            found[scheme] = Estimate.of([exact[seed] - rounded[seed] for seed in both])
    return found


def _least(lost: Mapping[str, Estimate]) -> float:
    return min(math.inf if one.mean is None else one.mean for one in lost.values())


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
