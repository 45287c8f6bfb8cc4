"""What the code around a site computes: gates, and activations that are written out instead of called.

A tensor is followed as long as functions take it element by element: `x * torch.sigmoid(x)` multiplies two tensors of
one root, and is the formula of an activation; `x * torch.sigmoid(gate(x))` multiplies tensors of two roots, and is a
gate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actbench.sites.site import Found

Function = Callable[..., Any]


def functions(*names: str) -> frozenset[Function]:
    """The functions and methods of torch's with these names, those that work in place included."""
    written = [name for name in names for name in (name, f"{name}_")]
    return frozenset(getattr(home, name) for home in (torch, Tensor) for name in written if hasattr(home, name))


MULTIPLIES = functions("mul", "multiply", "__mul__", "__rmul__", "__imul__", "addcmul")
_RESHAPES = functions(
    "view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "flatten", "permute", "transpose", "contiguous",
    "chunk", "split", "__getitem__", "unflatten", "repeat", "to", "type_as", "float",
)  # fmt: skip
_BENDS = functions(  # a straight line
    "maximum", "minimum", "fmax", "fmin", "where", "sin", "cos", "exp", "erf", "atan", "arctan", "asinh", "abs",
)  # fmt: skip
_OF_TWO = functions("max", "min")  # of two tensors; of one they are no functions of each element
_CLAMPS = functions("clamp", "clip")
_ELEMENTWISE = MULTIPLIES | _BENDS | _OF_TWO | _CLAMPS | functions(
    "add", "sub", "rsub", "div", "true_divide", "neg", "pow", "square", "sqrt", "log1p", "expm1", "reciprocal", "gt",
    "ge", "lt", "le", "float", "to", "type_as", "__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__",
    "__truediv__", "__rtruediv__", "__rdiv__", "__div__", "__itruediv__", "__idiv__", "__neg__", "__pow__", "__gt__",
    "__ge__", "__lt__", "__le__",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Of which tensor (its id) a tensor is a function, element by element, and through which sites it went."""

    root: int
    sites: tuple[Found, ...] = ()
    scaled: bool = False  # whether there was arithmetic behind the last site


class Formulas:
    """Follows the tensors of one pass. They have to stay alive until its end, since they are known by their ids.

    Args:
        inputs: of the network; what does not depend on any of them is no signal, such as a parameter or a mask of
            dropout.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self.inputs = {id(tensor) for tensor in inputs}
        self.signals = {*self.inputs}
        self.origins: dict[int, Origin] = {}
        self.written: set[int] = set()  # roots of formulas

    def _origin(self, tensor: Tensor) -> Origin:
        return self.origins.get(id(tensor), Origin(id(tensor)))

    def is_of_input(self, tensor: Tensor) -> bool:
        """Whether a tensor is the network's input, another view of it, or a function of it, element by element."""
        return self._origin(tensor).root in self.inputs

    def last_site(self, tensor: Any) -> Found | None:
        """The site that a tensor is an output of, or a function of one, element by element or another view."""
        origin = self.origins.get(id(tensor))
        return origin.sites[-1] if origin is not None and origin.sites else None

    def passes(self, site: Found, z: Tensor, output: Tensor) -> None:
        """A site computed `output` of `z`."""
        before = self._origin(z)
        self.signals.add(id(output))
        self.origins[id(output)] = Origin(before.root, (*before.sites, site))

    def multiplied(self, tensors: Sequence[Tensor]) -> None:
        """These were multiplied with each other: notes which of their sites are gates or parts of a formula."""
        factors = [tensor for tensor in tensors if id(tensor) in self.signals and tensor.ndim > 0]
        for factor in factors:
            origin = self._origin(factor)
            for other in factors:
                if other is factor or not origin.sites:
                    continue
                if self._origin(other).root == origin.root:
                    for site in origin.sites:
                        site.formula = True
                else:
                    origin.sites[-1].gates = True
                    origin.sites[-1].scaled |= origin.scaled

    def follow(self, function: Function, tensors: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """A function that is no site computed `outputs` of `tensors`."""
        name = getattr(function, "__name__", "")
        signals = [tensor for tensor in tensors if id(tensor) in self.signals]
        if not signals or name.endswith("_like") or name.startswith("new_"):
            return
        origins = [self._origin(tensor) for tensor in signals]
        for output in outputs:
            self.signals.add(id(output))
            if function in _ELEMENTWISE and len({origin.root for origin in origins}) == 1:
                sites = dict.fromkeys(site for origin in origins for site in origin.sites)
                self.origins[id(output)] = Origin(origins[0].root, (*sites,), scaled=bool(sites))
            elif function in _RESHAPES and (origins[0].sites or origins[0].root in self.inputs):
                root = origins[0].root if origins[0].root in self.inputs else id(output)
                self.origins[id(output)] = Origin(root, origins[0].sites, origins[0].scaled)
            else:
                self.origins.pop(id(output), None)  # it may be one that was written to

    def writes_out(self, function: Function, args: Sequence[Any], tensors: Sequence[Tensor], output: Any) -> bool:
        """Whether a function, called with `args`, makes a curve of each value of one tensor, and no site; once a root.

        >>> x = torch.zeros(2)
        >>> Formulas([x]).writes_out(torch.maximum, (x, torch.zeros(2)), (x, torch.zeros(2)), x)
        True
        """
        signals = [tensor for tensor in tensors if id(tensor) in self.signals]
        roots = {self._origin(tensor).root for tensor in signals}
        if len(roots) != 1 or not isinstance(output, Tensor) or output.shape != signals[0].shape:
            return False
        masks = function in MULTIPLIES and any(tensor.dtype == torch.bool for tensor in signals)
        two = function in _OF_TWO and len(tensors) == 2
        if not (function in _BENDS or masks or two or (function in _CLAMPS and _bounds(args))):
            return False
        root = roots.pop()
        if root in self.written or any(self._origin(tensor).sites for tensor in signals):
            return False
        self.written.add(root)
        return True


def _bounds(args: Sequence[Any]) -> bool:
    return len(args) > 2 or any(isinstance(bound, Tensor) for bound in args[1:])
