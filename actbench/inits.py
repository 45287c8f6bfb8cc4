"""How weights start, and the gain that suits an activation.

A scheme is a function `(weight, *, gain, generator, ...)` that fills `weight` in place and returns nothing. `weight` is
(out, in) of a linear layer or (out, in, height, width) of a convolution. Draws come from `generator` alone, so that for
one seed all activations start from the same draws and differ by their gain. Fans count as in `fans`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actbench.activations.coupling import as_one_seed, coupling_of, is_known, selects, units_of
from actbench.errors import UserError

Scheme = Callable[..., Any]


def fans(weight: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...): in and out, each times the number of positions of a kernel.

    >>> fans(torch.empty(8, 3, 5, 5))
    (75, 200)
    """
    receptive = math.prod(weight.shape[2:])
    return weight.shape[1] * receptive, weight.shape[0] * receptive


def _fan(weight: Tensor, mode: str) -> int:
    fan_in, fan_out = fans(weight)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is fan_in or fan_out, not {mode}")
    return fan_in if mode == "fan_in" else fan_out


def torch_default(weight: Tensor, *, gain: float, generator: torch.Generator) -> None:
    """Leaves what the layer's own constructor drew (from the seed's generator, biases included)."""


def own(weight: Tensor, *, gain: float, generator: torch.Generator) -> None:
    """Leaves what the network's own constructor drew, whatever it drew it by."""


def he_normal(weight: Tensor, *, gain: float, generator: torch.Generator, mode: str = "fan_in") -> None:
    """N(0, gain²/fan). He et al. 2015, arXiv:1502.01852, eq. 10 (fan_in) and 14 (fan_out), where gain² = 2."""
    nn.init.normal_(weight, 0.0, gain / math.sqrt(_fan(weight, mode)), generator=generator)


def he_uniform(weight: Tensor, *, gain: float, generator: torch.Generator, mode: str = "fan_in") -> None:
    """U(-b, b) with b = gain·sqrt(3/fan): the variance of `he_normal`."""
    bound = gain * math.sqrt(3.0 / _fan(weight, mode))
    nn.init.uniform_(weight, -bound, bound, generator=generator)


def xavier_normal(weight: Tensor, *, gain: float, generator: torch.Generator) -> None:
    """N(0, gain²·2/(fan_in + fan_out)). Glorot & Bengio 2010, eq. 12, where gain = 1."""
    nn.init.xavier_normal_(weight, gain, generator=generator)


def xavier_uniform(weight: Tensor, *, gain: float, generator: torch.Generator) -> None:
    """U(-b, b) with b = gain·sqrt(6/(fan_in + fan_out)). Glorot & Bengio 2010, eq. 16, where gain = 1."""
    nn.init.xavier_uniform_(weight, gain, generator=generator)


def lecun_normal(weight: Tensor, *, gain: float, generator: torch.Generator) -> None:
    """N(0, gain²/fan_in). LeCun et al. 1998, "Efficient BackProp", § 4.6, where gain = 1."""
    nn.init.normal_(weight, 0.0, gain / math.sqrt(fans(weight)[0]), generator=generator)


def orthogonal(weight: Tensor, *, gain: float, generator: torch.Generator) -> None:
    """gain times a (semi-)orthogonal matrix (out, in·...). Saxe et al. 2013, arXiv:1312.6120."""
    nn.init.orthogonal_(weight, gain, generator=generator)


@lru_cache(maxsize=1)
def _gauss_panels() -> tuple[Tensor, Tensor]:
    """Nodes and weights for E[g(z)], z ~ N(0, 1): Gauss-Legendre on half-unit panels over [-14, 14].

    Kinks of piecewise functions (0, ±1, ±3, 6) fall on the edges of panels, so that they cost no accuracy.
    """
    nodes, weights = np.polynomial.legendre.leggauss(32)
    edges = np.arange(-14.0, 14.0, 0.5)
    z = (edges[:, None] + (nodes + 1) / 4).ravel()
    w = np.tile(weights / 4, len(edges)) * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return torch.from_numpy(z), torch.from_numpy(w)  # for all activations of the process: hand out copies alone


