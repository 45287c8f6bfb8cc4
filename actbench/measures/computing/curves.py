"""The curves of activations: f(z) and f'(z), as configured and as learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actbench.activations.coupling import as_one_seed, coupling_of_module, is_known, selects, units_of
from actbench.measures.computing.slopes import slopes

_POINTS = 401
_RANGE = 5.0


class Curve(NamedTuple):
    """f(z) and f'(z) over z, in the shape of z, or (points, units) where units have parameters of their own."""

    f: Tensor
    slope: Tensor

    def median(self) -> Curve:
        """Over units: (points,)."""
        return Curve(*(values.flatten(1).median(1).values for values in self))


def axis() -> Tensor:
    """The values of z of a picture: new ones each time, since an activation may write to them."""
    return torch.linspace(-_RANGE, _RANGE, _POINTS)


def axis_over(low: float, high: float, points: int) -> tuple[float, float]:
    """The first value and the step of an axis of that many points, from `low` or below to `high` or above, with a 0.

    `low` has to be below 0 and `high` above it: most activations bend at 0, where they should be drawn exactly.

    >>> axis_over(-1.0, 3.0, 5)
    (-1.0, 1.0)
    >>> axis_over(-1.0, 3.5, 5)
    (-1.1666..., 1.1666...)
    """
    below = max(1, min(points - 2, round((points - 1) * -low / (high - low))))
    step = max(-low / below, high / (points - 1 - below))
    return -below * step, step


def curve_of_one(module: nn.Module) -> tuple[Tensor, Tensor, Tensor] | None:
    """z, f(z) and f'(z); an activation that selects among units sees the values of z as the outputs of one layer.

    None of one that has no curve: a unit's output depends on the others, or it takes the outputs of a convolution only.
    """
    module = module.eval()
    if selects(as_one_seed(module), units=units_of(module)):
        z = torch.linspace(-_RANGE, _RANGE, max(_POINTS, getattr(module, "k", None) or 0))[None]
        f, slope = slopes(lambda z: module(z.clone()), z)
        return z.flatten(), f.flatten(), slope.flatten()
    curve = curve_of_units(module, axis())
    if curve is None or curve.f.shape[1] > 1:
        return None
    return axis(), curve.f.flatten(), curve.slope.flatten()


def curve_of_units(module: nn.Module, z: Tensor) -> Curve | None:
    """The curve over z (points,) of each unit that has parameters of its own, (points, units), or of all, (points, 1).

    None of an activation that has no curve of its own for each unit, or that takes the outputs of a convolution only.
    """
    module, units = module.eval(), units_of(module)
    try:
        if not is_known(module) and coupling_of_module(module):
            return None
        if selects(as_one_seed(module), units=units, like=next(module.parameters(), None)):
            return None
        wide = z.to(next(module.parameters(), z).dtype)[:, None].repeat(1, units)
        curve = Curve(*slopes(lambda z: module(z.clone()), wide))
    except (Exception, SystemExit):  # of the user's own code, which need not take such z
        return None
    return Curve(*(values.detach() for values in curve)) if curve.f.shape == wide.shape else None


def units_are_alike(module: nn.Module, z: Tensor) -> bool:
    """Whether all units that share their parameters have one curve; those of BipolarReLU, even and odd, have two."""
    if units_of(module) > 1:
        return True
    try:
        f = module.eval()(z.to(next(module.parameters(), z).dtype)[:, None].repeat(1, 2))
    except (Exception, SystemExit):  # of the user's own code
        return True
    return f.shape != (len(z), 2) or bool(torch.equal(f[:, 0].nan_to_num(), f[:, 1].nan_to_num()))


def learned_curves(
    untrained: nn.Module, trained: Sequence[nn.Module], z: Tensor
) -> tuple[Curve, Curve] | None:  # fmt: skip
    """The curves of a layer whose activation learns: before training, and of all seeds and units now, over z.

    None where it learns nothing, or has no curve, or no seed is left.

    Args:
        untrained: the activation before training.
        trained: that of each seed now.
        z: (points,).
    """
    if not trained or not list(untrained.parameters()):
        return None
    before = curve_of_units(untrained, z)
    now = [curve_of_units(module, z) for module in trained] if before is not None else []
    sound = [curve for curve in now if curve is not None]
    if before is None or not sound:
        return None
    return before, Curve(torch.cat([c.f for c in sound], dim=1), torch.cat([c.slope for c in sound], dim=1))


def over_units(values: Tensor, shares: Sequence[float]) -> Tensor:
    """Quantiles over seeds and units: (points, units) -> (shares, points)."""
    return torch.quantile(values, torch.tensor(shares, dtype=values.dtype), dim=1)
