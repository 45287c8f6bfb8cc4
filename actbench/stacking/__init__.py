"""Networks of one architecture for S seeds, stacked into one network with a leading seed dimension where possible.

`make_replicas` turns ordinary modules into `Replicas`, `Replicas.plain_network` gives them back, and `stack_layer` is
where a type of layer registers its stacked form.
"""

from actbench.stacking.choosing import make_replicas
from actbench.stacking.layers.activations import StackedLearned, StackedPReLU
from actbench.stacking.protocol import (
    Generators,
    NotStackable,
    PerSample,
    StackedLayer,
    stack_children,
    stack_layer,
    stack_parameters,
    stack_tensors,
)
from actbench.stacking.replicas import ReplicaGroup, Replicas, Shard, SingleReplica, StackedReplicas
from actbench.stacking.sites import activation_sites, layer_of, layers_of_parameters, recomputing, says_its_own_sites

__all__ = [
    "Generators",
    "NotStackable",
    "PerSample",
    "ReplicaGroup",
    "Replicas",
    "Shard",
    "SingleReplica",
    "StackedLayer",
    "StackedLearned",
    "StackedPReLU",
    "StackedReplicas",
    "activation_sites",
    "layer_of",
    "layers_of_parameters",
    "make_replicas",
    "recomputing",
    "says_its_own_sites",
    "stack_children",
    "stack_layer",
    "stack_parameters",
    "stack_tensors",
]