def auto_gain(activation: nn.Module, *, units: int | None = None) -> float:
    """1/sqrt(E[f(z)²]) for z ~ N(0, 1): the gain that keeps the mean square of activations from layer to layer.

    Learnable activations count as they are now, on average over the `units` of the layer (by default as many as the
    activation has parameters). It gives sqrt(2) for ReLU (He et al. 2015, arXiv:1502.01852, eq. 10)
    and sqrt(2/(1 + a²)) for LeakyReLU(a) (eq. 15).

    For an activation whose units depend on each other, E[f(z)²] is the mean over a fixed normal sample of `units`
    columns, to about 2 in 1,000. Where it keeps k outputs of a convolution, whose size is not known here, it is taken
    to have the larger of `units` and k outputs.

    Raises:
        UserError: E[f(z)²] is zero or not finite.

    >>> round(auto_gain(nn.ReLU()), 6)
    1.414214
    """
    with torch.no_grad():
        double = _copy_in_double(activation)
        sampled = _selects(double) or _couples(double, units)
        square = _sampled_square(double, units or 1) if sampled else _square(double, units)
    if not (math.isfinite(square) and square > 0):
        name = type(activation).__name__
        raise UserError(f"E[f(z)²] of {name} is {square:g}", where="init.gain=auto", how="give a number: init.gain=1.0")
    return 1.0 / math.sqrt(square)


def _selects(activation: nn.Module) -> bool:
    like = next(activation.parameters(), torch.zeros((), dtype=torch.float64))
    return selects(as_one_seed(activation), units=units_of(activation), like=like)


def _couples(activation: nn.Module, units: int | None) -> bool:
    """Whether it is not elementwise; of one that fails it is left to `auto_gain` to say so."""
    if is_known(activation):
        return False
    sizes = [parameter.numel() for parameter in activation.parameters()]
    columns = units or max(sizes, default=_TRIAL_UNITS)
    z = torch.zeros(1, 1, columns, dtype=torch.float64)
    try:
        return bool(coupling_of(lambda z: activation(z.squeeze(0)).unsqueeze(0), z))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, AttributeError):
        return False


_TRIAL_UNITS = 8


def _square(activation: nn.Module, units: int | None) -> float:
    """E[f(z)²] of an elementwise f, on average over its units."""
    z, weights = _gauss_panels()
    sizes = [parameter.numel() for parameter in activation.parameters()]
    columns = (units or max(sizes)) if sizes else 1
    output = activation(z[:, None].repeat(1, columns))  # (nodes, units), a copy that it may write to
    return (weights[:, None] * output.double().square()).sum(0).mean().item()


def _sampled_square(activation: nn.Module, units: int) -> float:
    """E[f(z)²] where it needs all units of a layer at once: the mean over `_SAMPLE` values."""
    columns = max(units, getattr(activation, "k", None) or 1)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(max(64, _SAMPLE // columns), columns, generator=generator, dtype=torch.float64)
    return activation(z).square().mean().item()


_SAMPLE = 1 << 18


def _copy_in_double(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).double().eval()


def initialise(network: nn.Module, *, scheme: Scheme, gain: float | str, generator: torch.Generator) -> None:
    """Fills the weights of all linear and convolution layers in the order of the network; their biases become zero.

    A layer's gain is that of the activation beside it (a sibling called `activation`); a layer without one, the output
    layer above all, has gain 1. With `torch_default` and `own` everything stays as it is.
    """
    if leaves_weights(scheme):
        return
    for module in network.modules():
        activation = getattr(module, "activation", None)
        for layer in module.children():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                of_layer = 1.0
                if activation is not None:
                    of_layer = auto_gain(activation, units=len(layer.weight)) if gain == "auto" else float(gain)
                scheme(layer.weight, gain=of_layer, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def initialise_in_front(
    network: nn.Module, activations: Mapping[str, nn.Module], *,
    scheme: Scheme, gain: float | str, generator: torch.Generator,
) -> None:  # fmt: skip
    """Fills the weights of those linear and convolution layers that lie in front of an activation; biases become zero.

    Args:
        network: of which other weights stay as they are.
        activations: name of a weight -> the activation behind its layer.
        scheme: as in `initialise`.
        gain: the same.
        generator: the same.
    """
    if leaves_weights(scheme):
        return
    for name, module in network.named_modules():
        activation = activations.get(f"{name}.weight")
        if activation is not None and isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            of_layer = auto_gain(activation, units=len(module.weight)) if gain == "auto" else float(gain)
            scheme(module.weight, gain=of_layer, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def leaves_weights(scheme: Scheme) -> bool:
    """Whether a scheme leaves what the network's own constructor drew."""
    return (scheme.func if isinstance(scheme, partial) else scheme) in (torch_default, own)
