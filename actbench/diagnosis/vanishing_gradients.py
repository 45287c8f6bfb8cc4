"""Vanishing gradients: each layer on the way down makes them smaller, and the first ones learn nothing."""

from __future__ import annotations

from actbench.diagnosis import exploding_gradients, no_gradients
from actbench.diagnosis.gradient_flow import described, flows_through_depth, remedies_for
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

# The gradient's norm in the first layer over that in the last one. Ten layers on MNIST: 1/60 (softplus) and 1/100 (ReLU
# with torch's own init) learn, if late; 1/1600 (sigmoid) is three epochs behind, and 1/10^7 (sigmoid with torch's own
# init) guesses for ever.
VANISHING = 1 / 300

RULE = Rule(
    code="vanishing-gradients",
    rank=32,
    metric="grad_norm",
    summary="Gradients shrink from the last layer to the first.",
    what="In some epoch, or before training, the norm of the first layer's gradient is less than 1/300 of the last "
    "one's.",
    why="The first layers hardly learn, so that the others work on features that are nearly random.",
    example="actbench dataset=digits model.width=64 model.depth=8 activation=sigmoid init=torch_default train.epochs=3",
    remedy="He init, norm=batch; leaky_relu or elu in the place of a bounded activation.",
)


def find(run: RunHistory) -> Finding | None:
    """The most extreme epoch, that before training among them, judged by the median over seeds."""
    least = min(flows_through_depth(run), key=lambda flow: flow.ratio, default=None)
    if least is None or least.ratio >= VANISHING:
        return None
    if no_gradients.find(run) is not None or exploding_gradients.find(run) is not None:
        return None
    return Finding(
        symptom="vanishing gradients",
        evidence=described(run, least),
        cause="Each layer on the way down makes the gradient smaller, and the first ones hardly learn.",
        remedies=remedies_for(run, slower=False),
    )
