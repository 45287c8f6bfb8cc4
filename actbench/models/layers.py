"""What every model is made of: layers with norm, activation and dropout, and which activation goes where.

Shape letters: B batch, F features, C channels, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from actbench.errors import UserError

ActivationFactory = Callable[[int], nn.Module]  # units -> a fresh activation
NormFactory = Callable[..., nn.Module]  # (units, spatial=) -> a fresh norm


@dataclass(frozen=True, kw_only=True)
class Components:
    """What the configuration chose for the layers of a model, whichever model it is.

    Args:
        activation: units -> a fresh module, for the lower activation sites, or for all.
        upper_activation: the same for the upper sites; None where all sites have the same.
        split: fraction of the sites, counted from the input, that get `activation`.
        norm: (units, spatial=True for convolutions) -> a fresh module; None for no normalisation.
        dropout: probability of dropout after each activation; 0 for none.
        alpha_dropout: whether it is `nn.AlphaDropout`.
    """

    activation: ActivationFactory
    upper_activation: ActivationFactory | None = None
    split: float = 0.5
    norm: NormFactory | None = None
    dropout: float = 0.0
    alpha_dropout: bool = False

    def at(self, site: int, sites: int) -> ActivationFactory:
        """The factory for activation site number `site` (from 0) out of `sites`, counted from the input.

        It is `activation` if the middle of the site, (site + 0.5) / sites, is at most `split`. With split=0.5, of three
        sites the first two get `activation` and the third gets `upper_activation`.

        Raises:
            UserError: one of the two activations would have no site at all.
        """
        if self.upper_activation is None:
            return self.activation
        lower = sum((k + 0.5) / sites <= self.split for k in range(sites))
        if lower in (0, sites):
            raise UserError(
                f"of {sites} activation sites, split={self.split:g} leaves none to "
                f"{'`activation`' if lower == 0 else '`upper_activation`'}",
                where="upper_activation",
                how="a deeper model (model.depth=2), another split, or upper_activation=none",
            )
        return self.activation if site < lower else self.upper_activation


def layer(
    core: nn.Linear | nn.Conv2d,
    *,
    activation: ActivationFactory,
    components: Components,
    pool: nn.Module | None = None,
) -> nn.Sequential:
    """linear or conv -> norm -> activation -> pool -> dropout, by these names; what is not chosen is left out.

    Args:
        core: the linear map. In front of batch normalisation, which would subtract it again, it loses its bias.
        activation: units -> a fresh module.
        components: norm and dropout.
        pool: a pooling layer behind the activation.

    Shapes: x (B, in) -> (B, F) for a linear layer, x (B, C, H, W) -> (B, C', H', W') for a convolution.
    """
    spatial = isinstance(core, nn.Conv2d)
    units = core.out_channels if isinstance(core, nn.Conv2d) else core.out_features
    parts = nn.Sequential()
    parts.add_module("conv" if spatial else "linear", core)
    if components.norm is not None:
        norm = components.norm(units, spatial=spatial)
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
            core.register_parameter("bias", None)
        parts.add_module("norm", norm)
    parts.add_module("activation", activation(units))
    if pool is not None:
        parts.add_module("pool", pool)
    if components.dropout > 0:
        parts.add_module("dropout", _dropout(components))
    return parts


def _dropout(components: Components) -> nn.Module:
    return (nn.AlphaDropout if components.alpha_dropout else nn.Dropout)(components.dropout)


class Gated(nn.Sequential):
    """gate(x)·value(x), followed by the further children. The first two children are the gate and the value."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, in) -> (B, F)."""
        gate, value, *behind = self
        x = gate(x) * value(x)
        for module in behind:
            x = module(x)
        return x


def gated_layer(linear: nn.Linear, *, activation: ActivationFactory, components: Components) -> Gated:
    """f(W·x + b)·(V·x + c), then dropout: a `layer` called `gate`, times a linear layer of its size called `value`.

    The activation decides which gated unit it is: sigmoid gives GLU, silu SwiGLU, gelu GEGLU, relu ReGLU, identity the
    bilinear one. V doubles the layer's weights. Shazeer 2020, arXiv:2002.05202, eq. 4-6.

    Args:
        linear: W and b.
        activation: units -> a fresh module, f.
        components: norm (of the gate) and dropout (of the product).

    Shapes: x (B, in) -> (B, F).
    """
    gate = layer(linear, activation=activation, components=replace(components, dropout=0.0))
    parts = Gated()
    parts.add_module("gate", gate)
    parts.add_module("value", nn.Linear(linear.in_features, linear.out_features))
    if components.dropout > 0:
        parts.add_module("dropout", _dropout(components))
    return parts


class Residual(nn.Sequential):
    """A sequence of layers, some of which have a residual connection: x + scale·layer(x).

    He et al. 2015, arXiv:1512.03385, with a scale.

    Args:
        skipped: the names of the layers with a residual connection.
        scale: the factor of their outputs.
    """

    def __init__(self, *, skipped: Sequence[str], scale: float) -> None:
        super().__init__()
        self.skipped, self.scale = frozenset(skipped), scale

    def forward(self, x: Tensor) -> Tensor:
        """x (B, ...) -> (B, ...); layers with a residual connection keep the shape."""
        for name, module in self.named_children():
            x = x + self.scale * module(x) if name in self.skipped else module(x)
        return x

    def extra_repr(self) -> str:
        """What `print` shows of the module: its scale."""
        return f"scale={self.scale:g}"


def batch_norm(units: int, *, spatial: bool, momentum: float = 0.1, eps: float = 1e-5) -> nn.Module:
    """Batch normalisation of each unit over the batch (and the positions of a convolution).

    Ioffe & Szegedy 2015, arXiv:1502.03167.

    Args:
        units: features or channels.
        spatial: whether they are the channels of a convolution.
        momentum: of the running statistics, the weight of the newest batch.
        eps: added to the variance.

    Shapes: x (B, F) or, if spatial, (B, C, H, W) -> the same shape.
    """
    kind = nn.BatchNorm2d if spatial else nn.BatchNorm1d
    return kind(units, eps=eps, momentum=momentum)


def layer_norm(units: int, *, spatial: bool, eps: float = 1e-5) -> nn.Module:
    """Layer normalisation over the units of a sample, for convolutions over all channels and positions (one group).

    Ba et al. 2016, arXiv:1607.06450; Wu & He 2018, arXiv:1803.08494, for the equivalence with one group.

    Args:
        units: features or channels.
        spatial: whether they are the channels of a convolution.
        eps: added to the variance.

    Shapes: x (B, ..., F) or, if spatial, (B, C, H, W) -> the same shape.
    """
    return nn.GroupNorm(1, units, eps=eps) if spatial else nn.LayerNorm(units, eps=eps)
