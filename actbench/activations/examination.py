"""What is wrong with an activation, as far as two calls show it, before anything is trained with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# What an activation does with its input
WRITES = "changes its input"
RESHAPES = "returns another shape"


@dataclass(frozen=True)
class Violation:
    """One way in which a module is not what an activation has to be.

    Args:
        kind: `WRITES` or `RESHAPES`, which may be allowed; empty for all others.
        what: what is wrong, in a sentence whose subject is the activation.
        how: what to do instead.
    """

    kind: str
    what: str
    how: str


def examine(module: nn.Module, z: Tensor) -> list[Violation]:
    """Everything that is wrong with f at z, in training; z and the module are left alone.

    An f is expected to return one new tensor of z's shape and dtype, with numbers in it, through which a gradient
    comes back, and to leave alone what it was given and what it returned before.

    Raises:
        Exception: what f raises.
    """
    module = copy.deepcopy(module).train()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        leaf = z.detach().clone().requires_grad_()
        given = leaf * 1  # not a leaf: those cannot be written to
        version, before = given._version, given.detach().clone()
        h = module(given)
        if not isinstance(h, Tensor):
            return [Violation("", f"returns {_named(h)}, not a tensor", "return f(z), a tensor of z's shape")]
        writes = given._version != version or not _equal(given.detach(), before)
        returned = h.detach().clone()
        module(leaf.detach() + 1)
        overwrites = not _equal(h.detach(), returned)
    violations = [*_of_values(before, returned), *([] if overwrites else _of_gradient(leaf, h))]
    if writes:
        violations.append(
            Violation(
                WRITES,
                "changes its input in place",
                "an operation that makes a new tensor: z * torch.sigmoid(z), not z.mul_(…)",
            )
        )
    if overwrites:
        violations.append(
            Violation("", "overwrites at its next call what it has returned", "return a new tensor from every call")
        )
    return violations


def _of_values(z: Tensor, h: Tensor) -> Iterator[Violation]:
    if h.shape != z.shape:
        shapes = f"{tuple(h.shape)} for {tuple(z.shape)}"
        yield Violation(RESHAPES, f"returns another shape than it is given: {shapes}", "return a tensor of z's shape")
    if h.dtype != z.dtype:
        kinds = f"{_kind(h)} for {_kind(z)}"
        yield Violation(
            "", f"returns another dtype than it is given: {kinds}", "h.to(z.dtype), or numbers of z's dtype"
        )
    if h.is_floating_point() and h.numel() and bool(h.isnan().all()):
        yield Violation("", "is NaN for every input", "a formula that is defined for all z")


_CUT_OFF = "leave out detach(), .data, .numpy() and torch.no_grad()"


def _of_gradient(z: Tensor, h: Tensor) -> Iterator[Violation]:
    if not h.requires_grad:
        yield Violation("", "lets no gradient through: its output is cut off from its input", _CUT_OFF)
        return
    try:
        (gradient,) = torch.autograd.grad(h.sum(), z, allow_unused=True)
    except RuntimeError as error:
        yield Violation(
            "", f"cannot be differentiated: {str(error).strip().splitlines()[0]}", "operations of torch on z"
        )
        return
    if gradient is None:
        yield Violation("", "lets no gradient through: its output is cut off from its input", _CUT_OFF)
    elif bool(gradient.isnan().all()) and not bool(h.isnan().all()):
        yield Violation("", "has a gradient of NaN for every input", "a formula that has a derivative")


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


def _named(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


class InputRecorder:
    """Records what the activations of a network are given in its forward passes.

    Attributes:
        network: whose passes are recorded.
        inputs: a module and its z, one of each class of module and shape of z; any module with one tensor counts.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.inputs: list[tuple[nn.Module, Tensor]] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within the block every pass of the network is recorded."""
        handles = [module.register_forward_pre_hook(self._record) for module in self.network.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _record(self, module: nn.Module, arguments: tuple[object, ...]) -> None:
        if len(arguments) != 1 or not isinstance(arguments[0], Tensor):
            return
        z = arguments[0].detach()
        if not any(type(other) is type(module) and known.shape == z.shape for other, known in self.inputs):
            self.inputs.append((module, z.clone()))
