"""Which values of z an output of an activation depends on: measured, by changing some and looking at the others.

Of an elementwise activation each output depends on the value of z in its own place alone.

Shape letters: S seeds, B samples, F units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Apply = Callable[[Tensor], Tensor]  # z (S, B, F, ...) -> f(z), for the S seeds that one module serves

_SAMPLES = 8  # of a trial
_SCALES = (1.0, 8.0)  # of the values that a trial puts in
_LAYERS = (1 << 10, 1 << 14)  # units of a layer in which an activation is tried: the first number that it takes


@dataclass(frozen=True)
class Coupling:
    """Along which dimensions an output depends on other values of z than the one in its own place."""

    samples: bool = False
    units: bool = False
    positions: bool = False

    def __bool__(self) -> bool:
        return self.samples or self.units or self.positions


_KNOWN: dict[type, bool] = {}  # what was measured of a class of torch's or ours


def is_known(module: nn.Module, *also: type) -> bool:
    """Whether a module may be called as it is, any number of times, and is elementwise or selects among units.

    That is so where torch or actbench wrote it, it does not work in place, and a trial showed it to be so. Code of the
    user's own may change what it is given or keep it, and is never known.

    Args:
        module: an activation as it stands in a network.
        also: further classes that are known, or hold what is.
    """
    return all(
        _is_of_a_library(part) and (type(part) in also or _is_harmless(part)) and not getattr(part, "inplace", False)
        for part in module.modules()
    )


def _is_of_a_library(part: nn.Module) -> bool:
    """Whether torch or actbench wrote a module, and the `formula` that it may hold."""
    modules = {type(part).__module__, getattr(getattr(part, "formula", None), "__module__", "torch")}
    return all(name.split(".")[0] in ("torch", "actbench") for name in modules)


def _is_harmless(part: nn.Module) -> bool:
    kind = type(part)
    if kind not in _KNOWN:
        module = copy.deepcopy(part).eval()
        try:
            coupling = coupling_of_module(module)
        except (Exception, SystemExit):  # it takes something else than the outputs of a linear layer
            return False
        like = next(part.parameters(), None)
        selecting = bool(coupling) and selects(as_one_seed(module), units=units_of(part), like=like)
        _KNOWN[kind] = not [*part.children()] and (selecting or not coupling)
    return _KNOWN[kind]


def coupling_of_module(module: nn.Module) -> Coupling:
    """What an ordinary module depends on, behind a linear layer of as many units as it takes.

    Raises:
        Exception: what the module raises, whatever the number of units.
    """
    units, like = units_of(module), next(module.parameters(), torch.zeros(()))
    *sizes, last = (units,) if units > 1 else (_SAMPLES, *_LAYERS)
    for size in sizes:
        with suppress(Exception):  # a layer may be too small for it
            return coupling_of(as_one_seed(module), torch.zeros(1, _SAMPLES, size).to(like))
    return coupling_of(as_one_seed(module), torch.zeros(1, _SAMPLES, last).to(like))


def units_of(module: nn.Module) -> int:
    """As many units as an activation has values of a parameter or a buffer; 1 where it has one for all of them."""
    return max((tensor.numel() for tensor in (*module.parameters(), *module.buffers())), default=1)


def as_one_seed(module: nn.Module) -> Apply:
    """An ordinary module as a function of z with one seed in front, (1, B, F, ...)."""
    return lambda z: module.forward(z.squeeze(0)).unsqueeze(0)


@torch.no_grad()
def selects(apply: Apply, *, seeds: int = 1, units: int = 1, like: Tensor | None = None) -> bool:
    """Whether f lets some units of a layer through as they are and makes the others 0, by the values of all of them.

    Such are top-k and "winner takes all". ReLU makes some 0 as well, but by their own values.

    Args:
        apply: f of z (S, B, F).
        seeds: S.
        units: F, where f has so many values of a parameter; 1 where it takes any F.
        like: a tensor of the device and dtype that f takes.
    """
    generator = torch.Generator().manual_seed(0)
    for size in _LAYERS if units == 1 else (units,):
        z = torch.randn(seeds, 2, size, generator=generator)
        z = z if like is None else z.to(like)
        try:
            h = _once_more(apply, z)
            let_through = h != 0
            if h.shape != z.shape or bool(let_through.all()) or not torch.equal(h, z.where(let_through, 0)):
                return False
            return bool(let_through.any()) and _depends(apply, z, h, (2,), generator)
        except (Exception, SystemExit):  # of any kind, from any code; a layer may be too small for it
            continue
    return False


@torch.no_grad()
def coupling_of(apply: Apply, z: Tensor) -> Coupling:
    """What f depends on: half of the samples, units and positions are changed, and the other half compared.

    An elementwise f has the same bits there. It is tried on z (S, B, F, ...), of which a few samples are taken, and on
    normal numbers of two sizes; f may draw random numbers, which are the same each time. The same z gives the same
    answer, and nothing outside is changed.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (z.shape[0], _SAMPLES, *z.shape[2:])
    drawn = [scale * torch.randn(shape, generator=generator).to(z) for scale in _SCALES]
    coupling = Coupling()
    for trial in (torch.nan_to_num(z[:, :_SAMPLES], 0.0, 1.0, -1.0), *drawn):
        h = _once_more(apply, trial)
        of_shape = h.shape == z.shape[:1] + trial.shape[1:2] + z.shape[2:]
        coupling = Coupling(
            samples=coupling.samples or _depends(apply, trial, h, (1,), generator),
            units=coupling.units or not of_shape or _depends(apply, trial, h, (2,), generator),
            positions=z.ndim > 3
            and (coupling.positions or not of_shape or _depends(apply, trial, h, range(3, z.ndim), generator)),
        )
    return coupling


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
        for device in devices:
            torch.cuda.default_generators[device.index].manual_seed(0)
        torch.default_generator.manual_seed(0)  # `torch.manual_seed` formats a stack for each kind of device
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
