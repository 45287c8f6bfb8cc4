"""A small Transformer encoder on image patches.

Shape letters: B batch, C channels, H and W height and width, T tokens, F features. Dimensions are counted from the last
one, so that a leading seed dimension more makes no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from actbench.errors import UserError
from actbench.models.layers import ActivationFactory, Components, gated_layer, layer
from actbench.stacking import StackedLayer, adopt, stack_children, stack_layer


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

    The Vision Transformer of Dosovitskiy et al. 2020, arXiv:2010.11929, § 3.1, with the mean over all tokens in place
    of a class token (appendix D.3). Each block's feed-forward part has an activation site, called `block1.hidden` (with
    `gated`, `block1.hidden.gate`); a sample of it is one token.

    Args:
        components: activation, norm and dropout of the feed-forward parts' hidden layers. The layer normalisations in
            front of each part belong to the model, whatever the norm is.
        inputs: shape of one sample, (C, H, W).
        classes: number of logits.
        patch_size: pixels of a patch's side.
        width: features of a token.
        depth: number of blocks, 1 or more.
        heads: of the attention; each sees width / heads features.
        expansion: units of a hidden layer, as a multiple of `width`.
        gated: whether hidden layers are f(W·x)·(V·x) instead of f(W·x), see `gated_layer`.

    Shapes: x (B, C, H, W) -> logits (B, classes).

    Raises:
        UserError: patches that do not fill the image, or heads that do not share the width evenly.
    """
    channels, height, image_width = inputs
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
    """x (..., C, H, W) -> (..., T, C·p·p): the image cut into squares of p×p pixels, row by row."""

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size

    def forward(self, x: Tensor) -> Tensor:
        p = self.patch_size
        x = x.unflatten(-1, (-1, p)).unflatten(-3, (-1, p))  # (..., C, H/p, p, W/p, p)
        return x.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}"


class Positions(nn.Module):
    """x (..., T, F) + a learned vector for each position.

    It starts from N(0, 1), about as large as a token: from the paper's N(0, 0.02²) a small network takes epochs to see
    where a patch lies.
    """

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.values_of_a_sample = tokens * width  # decides whether a stack pays on a CPU
        self.weight = nn.Parameter(torch.randn(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight


class MeanOverTokens(nn.Module):
    """x (..., T, F) -> (..., F)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention, x (..., T, F) -> (..., T, F). Vaswani et al. 2017, arXiv:1706.03762, § 3.2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        split = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).flatten(0, -5)
        query, key, value = split.transpose(1, 3).unbind(2)  # (B, heads, T, F/heads): the fast kernel wants four
        attended = functional.scaled_dot_product_attention(query, key, value)
        return self.output(attended.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """x + attention(norm(x)), and then x + feed-forward(norm(x)), on x (..., B, T, F).

    The feed-forward part is `hidden` and `output`. To `hidden`, each token is a sample, (..., B·T, F): norms,
    activations and probes look for units behind the samples.
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
        x = x + self.attention(self.attention_norm(x))
        tokens = self.hidden_norm(x).flatten(-3, -2)  # (..., B·T, F)
        return x + self.output(self.hidden(tokens)).view(x.shape)


# ---------------------------------------------------------------- stacked


class StackedPositions(StackedLayer):
    """x (S, B, T, F) + the positions (S, T, F) of each seed."""

    weight: nn.Parameter

    def __init__(self, peers: Sequence[Positions]) -> None:
        super().__init__()
        adopt(self, peers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight.unsqueeze(1)


@stack_layer.register
def _(_layer: Positions, peers: Sequence[Positions], _noise: Sequence[torch.Generator]) -> nn.Module:
    return StackedPositions(peers)


stack_layer.register(SelfAttention)(stack_children)
stack_layer.register(Block)(stack_children)
