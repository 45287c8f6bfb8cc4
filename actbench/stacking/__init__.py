"""S networks of one shape -> one network with a leading seed dimension, and back."""

from actbench.stacking.ensemble import Alone, Ensemble, Member, Stack, activation_sites, assemble, layer_of
from actbench.stacking.layers import NotStackable, StackedLayer, stack_layer

__all__ = [
    "Alone",
    "Ensemble",
    "Member",
    "NotStackable",
    "Stack",
    "StackedLayer",
    "activation_sites",
    "assemble",
    "layer_of",
    "stack_layer",
]
