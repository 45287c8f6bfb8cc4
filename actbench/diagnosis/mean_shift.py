"""Outputs far from zero mean: every unit above sees nearly the same large number, whatever the input."""

from __future__ import annotations

import math

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import counted, figure, finite, in_parentheses, mean, seeds_span
from actbench.measures.layers import LayerRecord
from actbench.records import Finding

# |mean| / standard deviation of a layer's outputs. Of z ~ N(0, 1) ReLU makes 0.68, softplus 1.5 and sigmoid 2.4, and
# those learn: ten layers of softplus reach 92 % in three epochs of 10,000 samples, five of sigmoid 93 %. What stays at
# 3 and more does not: ten layers of sigmoid with torch's own init are at 7 and guess.
RATIO = 3.0


def find(case: Case) -> Finding | None:
    """|mean| / std of the outputs after the last epoch, mean over seeds, in the worst layer; gates pass nothing on.

    Source: LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", section 4.3: inputs of a layer that are not of
    zero mean push all weights of a unit the same way.
    """
    passing = {layer: records for layer, records in case.layers.items() if not layer.endswith(".gate")}
    ratios = {layer: finite(map(_ratio, records)) for layer, records in passing.items()}
    ill = {layer: values for layer, values in ratios.items() if values and mean(values) >= RATIO}
    if not ill:
        return None
    worst = max(ill, key=lambda layer: mean(ill[layer]))
    outputs = case.layers[worst]
    seeds = seeds_span(ill[worst])
    others = f"{counted(len(ill), 'layer')} of {len(ratios)} at {RATIO:g} or more" if len(ratios) > 1 else ""
    settings = case.settings
    return Finding(
        symptom="outputs far from zero mean",
        evidence=f"{worst}: mean {figure(mean(r.mean for r in outputs))}, {mean(ill[worst]):.1f} standard deviations "
        f"from 0{in_parentheses(seeds, others)}",
        cause="What a layer passes on is mostly a constant: all weights of a unit above are pushed the same way.",
        remedies=remedies.all_of(
            remedies.batch_norm(settings),
            remedies.activation(settings, "elu", "selu", "gelu", instead_of=remedies.POSITIVE),
            remedies.he_init(settings),
        ),
    )


def _ratio(record: LayerRecord) -> float:
    """NaN where all outputs are the same, as those of a dead layer."""
    return abs(record.mean) / record.std if record.std > 0 else math.nan
