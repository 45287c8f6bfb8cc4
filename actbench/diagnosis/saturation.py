"""Saturation: units so far out on a flat part of their activation that hardly any gradient passes, for any input."""

from __future__ import annotations

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import counted, finite, in_parentheses, mean, percent, seeds_span
from actbench.measures.layers import LayerRecord
from actbench.records import Finding

# Share of a layer's units. Those that learn well have at most 0.01 (five and ten layers of tanh, sigmoid, hardtanh and
# softplus on MNIST, Adam 1e-3); at a learning rate of 1e-2 five layers of tanh have 0.3 and lose 15 points of accuracy,
# five of sigmoid 0.5 and lose 25.
SATURATED = 0.1

# Nothing to saturate: straight lines on either side, of which a small slope is chosen or learned, and a slope that
# grows without end, beside which every small one seems flat.
UNSATURATED = ("none", "leaky_relu", "prelu", "squared_relu")

SMOOTH = ("sigmoid", "tanh", "softsign")  # never quite flat: a slope of 0 is a saturated one that was rounded


def find(case: Case) -> Finding | None:
    """The share of saturated units after the last epoch, mean over seeds, in the worst layer.

    Units whose slope is exactly 0 are `dead_units`'s where the activation has a flat part.
    """
    settings = case.settings
    if settings.activation.name in UNSATURATED and settings.upper_activation.name in UNSATURATED:
        return None
    shares = {layer: [_share(case, record) for record in records] for layer, records in case.layers.items()}
    ill = {layer: values for layer, values in shares.items() if mean(values) >= SATURATED}
    if not ill:
        return None
    worst = max(ill, key=lambda layer: mean(ill[layer]))
    seeds = seeds_span([100 * value for value in finite(ill[worst])], unit=" %")
    others = f"{counted(len(ill), 'layer')} of {len(shares)} at {percent(SATURATED)} or more" if len(shares) > 1 else ""
    return Finding(
        symptom="units saturated",
        evidence=f"{worst}: {percent(mean(ill[worst]))} of {counted(case.layers[worst][0].units, 'unit')} saturated"
        f"{in_parentheses(seeds, others)}",
        cause=_CROWDED if _may_compete(case) else _FAR_OUT,
        remedies=remedies.all_of(
            remedies.learning_rate(settings, times=1 / 10),
            remedies.batch_norm(settings),
            remedies.he_init(settings),
            remedies.activation(settings, "leaky_relu", "gelu", instead_of=remedies.BOUNDED),
        ),
    )


_FAR_OUT = "Pre-activations have grown so large that the activation's slope is almost 0 for every sample."
_CROWDED = (
    "Hardly any gradient reaches these units for any sample: they are far out on a flat part of the activation, or, "
    "where units compete, crowded out by others."
)
_COMPETING = ("Softmax", "Softmin", "LogSoftmax", "Softmax2d", "GLU")  # of torch


def _may_compete(case: Case) -> bool:
    """Whether an activation is one of which nobody here can say that it is elementwise."""
    targets = [choice.target for choice in (case.settings.activation, case.settings.upper_activation) if choice.target]
    return any(not t.startswith(("torch.", "actbench.")) or t.rpartition(".")[2] in _COMPETING for t in targets)


def _share(case: Case, record: LayerRecord) -> float:
    settings = case.settings
    smooth = settings.activation.name in SMOOTH and settings.upper_activation.name in ("none", *SMOOTH)
    return record.saturated if smooth else record.saturated - record.dead
