"""S networks of one shape -> one network with a leading seed dimension, and back."""

from actbench.stacking.activations import StackedLearned, StackedPReLU
from actbench.stacking.layers import NotStackable, StackedLayer, adopt, stack_children, stack_layer
from actbench.stacking.replicas import Alone, Member, Replicas, Share, Stack, activation_sites, assemble, layer_of

__all__ = [
    "Alone",
    "Member",
    "NotStackable",
    "Replicas",
    "Share",
    "Stack",
    "StackedLayer",
    "StackedLearned",
    "StackedPReLU",
    "activation_sites",
    "adopt",
    "assemble",
    "layer_of",
    "stack_children",
    "stack_layer",
]
