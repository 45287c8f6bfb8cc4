"""What keeps the ids of runs the same over versions: how targets are written, and what they have got since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A target of ours is written into an identity as this prefix and its last component, wherever its module is today. The
# prefixes are the modules of version 0.1.0, so that the ids of its runs stay the same. Never change an entry.
_IDENTITY_PREFIX = {
    "activation": "actbench.activations",
    "upper_activation": "actbench.activations",
    "init": "actbench.inits",
    "model": "actbench.models",
    "norm": "actbench.models",
    "optimizer": "actbench.optimizers",
    "scheduler": "actbench.schedules",
    "clip": "actbench.clipping",
    "dataset": "actbench.datasets",
    "augment": "actbench.augment",
}

# Parameters that a target of ours has got since version 0.1.0, with the values by which runs without them were trained.
# One that is added from now on belongs here, so that stored runs are the configuration of its default.
_LATER: dict[str, dict[str, Any]] = {"actbench.models.mlp": {"residual": False, "gated": False}}

# The same for datasets. At these values they are left out of an identity, so that the ids of earlier runs stay.
LATER_OF_DATASETS: dict[str, Any] = {"scaling": "standard"}

DECAY = "decay"  # of an optimizer of torch's: which parameters `weight_decay` is for


def identity_of_target(group: str, target: str | None) -> str | None:
    """A target as it counts in the identity of a run: one of ours by its last component, any other as it is.

    >>> identity_of_target("model", "actbench.models.perceptron.mlp"), identity_of_target("model", "mine.mlp")
    ('actbench.models.mlp', 'mine.mlp')
    """
    if target is None or not target.startswith("actbench."):
        return target
    return f"{_IDENTITY_PREFIX[group]}.{target.rpartition('.')[2]}"


def later_parameters(group: str, target: str | None, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a choice has got since runs of it were stored, with the values by which these were trained.

    >>> later_parameters("optimizer", "torch.optim.Adam", {"lr": 0.1, "weight_decay": 0.01})
    {'decay': 'all'}
    """
    if group == "dataset":
        return LATER_OF_DATASETS if str(target).startswith("actbench.") else {}
    if group == "optimizer":
        return {DECAY: "all"} if str(target).startswith("torch.optim.") and params.get("weight_decay") else {}
    return _LATER.get(str(identity_of_target(group, target)), {})
