"""Finds the activation sites of any network by trial passes, however they are written: as modules or as calls.

Modules are found as they are called, calls (`F.relu(x)`, `x.relu()`, `torch.tanh(x)`) by a mode of torch that sees every
function. What the network does with an output tells a gate from an activation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actbench.sites import axes, kinds
from actbench.sites.places import Place, place_of


@dataclass(frozen=True)
class Site:
    """One place at which a network applies an activation.

    Attributes:
        name: the path of the module, or that of the module whose code makes the call with the kind and a number.
        kind: what stands there: `relu`, `gelu`, or the class of a module that is not torch's.
        units: values along `axis`.
        axis: of the tensor, which counts its units: the output features of a linear layer, channels of a convolution.
        shape: of the tensor at the trial, the batch first.
        place: of the call.
        module: the path of the module; None of a call.
        overwrites: whether the network needs what an in-place activation writes to its input.
        why_not: why it is left alone; empty where it can be exchanged.
    """

    name: str
    kind: str
    units: int
    axis: int
    shape: tuple[int, ...]
    place: Place | None
    module: str | None = None
    overwrites: bool = False
    why_not: str = ""

    @property
    def exchangeable(self) -> bool:
        return not self.why_not


@dataclass
class _Found:
    """What is known of a site so far, in the order in which sites are met."""

    kind: str
    shape: tuple[int, ...]
    axis: int
    place: Place | None
    module: str | None
    in_place: bool = False
    overwrites: bool = False
    gates: bool = False
    self_gates: bool = False
    is_output: bool = False
    same_shape: bool = True
    elementwise: bool = True


def find(network: nn.Module, inputs: Tensor) -> list[Site]:
    """The sites of a network, in the order in which a pass meets them.

    The network is tried in evaluation mode and in training mode, and left as it was.

    Args:
        network: any module.
        inputs: a small batch (B, ...), B ≥ 2.

    Raises:
        Exception: what the network raises.
    """
    found: dict[tuple[Any, ...], _Found] = {}
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = {module: module.training for module in network.modules()}
    try:
        for training in (False, True):
            network.train(training)
            with torch.no_grad(), torch.random.fork_rng():
                trial = _Trial(network, found)
                with trial:
                    trial.ends_with(network(inputs))
    finally:
        network.load_state_dict(state)
        for module, training in modes.items():
            module.training = training
    return _named(found)


_MULTIPLIES = frozenset(
    getattr(home, name)
    for home in (torch, Tensor)
    for name in ("mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__", "addcmul")
    if hasattr(home, name)
)
_RESHAPES = frozenset(
    getattr(home, name)
    for home in (torch, Tensor)
    for name in ("view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "flatten", "permute", "transpose",
                 "contiguous", "chunk", "split", "__getitem__", "unflatten", "repeat", "to", "type_as", "float")
    if hasattr(home, name)
)  # fmt: skip


_READS_NO_VALUES = frozenset({"__get__", "size", "dim", "numel", "stride", "is_contiguous", "element_size", "get_device"})


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class _Trial(TorchFunctionMode):
    """Sees every function that a pass calls, and the modules that are activations.

    Every tensor that it is shown stays alive during the pass, so that a tensor is known by its id.
    """

    def __init__(self, network: nn.Module, found: dict[tuple[Any, ...], _Found]) -> None:
        super().__init__()
        self.found = found
        self.paths = {id(module): name for name, module in network.named_modules()}
        self.alive: list[Any] = []
        self.axis: dict[int, int] = {}  # tensor -> its axis of units, where it is known
        self.origin: dict[int, _Found] = {}  # tensor -> the site that it is an output of, or a view of one
        self.overwritten: dict[int, _Found] = {}  # storage -> the in-place site whose input is there
        self.in_place: set[int] = set()  # modules that work in place
        self.inside = 0  # modules that are activations, whose own calls are not sites
        self.hooks = ExitStack()
        self.network = network

    def __enter__(self) -> _Trial:
        for name, module in self.network.named_modules():
            kind = kinds.kind_of(module)
            if kind is None and _may_be_one(module):
                kind = kinds.kind_by_class(module)
            if kind is not None:
                before = module.register_forward_pre_hook(partial(self._enter, kind, name))
                after = module.register_forward_hook(self._leave)
                if getattr(module, "inplace", False):  # tried out of place, to see who reads what it would overwrite
                    module.inplace = False
                    self.hooks.callback(setattr, module, "inplace", True)
                    self.in_place.add(id(module))
                self.hooks.callback(before.remove)
                self.hooks.callback(after.remove)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.hooks.close()

    # ------------------------------------------------------------ modules

    def _enter(self, kind: str, name: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.inside += 1
        if self.inside > 1 or not arguments or not isinstance(arguments[0], Tensor):
            return
        place = place_of(sys._getframe(1), {k: v for k, v in self.paths.items() if k != id(module)})
        self._meet(("module", name, place), kind, arguments[0], place, name, id(module) in self.in_place)

    def _leave(self, _module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        self.inside -= 1
        if self.inside == 0 and arguments and isinstance(arguments[0], Tensor):
            self._returns(arguments[0], output)

    # ------------------------------------------------------------ functions

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        kind = kinds.called(func, args, kwargs)
        if kind is None or not args or not isinstance(args[0], Tensor):
            self._uses(func, args, kwargs)
            output = func(*args, **kwargs)
            self._follows(func, args, output)
            return output
        place = place_of(sys._getframe(1), self.paths)
        in_place = kinds.works_in_place(func, args, kwargs)
        self._meet(("call", kind, place), kind, args[0], place, None, in_place)
        output = kinds.out_of_place(func, args, kwargs) if in_place else func(*args, **kwargs)
        self._returns(args[0], output)
        return output

    def _meet(
        self, key: tuple[Any, ...], kind: str, z: Tensor, place: Place | None, module: str | None, in_place: bool
    ) -> None:
        axis = self.axis.get(id(z), axes.usual(z))
        self.current = self.found.setdefault(key, _Found(kind, tuple(z.shape), axis, place, module))
        self.current.in_place |= in_place
        if in_place:
            self.overwritten[_storage(z)] = self.current

    def _returns(self, z: Tensor, output: Any) -> None:
        site = self.current
        if not isinstance(output, Tensor):
            site.same_shape = False
            return
        self.alive += [z, output]
        self.overwritten.pop(_storage(output), None)
        site.same_shape &= output.shape == z.shape
        self.origin[id(output)] = site
        self.axis[id(output)] = site.axis

    def _uses(self, func: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """What becomes of sites: is an output multiplied with another signal, is an overwritten input read again?"""
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if self.overwritten and getattr(func, "__name__", "") not in _READS_NO_VALUES:
            for tensor in tensors:
                site = self.overwritten.get(_storage(tensor))
                if site is not None:
                    site.overwrites = True
        if func not in _MULTIPLIES:
            return
        for tensor in tensors:
            site = self.origin.get(id(tensor))
            if site is not None and any(other is not tensor and other.ndim > 0 for other in tensors):
                site.gates = True

    def _follows(self, func: Callable[..., Any], args: Any, output: Any) -> None:
        """Carries the axis of units, and views of a site's output, from tensor to tensor."""
        source = next((value for value in args if isinstance(value, Tensor)), None)
        outputs = [output] if isinstance(output, Tensor) else [*output] if isinstance(output, (tuple, list)) else []
        for result in outputs:
            if not isinstance(result, Tensor):
                continue
            self.alive.append(result)
            axis = axes.after(func, args, result, None if source is None else self.axis.get(id(source)))
            if axis is not None:
                self.axis[id(result)] = axis
            if source is not None and func in _RESHAPES and id(source) in self.origin:
                self.origin[id(result)] = self.origin[id(source)]

    def ends_with(self, output: Any) -> None:
        """What the network returned: an activation there is its output, not a hidden one."""
        if isinstance(output, Tensor) and (site := self.origin.get(id(output))) is not None:
            site.is_output = True


