"""Exploding gradients: they grow from layer to layer, or are so large that no step leaves anything learned."""

from __future__ import annotations

import math
from statistics import median

from actbench.diagnosis import no_gradients, remedies
from actbench.diagnosis.evidence import figure
from actbench.diagnosis.gradient_flow import described, flows_through_depth, remedies_for
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Epoch, Finding

# The gradient's norm in the first layer over that in the last one. Ten layers on MNIST: 2 to 10 with He's init.
EXPLODING = 300.0

# The norm of a seed's whole gradient, as the mean over the steps of an epoch that are looked at: 0.1 to 9 where it
# learns well, 4000 where ten layers of ReLU start with three times the weights of He's init.
LARGE = 100.0

RULE = Rule(
    code="exploding-gradients",
    rank=31,
    metric="grad_norm",
    summary="Gradients grow from the last layer to the first, or are very large.",
    what="In some epoch the norm of the first layer's gradient is more than 300 times that of the last one's, or the "
    "norm of the whole gradient is above 100.",
    why="Steps are so long that each undoes what the one before has learned, until numbers overflow.",
    example="actbench dataset=digits model.width=64 model.depth=5 init.gain=5 train.epochs=2",
    remedy="He init, clip=norm, a tenth of the learning rate, norm=batch; leaky_relu or elu in the place of a bounded "
    "activation.",
)


def find(run: RunHistory) -> Finding | None:
    """The most extreme epoch, that before training among them, judged by the median over seeds."""
    if no_gradients.find(run) is not None:
        return None
    most = max(flows_through_depth(run), key=lambda flow: flow.ratio, default=None)
    grown = [described(run, most)] if most is not None and most.ratio > EXPLODING else []
    epoch, norm = max(_whole_norms(run), key=lambda pair: pair[1], default=(0, 0.0))
    large = [f"the whole gradient's norm is {figure(norm)} in epoch {epoch}"] if norm > LARGE else []
    if not (grown or large):
        return None
    return Finding(
        symptom="exploding gradients",
        evidence="; ".join(grown + large),
        cause="Weights or steps are so large that the gradient grows from layer to layer.",
        remedies=remedies.all_of(
            remedies.he_init(run.settings), remedies.clip_norm(run.settings), remedies_for(run, slower=True)
        ),
    )


def _whole_norms(run: RunHistory) -> list[tuple[int, float]]:
    """Epoch and norm of the whole gradient, the median over seeds."""
    return [(epoch.number, median(norms)) for epoch in run.trained if (norms := _norms(run, epoch))]


def _norms(run: RunHistory, epoch: Epoch) -> list[float]:
    return [r.grad_norm for r in epoch.records if r.seed in run.seeds and not math.isnan(r.grad_norm)]
