"""What an activation is like: measured from f and f' over a wide range of z, so that it holds for any activation.

Learned parameters are tried at their start and at other values, since training moves them. All is in float64, where
smooth functions can be distinguished from flat ones far out.

Shape letters: N values of z, U units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from actbench.activations.coupling import any_gradient, as_one_seed, coupling_of_module, selects, units_of
from actbench.records import Traits

_CORE = torch.linspace(-100.0, 100.0, 8001, dtype=torch.float64)  # kinks at whole numbers are among its values
_FAR = torch.logspace(0, 8, 801, dtype=torch.float64)

_WIDE = 8  # neighbouring values of z that make an interval
_ROUNDED = 1e-6  # of the steepest slope: a slope that falls to less on its way to 0 was never exactly 0
_VANISHED = 0.01  # of the steepest slope: what the measurements call saturated
_NEAR, _OUT = 10.0, 50.0  # |z| between which the slope of an activation that saturates falls
_GROWN = 1.01  # an f that is larger by more than this beyond |z| = 10,000 than before goes on growing
_STEEPER = 2.0  # a slope that is so much steeper up to |z| = 100 than up to 10 grows without end


class _Curve(NamedTuple):
    """f and f' over `_CORE` and |f| far out, as `(N, U)`; of one that is not elementwise over the units of a layer."""

    f: Tensor
    slope: Tensor
    far: Tensor  # the largest |f| up to |z| = 10,000, on each side
    further: Tensor  # beyond that


def measure(module: nn.Module) -> Traits:
    """The traits of an activation as it starts; the module is left alone.

    Traits that training can take away do not count: a PReLU is not flat, even if its slope starts at 0. It saturates if
    it does so at one of the values tried. Of an activation that fails outside of its network nothing is known.

    Args:
        module: takes z (B, F) or (B, F, H, W), and has parameters for one unit or for F.

    >>> measure(nn.ReLU())
    Traits(flat=True, bounded=False, never_negative=True, saturates=True, coupled=False, selects=False)
    >>> measure(nn.Tanh()).bounded, measure(nn.Softmax(dim=1)).coupled
    (True, True)
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        try:
            module = copy.deepcopy(module).double().eval()
            coupling = coupling_of_module(module)
        except (Exception, SystemExit):  # of any kind, from any code: what is wrong with it is reported elsewhere
            return Traits()
        try:
            if not coupling.samples:  # otherwise no output is a function of its own sample
                return _measure(module, coupled=bool(coupling))
        except (Exception, SystemExit):  # one whose units depend on each other may take a layer of a certain size only
            pass
    return Traits(saturates=bool(coupling), coupled=bool(coupling))


def _measure(module: nn.Module, *, coupled: bool) -> Traits:
    curves = [(_curve_over_units if coupled else _curve)(variant) for variant in _variants(module)]
    return Traits(
        flat=all(_is_flat(curve.slope) for curve in curves),
        bounded=all(_is_bounded(curve) for curve in curves),
        never_negative=all(bool((curve.f >= 0).all()) for curve in curves),
        saturates=coupled or any(_saturates(curve.slope) for curve in curves),  # other units can crowd one out
        coupled=coupled,
        selects=selects(as_one_seed(module), units=units_of(module), like=_CORE),
    )


def _variants(module: nn.Module) -> Iterator[nn.Module]:
    """The module as it is, and with other values of its parameters."""
    yield module
    for scale, shift in ((0.5, 0.0), (2.0, 0.0), (1.0, 0.25)) if [*module.parameters()] else ():
        other = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(scale).add_(shift)
        yield other


def _curve(module: nn.Module) -> _Curve:
    """Of an elementwise f."""
    columns = max(units_of(module), 2)  # units need not be all alike
    f, slope = _with_slope(module, _CORE[:, None].repeat(1, columns))
    with torch.no_grad():
        sides = [_sizes(module((side * _FAR)[:, None].repeat(1, columns))) for side in (1.0, -1.0)]
    far, further = (torch.stack([sizes[part].amax(0) for sizes in sides]) for part in (_FAR <= 1e4, _FAR > 1e4))
    return _Curve(f, slope, far, further)


def _curve_over_units(module: nn.Module) -> _Curve:
    """Of another f: its units hold the values of z side by side, and f' is what reaches each of some gradient."""
    f, slope = _with_slope(module, _CORE[None].clone(), any_gradient)
    with torch.no_grad():
        far, further = (_sizes(module(scale * _CORE[None])).amax() for scale in (1e3, 1e7))
    return _Curve(f.T, slope.T, far, further)


def _with_slope(
    module: nn.Module, z: Tensor, gradient: Callable[[Tensor], Tensor] = torch.ones_like
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        z.requires_grad_()
        h = module(z.clone())
        if not h.requires_grad:  # a constant
            return h, torch.zeros_like(z)
        (slope,) = torch.autograd.grad((h * gradient(h)).sum(), z)  # given a gradient, torch would import SymPy
    return h.detach(), slope


def _sizes(f: Tensor) -> Tensor:
    """|f|; what is not a number says nothing."""
    return f.abs().nan_to_num(nan=0.0, posinf=torch.inf)


def _is_flat(slope: Tensor) -> bool:
    """Whether f' is exactly 0 on an interval, and not by rounding: then it is very small beside the interval."""
    return any(_has_flat_part(of_unit.abs()) for of_unit in slope.T)


def _has_flat_part(slope: Tensor) -> bool:
    flat = slope == 0
    if bool(flat.all()):
        return True
    least = _ROUNDED * float(slope[slope.isfinite()].amax())
    edges = torch.diff(torch.nn.functional.pad(flat.long(), (1, 1)))  # 1 where an interval starts, -1 behind its end
    starts, ends = ((edges == sign).nonzero().flatten().tolist() for sign in (1, -1))
    for start, end in zip(starts, ends, strict=True):
        beside = [float(slope[at]) for at in (start - 1, end) if 0 <= at < len(slope)]
        if end - start >= _WIDE and any(size > least for size in beside):
            return True
    return False


def _is_bounded(curve: _Curve) -> bool:
    """On both sides."""
    return bool(curve.further.isfinite().all()) and bool((curve.further <= _GROWN * curve.far + 1e-9).all())


def _saturates(slope: Tensor) -> bool:
    """Whether the slope vanishes somewhere, beside a steepest one that there is."""
    sizes = slope.abs()
    steepest = sizes.nan_to_num(nan=0.0).amax(0)
    if bool((steepest > _STEEPER * sizes[_CORE.abs() <= _NEAR].amax(0)).any()):
        return False
    if _is_flat(slope):
        return True
    for side in (-1.0, 1.0):
        near, out = (sizes[(_CORE - side * at).abs().argmin()] for at in (_NEAR, _OUT))
        if bool(((out <= _VANISHED * steepest) & (out <= near / 2)).any()):
            return True
    return False