def _may_be_one(module: nn.Module) -> bool:
    """Whether a leaf module of the user's or another library's computes each output from the value in its place alone."""
    from actbench.activations.coupling import coupling_of_module

    if type(module).__module__.startswith("torch.") or [*module.children()]:
        return False
    if any(parameter.ndim > 1 for parameter in module.parameters()) or isinstance(module, nn.Identity):
        return False
    z = torch.linspace(-4, 4, 8).repeat(8, 1)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            h = module(z.clone())
            if not isinstance(h, Tensor) or h.shape != z.shape or torch.equal(h, z):
                return False
            straight = torch.allclose(h[:, 2:] - h[:, 1:-1], h[:, 1:-1] - h[:, :-2], atol=1e-6)  # a scale is none
            return not straight and not coupling_of_module(module)
    except Exception:
        return False


# ---------------------------------------------------------------- names


def _named(found: Mapping[tuple[Any, ...], _Found]) -> list[Site]:
    sites = []
    same: dict[tuple[str, str], list[_Found]] = {}
    for one in found.values():
        same.setdefault(_base(one), []).append(one)
    for one in found.values():
        base = _base(one)
        group = same[base]
        number = f"{group.index(one) + 1}" if len(group) > 1 else ""
        owner, word = base
        name = f"{owner}.{word}{number}" if owner else f"{word}{number}"
        units = one.shape[one.axis] if one.axis < len(one.shape) else 1
        sites.append(
            Site(name, one.kind, units, one.axis, one.shape, one.place, one.module, one.overwrites, _why_not(one))
        )
    return sites


def _base(one: _Found) -> tuple[str, str]:
    """The module and the word that a site is named by, before numbers tell several of them apart."""
    if one.module is not None:
        above, _, last = one.module.rpartition(".")
        return above, last
    return (one.place.owner if one.place else ""), one.kind


def _why_not(one: _Found) -> str:
    if one.kind in kinds.NORMALISERS:
        return f"{one.kind} is no function of a unit's own value"
    if one.gates and one.kind in kinds.GATES:
        return "a gate: its output multiplies another signal"
    if one.is_output:
        return "it is the network's output"
    if not one.same_shape:
        return "its output has another shape than its input"
    return ""
