"""S networks of one shape -> one network with a leading seed dimension, and back."""

from actbench.stacking.activations import StackedLearned, StackedPReLU
from actbench.stacking.ensemble import Alone, Ensemble, Member, Share, Stack, activation_sites, assemble, layer_of
from actbench.stacking.layers import NotStackable, StackedLayer, adopt, stack_children, stack_layer

__all__ = [
    "Alone",
    "Ensemble",
    "Member",
    "NotStackable",
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
