"""Outputs far from zero mean: every unit above sees nearly the same large number, whatever the input."""

from __future__ import annotations

import math

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import (
    counted,
    figure,
    finite,
    in_parentheses,
    layer_named,
    layers_from,
    mean,
    seeds_span,
)
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.measures.layers import LayerRecord
from actbench.records import Finding

# |mean| / standard deviation of a layer's outputs. Of z ~ N(0, 1) ReLU makes 0.68, softplus 1.5 and sigmoid 2.4, and
# those learn: ten layers of softplus reach 92 % in three epochs of 10,000 samples, five of sigmoid 93 %. What stays at
# 3 and more does not: ten layers of sigmoid with torch's own init are at 7 and guess.
RATIO = 3.0

RULE = Rule(
    code="mean-shift",
    rank=80,
    summary="A layer's outputs are far from zero mean.",
    what="At the end the mean of a layer's outputs lies 3 of their standard deviations or more from 0.",
    why="What the layer passes on is mostly a constant, which tells the next one nothing and pushes all weights of a "
    "unit the same way (LeCun et al. 1998, Efficient BackProp, section 4.3).",
    example="actbench dataset=digits model.width=64 model.depth=8 activation=sigmoid init=torch_default train.epochs=3",
    remedy="norm=batch; elu, selu or gelu in the place of an activation that is never negative; He init.",
)


def find(run: RunHistory) -> Finding | None:
    """|mean| / std of the outputs after the last epoch, mean over seeds, in the worst layer; gates pass nothing on."""
    passing = {layer: records for layer, records in run.layers.items() if not layer.endswith(".gate")}
    ratios = {layer: finite(map(_ratio, records)) for layer, records in passing.items()}
    affected = layers_from(ratios, RATIO)
    if not affected:
        return None
    worst, settings = affected[0], run.settings
    seeds = seeds_span(ratios[worst])
    others = f"{counted(len(affected), 'layer')} of {len(ratios)} at {RATIO:g} or more" if len(ratios) > 1 else ""
    return Finding(
        symptom="outputs far from zero mean",
        evidence=f"{layer_named(worst)}: "
        f"mean {figure(mean(r.mean for r in run.layers[worst]))}, {mean(ratios[worst]):.1f} standard "
        f"deviations from 0{in_parentheses(seeds, others)}",
        cause="What a layer passes on is mostly a constant: all weights of a unit above are pushed the same way.",
        remedies=remedies.all_of(
            remedies.batch_norm(settings),
            remedies.activation(run, "elu", "selu", "gelu", instead_of=("never_negative",)),
            remedies.he_init(settings),
        ),
    )


def _ratio(record: LayerRecord) -> float:
    """NaN where all outputs are the same, as those of a dead layer."""
    return abs(record.mean) / record.std if record.std > 0 else math.nan
