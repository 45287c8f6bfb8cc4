"""Units died: no input of the validation split brings a gradient through them, so that they cannot learn any more."""

from __future__ import annotations

import math

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
from actbench.records import Finding

# Share of a layer's units. `experiment=article_mlp` has 0.08 after ten epochs, ten layers of ReLU with torch's own init
# up to 0.27 and the dense layer of `experiment=article_cnn` 0.25 (0.43 on the few digits), and all learn; a learning
# rate that is too high makes it 0.7 and more (`experiment=dying_relu`: 0.75). Stanford's CS231n ("Neural Networks 1")
# warns of "as much as 40%" at such a learning rate.
DEAD = 0.5

RULE = Rule(
    code="dead-units",
    rank=40,
    metric="dead_ratio",
    summary="Half of a layer's units or more are dead.",
    what="At the end half of a layer's units or more are dead: the slope of the activation is exactly 0 for every "
    "validation sample. It says how many were dead before training and how many died in it.",
    why="No gradient reaches a dead unit, so it cannot learn and seldom comes back: the network is narrower than it "
    "looks.",
    example="actbench dataset=digits model.width=64 optimizer.lr=0.03 train.epochs=3",
    remedy="A tenth of the learning rate if they died in training; leaky_relu or prelu in the place of a flat "
    "activation, norm=batch, He init. Where the activation selects among units, more of them.",
)


def find(run: RunHistory) -> Finding | None:
    """The share of dead units after the last epoch, mean over seeds, in the worst layer; and when they died."""
    shares = {layer: [record.dead for record in records] for layer, records in run.layers.items()}
    affected = layers_from(shares, DEAD)
    if not affected:
        return None
    worst = affected[0]
    before, during = _when(run, worst)
    from_start = math.isfinite(before) and before > during
    when = f"{percent(before)} before training, {percent(during)} died in it" if math.isfinite(before) else ""
    others = f"{counted(len(affected), 'layer')} of {len(shares)} at {percent(DEAD)} or more" if len(shares) > 1 else ""
    seeds = seeds_span([100 * value for value in finite(shares[worst])], unit=" %")
    selects = bool(run.activations_with("selects"))
    return Finding(
        symptom="units dead from the start" if from_start else "units died",
        evidence=f"{layer_named(worst)}: "
        f"{percent(mean(shares[worst]))} of {counted(run.layers[worst][0].units, 'unit')} dead"
        f"{in_parentheses(when, seeds, others)}",
        cause=_NEVER_KEPT if selects else _cause(from_start, depth=len(shares)),
        remedies=remedies.more_kept(run) if selects else _remedies(run, from_start),
    )


def _when(run: RunHistory, layer: str) -> tuple[float, float]:
    """Shares of the layer's units that were never alive and that died in training; NaN where that is not known."""
    records = run.layers[layer]
    before, during = (mean(getattr(record, name) for record in records) for name in ("dead_at_init", "died"))
    if math.isfinite(before) and math.isfinite(during):
        return before, during
    if layer not in run.untrained:
        return math.nan, math.nan
    dead = mean(record.dead for record in records)  # an older record: how many were dead before, not which
    before = min(mean(record.dead for record in run.untrained[layer]), dead)
    return before, dead - before


_NEVER_KEPT = "So few outputs are kept that these units are never among them, and what is not kept cannot learn."


def _cause(from_start: bool, depth: int) -> str:
    if not from_start:
        return "Steps too long: they pushed weights and biases so far that these units no longer respond to any input."
    if depth > 1:
        return "Deep in the network all inputs come to look alike, so that a unit is on or off for all of them."
    return "The starting weights leave these units off for every input."


def _remedies(run: RunHistory, from_start: bool) -> tuple[str, ...]:
    slower = remedies.learning_rate(run.settings, times=1 / 10)
    others = remedies.all_of(
        remedies.activation(run, "leaky_relu", "prelu", instead_of=("flat",)),
        remedies.batch_norm(run.settings),
        remedies.he_init(run.settings),
    )
    return others if from_start else remedies.all_of(slower, others)
