"""No gradients: they are exactly 0 in the first and in the last layer, so that nothing moves any more."""

from __future__ import annotations

from actbench.diagnosis.gradient_flow import flows, remedies_for
from actbench.diagnosis.history import RunHistory
from actbench.diagnosis.rule import Rule
from actbench.records import Finding

RULE = Rule(
    code="no-gradients",
    rank=30,
    metric="grad_norm",
    summary="The gradients of the first and the last layer are exactly 0.",
    what="Over the last epoch the gradient of the first and of the last layer is exactly 0.",
    why="Nothing below the output layer moves any more: some layer lets nothing through.",
    example="actbench dataset=digits model.width=64 optimizer=sgd optimizer.lr=100 train.epochs=3",
    remedy="A tenth of the learning rate, He init, norm=batch; leaky_relu or elu in the place of a bounded activation.",
)


def find(run: RunHistory) -> Finding | None:
    """Gradients of exactly 0 over the last epoch, in the median over seeds."""
    measured = flows(run)
    if not measured or measured[-1].epoch == 0 or measured[-1].first > 0 or measured[-1].last > 0:
        return None
    names = [*run.layers]
    return Finding(
        symptom="no gradients",
        evidence=f"the gradient of {' and '.join(dict.fromkeys([names[0], names[-1]]))} is exactly 0 in epoch "
        f"{measured[-1].epoch}",
        cause="Some layer lets nothing through any more: its units are dead or saturated for every sample.",
        remedies=remedies_for(run, slower=True),
    )
