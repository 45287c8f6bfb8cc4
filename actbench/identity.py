"""How what a choice names is written into the identity of a run."""

from __future__ import annotations

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


def identity_of_target(group: str, target: str | None) -> str | None:
    """A target as it counts in the identity of a run: one of ours by its last component, any other as it is.

    >>> identity_of_target("model", "actbench.models.perceptron.mlp"), identity_of_target("model", "mine.mlp")
    ('actbench.models.mlp', 'mine.mlp')
    """
    if target is None or not target.startswith("actbench."):
        return target
    return f"{_IDENTITY_PREFIX[group]}.{target.rpartition('.')[2]}"
