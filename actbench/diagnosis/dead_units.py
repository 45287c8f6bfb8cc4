"""Units died: no input of the validation split brings a gradient through them, so that they cannot learn any more."""

from __future__ import annotations

import math

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import counted, finite, in_parentheses, mean, percent, seeds_span
from actbench.records import Finding

# Share of a layer's units. `experiment=article_mlp` has 0.08 after ten epochs, ten layers of ReLU with torch's own init
# up to 0.27 and the dense layer of `experiment=article_cnn` 0.25 (0.43 on the few digits), and all learn; a learning
# rate that is too high makes it 0.7 and more (`experiment=dying_relu`: 0.75). Stanford's CS231n ("Neural Networks 1")
# warns of "as much as 40%" at such a learning rate.
DEAD = 0.5


def find(case: Case) -> Finding | None:
    """The share of dead units after the last epoch, mean over seeds, in the worst layer; and when they died."""
    shares = {layer: [record.dead for record in records] for layer, records in case.layers.items()}
    ill = {layer: values for layer, values in shares.items() if mean(values) >= DEAD}
    if not ill:
        return None
    worst = max(ill, key=lambda layer: mean(ill[layer]))
    before, during = _when(case, worst)
    from_start = math.isfinite(before) and before > during
    when = f"{percent(before)} before training, {percent(during)} died in it" if math.isfinite(before) else ""
    others = f"{counted(len(ill), 'layer')} of {len(shares)} at {percent(DEAD)} or more" if len(shares) > 1 else ""
    seeds = seeds_span([100 * value for value in finite(ill[worst])], unit=" %")
    return Finding(
        symptom="units dead from the start" if from_start else "units died",
        evidence=f"{worst}: {percent(mean(ill[worst]))} of {counted(case.layers[worst][0].units, 'unit')} dead"
        f"{in_parentheses(when, seeds, others)}",
        cause=_NEVER_KEPT if _selects(case) else _cause(from_start, depth=len(shares)),
        remedies=remedies.more_kept(case.settings) if _selects(case) else _remedies(case, from_start),
    )


def _when(case: Case, layer: str) -> tuple[float, float]:
    """Of the layer's units those that never lived, and those that died in training; NaN where nobody looked before."""
    records = case.layers[layer]
    before, during = (mean(getattr(record, name) for record in records) for name in ("dead_at_init", "died"))
    if math.isfinite(before) and math.isfinite(during):
        return before, during
    if layer not in case.untrained:
        return math.nan, math.nan
    dead = mean(record.dead for record in records)  # an older record: how many were dead before, not which
    before = min(mean(record.dead for record in case.untrained[layer]), dead)
    return before, dead - before


_NEVER_KEPT = "So few outputs are kept that these units are never among them, and what is not kept cannot learn."


def _selects(case: Case) -> bool:
    """Whether the activation keeps the largest outputs alone."""
    return "topk" in (case.settings.activation.name, case.settings.upper_activation.name)


def _cause(from_start: bool, depth: int) -> str:
    if not from_start:
        return "Steps too long: they pushed weights and biases so far that these units no longer respond to any input."
    if depth > 1:
        return "Deep below, all inputs come to look alike, so that a unit is on for all of them or off for all of them."
    return "The starting weights leave these units off for every input."


def _remedies(case: Case, from_start: bool) -> tuple[str, ...]:
    settings = case.settings
    slower = remedies.learning_rate(settings, times=1 / 10)
    others = remedies.all_of(
        remedies.activation(settings, "leaky_relu", "prelu", instead_of=remedies.FLAT),
        remedies.batch_norm(settings),
        remedies.he_init(settings),
    )
    return others if from_start else remedies.all_of(slower, others)
