"""The gradient on its way from the last layer to the first: what the rules on gradients have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from actbench.diagnosis import remedies
from actbench.diagnosis.evidence import figure
from actbench.diagnosis.history import RunHistory
from actbench.measures.layers import LayerRecord


@dataclass(frozen=True)
class Flow:
    """The norm of the gradient in the first and in the last layer in one epoch, as medians over seeds."""

    epoch: int
    first: float
    last: float

    @property
    def ratio(self) -> float:
        """First over last; NaN where neither layer has a gradient."""
        if self.last == 0:
            return math.nan if self.first == 0 else math.inf
        return self.first / self.last


def flows(run: RunHistory) -> list[Flow]:
    """One for each epoch that was measured.

    With batch normalisation not the one before training: that is measured in evaluation mode, in which no gradient
    flows through the statistics.
    """
    measured = []
    batch_norm = (run.settings.norm.target or "").endswith("batch_norm")
    for epoch in run.trained if batch_norm else run.epochs:
        layers = [record for record in epoch.layers if record.seed in run.seeds]
        names = list(dict.fromkeys(record.layer for record in layers if not math.isnan(record.grad_norm)))
        if names:
            measured.append(Flow(epoch.number, _norm(layers, names[0]), _norm(layers, names[-1])))
    return [flow for flow in measured if not (math.isnan(flow.first) or math.isnan(flow.last))]


def flows_through_depth(run: RunHistory) -> list[Flow]:
    """Those of networks of several layers in which some layer has a gradient."""
    return [flow for flow in flows(run) if not math.isnan(flow.ratio)] if len(run.layers) > 1 else []


def _norm(layers: list[LayerRecord], name: str) -> float:
    norms = [record.grad_norm for record in layers if record.layer == name and not math.isnan(record.grad_norm)]
    return median(norms) if norms else math.nan


def described(run: RunHistory, flow: Flow) -> str:
    """`norm 0.0002 in hidden1, 0.3 in hidden9 before training: 1/1,500 over 9 layers, a factor of 0.4 each`"""
    names = [*run.layers]
    when = "before training" if flow.epoch == 0 else f"in epoch {flow.epoch}"
    norms = f"norm {figure(flow.first)} in {names[0]}, {figure(flow.last)} in {names[-1]} {when}"
    if not 0 < flow.ratio < math.inf:
        return norms
    times = f"{figure(flow.ratio)} times" if flow.ratio > 1 else f"1/{figure(1 / flow.ratio)}"
    a_layer = flow.ratio ** (1 / (len(names) - 1))
    return f"{norms}: {times} over {len(names)} layers, a factor of {figure(a_layer)} each"


def remedies_for(run: RunHistory, *, slower: bool) -> tuple[str, ...]:
    """What keeps gradients of a size; with `slower` shorter steps first."""
    return remedies.all_of(
        remedies.learning_rate(run.settings, times=1 / 10) if slower else (),
        remedies.he_init(run.settings),
        remedies.batch_norm(run.settings),
        remedies.activation(run, "leaky_relu", "elu", instead_of=("bounded",)),
    )
