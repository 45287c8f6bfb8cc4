"""Vanishing or exploding gradients: the first layers learn nothing, or steps are so long that nothing stays learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from actbench.diagnosis import remedies
from actbench.diagnosis.case import Case
from actbench.diagnosis.evidence import figure
from actbench.measures.layers import LayerRecord
from actbench.records import Epoch, Finding

# The gradient's norm in the first layer over that in the last one. Ten layers on MNIST: 2 to 10 with He's init; 1/60
# (softplus) and 1/100 (ReLU with torch's own init) learn, if late; 1/1600 (sigmoid) is three epochs behind, and 1/10^7
# (sigmoid with torch's own init) guesses for ever.
VANISHING = 1 / 300
EXPLODING = 300.0

# The norm of a seed's whole gradient, as the mean over the looks of an epoch: 0.1 to 9 where it learns well, 4000 where
# ten layers of ReLU start with three times the weights of He's init.
LARGE = 100.0


@dataclass(frozen=True)
class _Flow:
    """The gradient of one epoch from the first to the last layer, as medians over seeds."""

    epoch: int
    first: float
    last: float

    @property
    def ratio(self) -> float:
        """NaN where neither layer has a gradient."""
        if self.last == 0:
            return math.nan if self.first == 0 else math.inf
        return self.first / self.last


def find(case: Case) -> Finding | None:
    """The most extreme epoch, that before training among them, judged by the median over seeds."""
    flows = _flows(case)
    along = [flow for flow in flows if not math.isnan(flow.ratio)] if len(case.layers) > 1 else []
    return _none_left(case, flows) or _exploding(case, along) or _vanishing(case, along)


def _flows(case: Case) -> list[_Flow]:
    """One for each epoch that was looked at.

    With batch normalisation not the one before training: that look is in evaluation mode, in which no gradient flows
    through the statistics.
    """
    flows = []
    batch_norm = (case.settings.norm.target or "").endswith("batch_norm")
    for epoch in case.trained if batch_norm else case.epochs:
        layers = [record for record in epoch.layers if record.seed in case.seeds]
        names = list(dict.fromkeys(record.layer for record in layers))
        if names:
            flows.append(_Flow(epoch.number, _norm(layers, names[0]), _norm(layers, names[-1])))
    return [flow for flow in flows if not (math.isnan(flow.first) or math.isnan(flow.last))]


def _norm(layers: list[LayerRecord], name: str) -> float:
    norms = [record.grad_norm for record in layers if record.layer == name and not math.isnan(record.grad_norm)]
    return median(norms) if norms else math.nan


def _none_left(case: Case, flows: list[_Flow]) -> Finding | None:
    """Gradients of exactly 0 over the last epoch."""
    if not flows or flows[-1].epoch == 0 or flows[-1].first > 0 or flows[-1].last > 0:
        return None
    return Finding(
        symptom="no gradients",
        evidence=f"the gradient of {' and '.join(dict.fromkeys([_first(case), _last(case)]))} is exactly 0 in epoch "
        f"{flows[-1].epoch}",
        cause="Some layer lets nothing through any more: its units are dead or saturated for every sample.",
        remedies=_remedies(case, slower=True),
    )


def _vanishing(case: Case, flows: list[_Flow]) -> Finding | None:
    least = min(flows, key=lambda flow: flow.ratio, default=None)
    if least is None or least.ratio >= VANISHING:
        return None
    return Finding(
        symptom="vanishing gradients",
        evidence=_along(case, least),
        cause="Each layer on the way down makes the gradient smaller, and the first ones hardly learn.",
        remedies=_remedies(case, slower=False),
    )


def _exploding(case: Case, flows: list[_Flow]) -> Finding | None:
    most = max(flows, key=lambda flow: flow.ratio, default=None)
    grown = [_along(case, most)] if most is not None and most.ratio > EXPLODING else []
    epoch, norm = max(_whole(case), key=lambda pair: pair[1], default=(0, 0.0))
    large = [f"the whole gradient's norm is {figure(norm)} in epoch {epoch}"] if norm > LARGE else []
    if not (grown or large):
        return None
    return Finding(
        symptom="exploding gradients",
        evidence="; ".join(grown + large),
        cause="Weights or steps are so large that the gradient grows from layer to layer.",
        remedies=remedies.all_of(
            remedies.he_init(case.settings), remedies.clip_norm(case.settings), _remedies(case, slower=True)
        ),
    )


def _whole(case: Case) -> list[tuple[int, float]]:
    """Epoch and norm of the whole gradient, the median over seeds."""
    return [(epoch.number, median(norms)) for epoch in case.trained if (norms := _norms(case, epoch))]


def _norms(case: Case, epoch: Epoch) -> list[float]:
    return [r.grad_norm for r in epoch.records if r.seed in case.seeds and not math.isnan(r.grad_norm)]


def _along(case: Case, flow: _Flow) -> str:
    when = "before training" if flow.epoch == 0 else f"in epoch {flow.epoch}"
    norms = f"norm {figure(flow.first)} in {_first(case)}, {figure(flow.last)} in {_last(case)} {when}"
    if not 0 < flow.ratio < math.inf:
        return norms
    times = f"{figure(flow.ratio)} times" if flow.ratio > 1 else f"1/{figure(1 / flow.ratio)}"
    a_layer = flow.ratio ** (1 / (len(case.layers) - 1))
    return f"{norms}: {times} over {len(case.layers)} layers, a factor of {figure(a_layer)} each"


def _first(case: Case) -> str:
    return next(iter(case.layers))


def _last(case: Case) -> str:
    return list(case.layers)[-1]


def _remedies(case: Case, *, slower: bool) -> tuple[str, ...]:
    settings = case.settings
    return remedies.all_of(
        remedies.learning_rate(settings, times=1 / 10) if slower else (),
        remedies.he_init(settings),
        remedies.batch_norm(settings),
        remedies.activation(settings, "leaky_relu", "elu", instead_of=remedies.BOUNDED),
    )
