"""Which values of z an output of an activation depends on: of an elementwise one, on its own alone.

Shape letters: S seeds, B samples, F units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actbench.activations.acon import AconC
from actbench.activations.bipolar_relu import BipolarReLU
from actbench.activations.pact import PACT
from actbench.activations.squared_relu import SquaredReLU
from actbench.activations.swish import Swish
from actbench.activations.topk import TopK

Apply = Callable[[Tensor], Tensor]  # z (S, B, F, ...) -> f(z), for the S seeds that one module serves

# Modules without parameters that treat every element alike: a leading dimension more makes no difference to them.
ELEMENTWISE = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardswish,
    nn.ReLU6, nn.Hardtanh, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Hardsigmoid, nn.Softshrink, nn.Hardshrink,
    nn.Tanhshrink, nn.LogSigmoid, nn.Threshold, SquaredReLU,
)  # fmt: skip
_FORMULAS = (Swish.formula, AconC.formula, PACT.formula)
_KNOWN = (*ELEMENTWISE, nn.PReLU, Swish, AconC, PACT, BipolarReLU, TopK)
_SAMPLES = 8  # of a trial
_SCALES = (1.0, 8.0)  # of the values that a trial puts in


@dataclass(frozen=True)
class Coupling:
    """Along which dimensions an output depends on other values of z than the one in its own place."""

    samples: bool = False
    units: bool = False
    positions: bool = False

    def __bool__(self) -> bool:
        return self.samples or self.units or self.positions


def is_known(module: nn.Module, *also: type) -> bool:
    """Whether a module is one of torch's or ours that keeps what it is given, and whose coupling is known.

    It has none, or is `TopK`, which selects. `also` names further classes that are known, or hold what is.
    """
    return all(
        (type(part) in (*_KNOWN, *also) or getattr(part, "formula", None) in _FORMULAS)
        and not getattr(part, "inplace", False)
        for part in module.modules()
    )


@torch.no_grad()
def coupling_of(apply: Apply, z: Tensor) -> Coupling:
    """What f depends on, found by changing half of the samples, units and positions and looking at the other half.

    An elementwise f has the same bits there. It is tried on z (S, B, F, ...), of which a few samples are taken, and on
    normal numbers of two sizes; f may draw random numbers, which are the same each time. The same z gives the same
    answer, and nothing outside is changed.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (z.shape[0], _SAMPLES, *z.shape[2:])
    drawn = [scale * torch.randn(shape, generator=generator).to(z) for scale in _SCALES]
    found = Coupling()
    for trial in (torch.nan_to_num(z[:, :_SAMPLES], 0.0, 1.0, -1.0), *drawn):
        h = _once_more(apply, trial)
        of_shape = h.shape == z.shape[:1] + trial.shape[1:2] + z.shape[2:]
        found = Coupling(
            samples=found.samples or _depends(apply, trial, h, (1,), generator),
            units=found.units or not of_shape or _depends(apply, trial, h, (2,), generator),
            positions=z.ndim > 3
            and (found.positions or not of_shape or _depends(apply, trial, h, range(3, z.ndim), generator)),
        )
    return found


def _depends(apply: Apply, z: Tensor, h: Tensor, dims: tuple[int, ...] | range, generator: torch.Generator) -> bool:
    """Whether h changes where z does not, if half of the indices along `dims` are changed, each half in turn."""
    sizes = [size if dim in dims else 1 for dim, size in enumerate(z.shape)]
    count = torch.Size(sizes).numel()
    if count < 2:
        return False
    first = (torch.randperm(count, generator=generator) < count // 2).view(sizes).to(z.device)
    other = z + (1 + z.abs()) * torch.randn(z.shape, generator=generator).to(z)
    for changed in (first, ~first):
        now = _once_more(apply, torch.where(changed, other, z))
        if now.shape != h.shape:
            return True
        same = (now == h) | (now.isnan() & h.isnan())
        if not bool((same | changed).all()):
            return True
    return False


def _once_more(apply: Apply, z: Tensor) -> Tensor:
    devices = [z.device] if z.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices, enabled=z.device.type in ("cpu", "cuda")):
        torch.manual_seed(0)
        return apply(z.clone())


# ---------------------------------------------------------------- how much of a gradient passes through

_PASSES = 1024  # backward passes that the norms of one look may cost


def any_gradient(h: Tensor) -> Tensor:
    """A gradient of h's shape that no f treats as a special case: normal numbers, always the same."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(h.shape, generator=generator).to(h)


def column_norms(apply: Apply, z: Tensor, coupling: Coupling) -> Tensor | None:
    """How much of a gradient reaches each z: the norms of the columns of the Jacobian, of z's shape.

    sqrt(Σ_j (∂h_j/∂z_i)²) over all outputs h_j of the same sample; |f'(z_i)| where f is elementwise. None where outputs
    depend on other samples, or where there are too many of them: one backward pass is needed for each.
    """
    if coupling.samples:
        return None
    with torch.enable_grad():
        z = z.detach().clone().requires_grad_()
        h = apply(z)
    if not h.requires_grad:
        return torch.zeros_like(z)
    together = [dim for dim in range(2, h.ndim) if not (coupling.units if dim == 2 else coupling.positions)]
    apart = [dim for dim in range(2, h.ndim) if dim not in together]
    passes = torch.Size([h.shape[dim] for dim in apart]).numel()
    if passes > _PASSES:
        return None
    squares = torch.zeros_like(z)
    for number in range(passes):
        mask = torch.zeros(h.shape[2:], dtype=h.dtype, device=h.device)
        at: list[int | slice] = [slice(None)] * mask.ndim
        for dim in reversed(apart):
            number, at[dim - 2] = divmod(number, h.shape[dim])
        mask[tuple(at)] = 1
        (gradient,) = torch.autograd.grad(h, z, mask.expand_as(h), retain_graph=True)
        squares += gradient.square()
    return squares.sqrt()
