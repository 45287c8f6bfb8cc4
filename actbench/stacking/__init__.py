"""Networks of one architecture for S seeds: stacked into one with a leading seed dimension, and taken apart again."""

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
from actbench.stacking.sites import activation_sites, layer_of

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
    "make_replicas",
    "stack_children",
    "stack_layer",
    "stack_parameters",
    "stack_tensors",
]
