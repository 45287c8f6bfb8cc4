"""Saturation: units so far out on a flat part of their activation that hardly any gradient passes, for any input."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import (
    counted,
    finite,
    in_parentheses,
    layer_named,
    layers_from,
    mean,
    percent,
    seeds_span,
)
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.measures.layers import LayerRecord
from actbench.records import Finding

# Share of a layer's units. Those that learn well have at most 0.01 (five and ten layers of tanh, sigmoid, hardtanh and
# softplus on MNIST, Adam 1e-3); at a learning rate of 1e-2 five layers of tanh have 0.3 and lose 15 points of accuracy,
# five of sigmoid 0.5 and lose 25.
SATURATED = 0.1

RULE = Rule(
    code="saturated-units",
    rank=50,
    metric="saturated_ratio",
    summary="A tenth of a layer's units or more are saturated.",
    what="At the end a tenth of a layer's units or more are saturated: for every validation sample the slope is below "
    "0.01 of the activation's steepest. Units whose slope is exactly 0 count here only where the activation is nowhere "
    "flat, so that rounding made it 0; of an activation that cannot saturate nothing is said.",
    why="Hardly any gradient passes through a saturated unit: it and what is below it hardly learn.",
    example="actbench dataset=digits model.width=64 activation=tanh optimizer.lr=0.03 train.epochs=3",
    remedy="A tenth of the learning rate, norm=batch, He init; leaky_relu or gelu in the place of a bounded "
    "activation.",
)


def find(run: RunHistory) -> Finding | None:
    """The share of saturated units after the last epoch, mean over seeds, in the worst layer."""
    if run.traits and not run.activations_with("saturates"):
        return None
    shares = {layer: [_share(run, record) for record in records] for layer, records in run.layers.items()}
    affected = layers_from(shares, SATURATED)
    if not affected:
        return None
    worst, settings = affected[0], run.settings
    seeds = seeds_span([100 * value for value in finite(shares[worst])], unit=" %")
    at = percent(SATURATED)
    others = f"{counted(len(affected), 'layer')} of {len(shares)} at {at} or more" if len(shares) > 1 else ""
    return Finding(
        symptom="units saturated",
        evidence=f"{layer_named(worst)}: "
        f"{percent(mean(shares[worst]))} of {counted(run.layers[worst][0].units, 'unit')} saturated"
        f"{in_parentheses(seeds, others)}",
        cause=_CROWDED if run.activations_with("coupled") else _FAR_OUT,
        remedies=remedies.all_of(
            remedies.learning_rate(settings, times=1 / 10),
            remedies.batch_norm(settings),
            remedies.he_init(settings),
            remedies.activation(run, "leaky_relu", "gelu", instead_of=("bounded",)),
        ),
    )


_FAR_OUT = "Pre-activations have grown so large that the activation's slope is almost 0 for every sample."
_CROWDED = (
    "Hardly any gradient reaches these units for any sample: they are far out on a flat part of the activation, or the "
    "other units that they compete with crowd them out."
)


def _share(run: RunHistory, record: LayerRecord) -> float:
    """Without the dead units, unless no activation has a flat part on which they could lie."""
    nowhere_flat = run.traits and not run.activations_with("flat")
    return record.saturated if nowhere_flat else record.saturated - record.dead
