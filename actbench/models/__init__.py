"""Functions that build networks, as ordinary modules with a fresh activation at every site."""

from actbench.models.cnn import cnn
from actbench.models.deep_cnn import deep_cnn
from actbench.models.hybrid import hybrid
from actbench.models.layers import Components, batch_norm, layer_norm
from actbench.models.mlp import mlp
from actbench.models.vit import vit

__all__ = ["Components", "batch_norm", "cnn", "deep_cnn", "hybrid", "layer_norm", "mlp", "vit"]
