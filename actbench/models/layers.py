"""What every model is made of: a layer, its norm, its activation, its dropout; and which activation goes where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from actbench.errors import UserError

ActivationFactory = Callable[[int], nn.Module]  # units -> a fresh activation
NormFactory = Callable[..., nn.Module]  # (units, spatial=) -> a fresh norm


@dataclass(frozen=True, kw_only=True)
class Components:
    """What the configuration chose for the layers of a model, whatever the model is.

    Args:
        activation: units -> a fresh module.
        upper_activation: the same for the upper sites; None where all sites are alike.
        split: the share of the sites, from below, that keep `activation`.
        norm: (units, spatial=True for convolutions) -> a fresh module, or None.
        dropout: probability behind each activation; 0 for none.
    """

    activation: ActivationFactory
    upper_activation: ActivationFactory | None = None
    split: float = 0.5
    norm: NormFactory | None = None
    dropout: float = 0.0

    def at(self, site: int, sites: int) -> ActivationFactory:
        """The activation of site number `site` (from 0) of `sites`: lower where its middle lies within `split`.

        With split=0.5, three sites give lower, lower, upper.

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
    """linear or conv -> norm -> activation -> pool -> dropout, under these names; what is not chosen is not there.

    In front of batch normalisation, which subtracts it again, `core` loses its bias.
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
        parts.add_module("dropout", nn.Dropout(components.dropout))
    return parts


class Gated(nn.Sequential):
    """gate(x)·value(x), and then whatever follows."""

    def forward(self, x: Tensor) -> Tensor:
        gate, value, *behind = self
        x = gate(x) * value(x)
        for module in behind:
            x = module(x)
        return x


def gated_layer(linear: nn.Linear, *, activation: ActivationFactory, components: Components) -> Gated:
    """f(W·x + b)·(V·x + c) and dropout: a `layer` as the `gate`, times a second linear layer of its size, the `value`.

    The activation decides which gated unit it is: sigmoid gives GLU, silu SwiGLU, gelu GEGLU, relu ReGLU, identity the
    bilinear one. V doubles the layer's weights. Shazeer 2020, arXiv:2002.05202, eq. 4-6.
    """
    gate = layer(linear, activation=activation, components=replace(components, dropout=0.0))
    parts = Gated()
    parts.add_module("gate", gate)
    parts.add_module("value", nn.Linear(linear.in_features, linear.out_features))
    if components.dropout > 0:
        parts.add_module("dropout", nn.Dropout(components.dropout))
    return parts


class Residual(nn.Sequential):
    """Layers one after the other, some of which add to what they are given: x + scale·layer(x).

    Args:
        skipped: the names of these.
        scale: of what they add.
    """

    def __init__(self, *, skipped: Sequence[str], scale: float) -> None:
        super().__init__()
        self.skipped, self.scale = frozenset(skipped), scale

    def forward(self, x: Tensor) -> Tensor:
        for name, module in self.named_children():
            x = x + self.scale * module(x) if name in self.skipped else module(x)
        return x

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"


def batch_norm(units: int, *, spatial: bool, momentum: float = 0.1, eps: float = 1e-5) -> nn.Module:
    """Batch normalisation over a unit's batch (and positions). Ioffe & Szegedy 2015, arXiv:1502.03167."""
    kind = nn.BatchNorm2d if spatial else nn.BatchNorm1d
    return kind(units, eps=eps, momentum=momentum)


def layer_norm(units: int, *, spatial: bool, eps: float = 1e-5) -> nn.Module:
    """Layer normalisation over the units of a sample, for convolutions over all channels and positions (one group).

    Ba et al. 2016, arXiv:1607.06450; Wu & He 2018, arXiv:1803.08494, for the equivalence with one group.
    """
    return nn.GroupNorm(1, units, eps=eps) if spatial else nn.LayerNorm(units, eps=eps)
