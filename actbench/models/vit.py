"""A small Transformer encoder on image patches.

Shape letters: S seeds, B batch, C channels, H and W height and width, T tokens, F features. The modules count
dimensions from the last one, so that they also work with an extra leading seed dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.models.inputs import image_shape
from actbench.models.layers import ActivationFactory, Components, gated_layer, layer
from actbench.stacking import Generators, StackedLayer, stack_children, stack_layer, stack_parameters


def vit(
    components: Components,
    *,
    inputs: tuple[int, ...],
    classes: int,
    patch_size: int = 7,
    width: int = 64,
    depth: int = 4,
    heads: int = 4,
    expansion: int = 2,
    gated: bool = False,
) -> nn.Sequential:
    """patches -> embedding -> positions -> block1 -> ... -> block{depth} -> norm -> mean over tokens -> output.

    The Vision Transformer of Dosovitskiy et al. 2020, arXiv:2010.11929, § 3.1, with the mean over all tokens instead of
    a class token (appendix D.3). The feed-forward part of each block has an activation site, called `block1.hidden`
    (with `gated`, `block1.hidden.gate`), for which every token is a sample.

    Args:
        components: activation, norm and dropout of the feed-forward parts' hidden layers. The layer normalisations in
            front of attention and feed-forward part belong to the model, whichever norm is chosen.
        inputs: shape of one sample, (C, H, W).
        classes: number of logits.
        patch_size: pixels of a patch's side.
        width: features of a token.
        depth: number of blocks, 1 or more.
        heads: attention heads, of width / heads features each.
        expansion: units of a hidden layer, as a multiple of `width`.
        gated: whether hidden layers are f(W·x)·(V·x) instead of f(W·x), see `gated_layer`.

    Shapes: x (B, C, H, W) -> logits (B, classes).

    Raises:
        UserError: samples are no images, `patch_size` does not divide their sides, or `heads` does not divide `width`.
    """
    channels, height, image_width = image_shape(inputs, "vit")
    side = math.gcd(height, image_width)
    if side % patch_size:
        _refuse(f"does not divide {height}×{image_width} pixels", f"model.patch_size={patch_size}", side)
    if width % heads:
        _refuse(f"does not divide model.width={width}", f"model.heads={heads}", width)
    network = nn.Sequential()
    network.add_module("patches", Patches(patch_size))
    network.add_module("embedding", nn.Linear(channels * patch_size**2, width))
    network.add_module("positions", Positions(height * image_width // patch_size**2, width))
    for site in range(depth):
        block = Block(
            width,
            heads,
            width * expansion,
            activation=components.at(site, depth),
            components=components,
            gated=gated,
        )
        network.add_module(f"block{site + 1}", block)
    network.add_module("norm", nn.LayerNorm(width))
    network.add_module("mean", MeanOverTokens())
    network.add_module("output", nn.Linear(width, classes))
    return network


def _refuse(what: str, where: str, whole: int) -> None:
    divisors = [str(number) for number in range(1, whole + 1) if whole % number == 0]
    raise UserError(what, where=where, how=f"one that does: {', '.join(divisors)}")


class Patches(nn.Module):
    """The image cut into squares of p×p pixels, row by row.

    Args:
        patch_size: p, which divides H and W.
    """

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C, H, W) -> (..., T, C·p·p)."""
        p = self.patch_size
        x = x.unflatten(-1, (-1, p)).unflatten(-3, (-1, p))  # (..., C, H/p, p, W/p, p)
        return x.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)

    def extra_repr(self) -> str:
        """What `print` shows of the module: the size of its patches."""
        return f"patch_size={self.patch_size}"


class Positions(nn.Module):
    """Adds a learned vector to each token, according to its position.

    The vectors start from N(0, 1), about as large as a token: from the paper's N(0, 0.02²), a small network needs
    epochs to make use of positions.

    Args:
        tokens: T.
        width: F.
    """

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.values_per_sample = tokens * width  # decides whether stacking is faster on a CPU
        self.weight = nn.Parameter(torch.randn(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., T, F) -> the same shape."""
        return x + self.weight


class MeanOverTokens(nn.Module):
    """The mean of all tokens of a sample."""

    def forward(self, x: Tensor) -> Tensor:
        """x (..., T, F) -> (..., F)."""
        return x.mean(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention. Vaswani et al. 2017, arXiv:1706.03762, § 3.2.

    Args:
        width: features of a token, F.
        heads: attention heads, a divisor of `width`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., T, F) -> the same shape."""
        split = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).flatten(0, -5)
        query, key, value = split.transpose(1, 3).unbind(2)  # (B, heads, T, F/heads): the fast kernel needs four
        attended = functional.scaled_dot_product_attention(query, key, value)
        return self.output(attended.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """x + attention(norm(x)), and then x + feed-forward(norm(x)).

    The feed-forward part is `hidden` and `output`. `hidden` is given each token as a sample, (..., B·T, F), since
    norms, activations and measurements expect units behind samples.

    Args:
        width: features of a token, F.
        heads: attention heads.
        hidden: units of the feed-forward part's hidden layer.
        activation: units -> a fresh module, for the hidden layer.
        components: norm and dropout of the hidden layer.
        gated: whether the hidden layer is a `gated_layer`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        activation: ActivationFactory,
        components: Components,
        gated: bool,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.hidden_norm = nn.LayerNorm(width)
        make = gated_layer if gated else layer
        self.hidden = make(nn.Linear(width, hidden), activation=activation, components=components)
        self.output = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., B, T, F) -> the same shape."""
        x = x + self.attention(self.attention_norm(x))
        tokens = self.hidden_norm(x).flatten(-3, -2)  # (..., B·T, F)
        return x + self.output(self.hidden(tokens)).view(x.shape)


# ---------------------------------------------------------------- stacked


class StackedPositions(StackedLayer):
    """`Positions` for S seeds, weight (S, T, F)."""

    weight: nn.Parameter

    def __init__(self, replicas: Sequence[Positions]) -> None:
        super().__init__()
        stack_parameters(self, replicas)

    def forward(self, x: Tensor) -> Tensor:
        """x (S, B, T, F) -> the same shape."""
        return x + self.weight.unsqueeze(1)


@stack_layer.register
def _(_layer: Positions, replicas: Sequence[Positions], _generators: Generators) -> nn.Module:
    return StackedPositions(replicas)


stack_layer.register(SelfAttention)(stack_children)
stack_layer.register(Block)(stack_children)
