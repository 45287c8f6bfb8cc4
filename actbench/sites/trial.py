"""`Trial`: a pass through a network during which every function and every activation module is seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actbench.sites import axes, kinds
from actbench.sites.places import Place, place_of
from actbench.sites.site import Call, Found


def _functions(*names: str) -> frozenset[Callable[..., Any]]:
    return frozenset(getattr(home, name) for home in (torch, Tensor) for name in names if hasattr(home, name))


_MULTIPLIES = _functions(
    "mul", "mul_", "multiply", "multiply_", "__mul__", "__rmul__", "__imul__", "addcmul", "addcmul_"
)
_RESHAPES = _functions(
    "view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "flatten", "permute", "transpose", "contiguous",
    "chunk", "split", "__getitem__", "unflatten", "repeat", "to", "type_as", "float",
)  # fmt: skip
_READS_NO_VALUES = frozenset(
    {"__get__", "size", "dim", "numel", "stride", "is_contiguous", "element_size", "get_device"}
)


class Trial(TorchFunctionMode):
    """Within the block, what a pass of `network` calls is added to `found`.

    Every tensor that it is shown stays alive until the end, so that a tensor is known by its id. In-place activations
    work out of place meanwhile, which shows who reads what they would overwrite.

    Args:
        network: in the mode in which it is tried.
        found: key of a site -> what is known of it, in the order in which sites are met.
        recomputed: the places that are recomputed in training.
    """

    def __init__(self, network: nn.Module, found: dict[tuple[Any, ...], Found], recomputed: set[Place]) -> None:
        super().__init__()
        self.network, self.found, self.recomputed = network, found, recomputed
        self.paths = {id(module): name for name, module in network.named_modules()}
        self.parameters = {id(parameter): name for name, parameter in network.named_parameters()}
        self.alive: list[Any] = []
        self.axis: dict[int, int] = {}  # tensor -> its axis of units, where it is known
        self.weights: dict[int, tuple[str, ...]] = {}  # tensor -> parameters of the last layer that it came through
        self.origin: dict[int, Found] = {}  # tensor -> the site that it is an output of, or a view of one
        self.inputs: dict[int, int] = {}  # output of a site -> its input
        self.overwritten: dict[int, Found] = {}  # storage -> the in-place site whose input is there
        self.in_place: set[int] = set()  # modules that work in place
        self.inside = 0  # modules that are activations, whose own calls are not sites
        self.hooks = ExitStack()

    def __enter__(self) -> Trial:
        for name, module in self.network.named_modules():
            kind = kinds.kind_of(module) or kinds.kind_by_trial(module)
            if kind is None:
                continue
            before = module.register_forward_pre_hook(partial(self._enter, kind, name))
            after = module.register_forward_hook(self._leave)
            self.hooks.callback(before.remove)
            self.hooks.callback(after.remove)
            if getattr(module, "inplace", False):
                module.inplace = False
                self.hooks.callback(setattr, module, "inplace", True)
                self.in_place.add(id(module))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.hooks.close()

    # ------------------------------------------------------------ modules

    def _path_of(self, module: nn.Module) -> str | None:
        return self.paths.get(id(module))

    def _enter(self, kind: str, name: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.inside += 1
        if self.inside > 1 or not arguments or not isinstance(arguments[0], Tensor):
            return
        place = place_of(sys._getframe(1), lambda other: None if other is module else self._path_of(other))
        self._meet(kind, arguments[0], place, name, None, id(module) in self.in_place)

    def _leave(self, _module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        self.inside -= 1
        if self.inside == 0 and arguments and isinstance(arguments[0], Tensor):
            self._returns(arguments[0], output)

    # ------------------------------------------------------------ functions

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one function, and notes what it does."""
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        kind = kinds.called(func, args, kwargs)
        if func in kinds.ATTENTION and args and isinstance(args[0], Tensor):
            self._meet("softmax", args[0], place_of(sys._getframe(1), self._path_of), None, None, False)
            self.current.attends = True
        if kind is None:
            self._uses(func, args, kwargs)
            output = func(*args, **kwargs)
            self._follows(func, args, kwargs, output)
            return output
        z, args, kwargs = kinds.input_of(args, kwargs)
        place = place_of(sys._getframe(1), self._path_of)
        in_place = kinds.works_in_place(func, args, kwargs)
        self._meet(kind, z, place, None, Call(func, tuple(args[1:]), kwargs), in_place)
        output = kinds.out_of_place(func, args, kwargs) if in_place else func(*args, **kwargs)
        self._returns(z, output)
        return output

    def _meet(
        self, kind: str, z: Tensor, place: Place | None, module: str | None, call: Call | None, in_place: bool
    ) -> None:
        if place is not None and place.recomputed:
            self.recomputed.add(place)
        elif place is not None:
            place = place.within(self.recomputed)
        axis = self.axis.get(id(z), axes.usual(z))
        units = z.shape[axis] if z.ndim else 1
        site = self.found.setdefault(
            (module, kind, place, z.ndim, axis, units),
            Found(kind, tuple(z.shape), axis, place, module, call, self.weights.get(id(z), ())),
        )
        site.evaluated |= not self.network.training
        self.current = site
        if in_place:
            self.overwritten[_storage(z)] = site

    def _returns(self, z: Tensor, output: Any) -> None:
        site = self.current
        if not isinstance(output, Tensor):
            site.same_shape = False
            return
        self.alive += [z, output]
        self.overwritten.pop(_storage(output), None)
        site.same_shape &= output.shape == z.shape
        self.origin[id(output)], self.inputs[id(output)] = site, id(z)
        self.axis[id(output)] = site.axis
        self.weights[id(output)] = self.weights.get(id(z), ())

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
            others = [other for other in tensors if other is not tensor and other.ndim > 0]
            if site is not None and others:
                site.gates = True
                site.formula |= any(id(other) == self.inputs.get(id(tensor)) for other in others)

    def _follows(self, func: Callable[..., Any], args: Any, kwargs: Any, output: Any) -> None:
        """Carries what is known of a tensor to what a function makes of it."""
        source = next(_tensors(args), None)
        known = () if source is None else self.weights.get(id(source), ())
        used = tuple(self.parameters[id(value)] for value in (*args, *kwargs.values()) if id(value) in self.parameters)
        weights = used if func in axes.LAYERS else (*known, *(name for name in used if name not in known))
        for result in _tensors([output]):
            self.alive.append(result)
            axis = axes.after(func, args, result, None if source is None else self.axis.get(id(source)))
            if axis is not None:
                self.axis[id(result)] = axis
            if weights and id(result) not in self.parameters:
                self.weights[id(result)] = weights
            if source is not None and func in _RESHAPES and id(source) in self.origin:
                self.origin[id(result)] = self.origin[id(source)]

    def ends_with(self, output: Any) -> None:
        """What the network returned: an activation there is its output, not a hidden one."""
        if isinstance(output, Tensor) and (site := self.origin.get(id(output))) is not None:
            site.is_output = True


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
