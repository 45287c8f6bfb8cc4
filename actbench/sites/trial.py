"""`Trial`: a pass through a network during which every function and every activation module is seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actbench.sites import axes, kinds
from actbench.sites.formulas import MULTIPLIES, Formulas
from actbench.sites.places import Place, is_in_custom_function, place_of
from actbench.sites.site import Call, Found

_READS_NO_VALUES = frozenset(
    {"__get__", "size", "dim", "numel", "stride", "is_contiguous", "element_size", "get_device"}
)


class Trial(TorchFunctionMode):
    """Within the block, what a pass of `network` calls is added to `found`.

    Every tensor that it is shown stays alive until the end, so that a tensor is known by its id. In-place activations
    work out of place meanwhile, which shows who reads what they would overwrite.

    Args:
        network: in the mode in which it is tried.
        inputs: that it is called with.
        activations: path of a module that is one -> its kind.
        found: key of a site -> what is known of it, in the order in which sites are met.
        recomputed: the places that are recomputed in training.
    """

    def __init__(
        self, network: nn.Module, inputs: Sequence[Tensor], activations: Mapping[str, str],
        found: dict[tuple[Any, ...], Found], recomputed: set[Place],
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.activations, self.found, self.recomputed = network, activations, found, recomputed
        self.paths = {id(module): name for name, module in network.named_modules()}
        self.parameters = {id(parameter): name for name, parameter in network.named_parameters()}
        self.formulas = Formulas(inputs)
        self.alive: list[Any] = []
        self.axis: dict[int, int] = {}  # tensor -> its axis of units, where it is known
        self.weights: dict[int, tuple[str, ...]] = {}  # tensor -> parameters of the last layer that it came through
        self.overwritten: dict[int, Found] = {}  # storage -> the in-place site whose input is there
        self.outputs: dict[int, Found] = {}  # storage -> the site whose output is there
        self.inside = False  # an activation module, whose own calls are not sites
        self.undo = ExitStack()

    def __enter__(self) -> Trial:
        for name, kind in self.activations.items():
            module = self.network.get_submodule(name)
            in_place, bounded = bool(getattr(module, "inplace", False)), kinds.is_bounded(module)
            module.__dict__["forward"] = partial(self._module, module, name, kind, in_place, bounded)
            self.undo.callback(module.__dict__.pop, "forward")
            if in_place:
                module.inplace = False  # type: ignore[assignment]
                self.undo.callback(setattr, module, "inplace", True)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.undo.close()

    def _path_of(self, module: nn.Module) -> str | None:
        return self.paths.get(id(module))

    def _module(
        self, module: nn.Module, name: str, kind: str, in_place: bool, bounded: bool, *args: Any, **kwargs: Any
    ) -> Any:
        """In place of the `forward` of an activation module."""
        forward = partial(type(module).forward, module)
        z = args[0] if args else next(iter(kwargs.values()), None)
        if self.inside or not isinstance(z, Tensor):
            return forward(*args, **kwargs)
        place = place_of(sys._getframe(1), self._path_of)
        site = self._meet(kind, z, place, module=name, in_place=in_place)
        site.bounded |= bounded
        self.inside = True
        try:
            output = forward(*args, **kwargs)
        finally:
            self.inside = False
        self._returns(site, z, output)
        return output

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one function, and notes what it does."""
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        kind = kinds.called(func, args, kwargs)
        if kind is None:
            return self._other(func, args, kwargs)
        z, args, kwargs = kinds.input_of(args, kwargs)
        in_place = kinds.works_in_place(func, args, kwargs)
        place, call = place_of(sys._getframe(1), self._path_of), Call(func, tuple(args[1:]), kwargs)
        site = self._meet(kind, z, place, call=call, in_place=in_place)
        site.custom |= is_in_custom_function(sys._getframe(1))
        output = kinds.out_of_place(func, args, kwargs) if in_place else func(*args, **kwargs)
        self._returns(site, z, output)
        return output

    # ------------------------------------------------------------ sites

    def _meet(
        self, kind: str, z: Tensor, place: Place | None, *,
        module: str | None = None, call: Call | None = None, in_place: bool = False, left_alone: str = "",
    ) -> Found:  # fmt: skip
        if place is not None and place.recomputed:
            self.recomputed.add(place)
        elif place is not None:
            place = place.within(self.recomputed)
        axis = self.axis.get(id(z), axes.usual(z))
        units = z.shape[axis] if z.ndim else 1
        site = self.found.setdefault(
            (module, kind, place, z.ndim, axis, units),
            Found(kind, tuple(z.shape), axis, place, module, call, self.weights.get(id(z), ()), left_alone=left_alone),
        )
        site.evaluated |= not self.network.training
        site.on_input |= self.formulas.is_of_input(z)
        site.mapped |= torch._C._functorch.is_functorch_wrapped_tensor(z)
        if in_place:
            self._is_written(z)
            self.overwritten[_storage(z)] = site
        return site

    def _is_written(self, tensor: Tensor) -> None:
        if (site := self.outputs.get(_storage(tensor))) is not None:
            site.written = True

    def _returns(self, site: Found, z: Tensor, output: Any) -> None:
        if not isinstance(output, Tensor):
            site.same_shape = False
            return
        self.alive += [z, output]
        self.overwritten.pop(_storage(output), None)
        self.outputs[_storage(output)] = site
        site.same_shape &= output.shape == z.shape
        self.formulas.passes(site, z, output)
        self.axis[id(output)] = site.axis
        self.weights[id(output)] = self.weights.get(id(z), ())

    # ------------------------------------------------------------ other functions

    def _other(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Runs a function that is no activation."""
        tensors = [*_tensors([*args, *kwargs.values()])]
        if self.overwritten and getattr(func, "__name__", "") not in _READS_NO_VALUES:
            for tensor in tensors:
                site = self.overwritten.get(_storage(tensor))
                if site is not None:
                    site.overwrites = True
        if tensors and kinds.works_in_place(func, args, kwargs):
            self._is_written(tensors[0])
        if func in MULTIPLIES:
            self.formulas.multiplied(tensors)
        if func in kinds.WITHIN and tensors:
            kind, why = kinds.WITHIN[func]
            self._meet(kind, tensors[0], place_of(sys._getframe(2), self._path_of), left_alone=why)
        output = func(*args, **kwargs)
        known = self.weights.get(id(tensors[0]), ()) if tensors else ()
        if known and self.formulas.writes_out(func, (*args, *kwargs.values()), tensors, output):
            name, place = getattr(func, "__name__", "").strip("_"), place_of(sys._getframe(2), self._path_of)
            self._meet(name, tensors[0], place, left_alone=kinds.WRITTEN_OUT)
        self._follow(func, args, kwargs, tensors, output)
        return output

    def _follow(self, func: Callable[..., Any], args: Any, kwargs: Any, tensors: list[Tensor], output: Any) -> None:
        """Carries what is known of a tensor to what a function makes of it."""
        first = tensors[0] if tensors else None
        known = () if first is None else self.weights.get(id(first), ())
        used = tuple(self.parameters[id(value)] for value in (*args, *kwargs.values()) if id(value) in self.parameters)
        weights = used if func in axes.LAYERS else (*known, *(name for name in used if name not in known))
        outputs = [*_tensors([output])]
        self.alive += [*tensors, *outputs]
        self.formulas.follow(func, tensors, outputs)
        source = next((tensor for tensor in tensors if id(tensor) in self.axis), first)
        for result in outputs:
            axis = axes.after(func, args, result, source, self.axis.get(id(source)))
            if axis is not None:
                self.axis[id(result)] = axis
            if weights and id(result) not in self.parameters:
                self.weights[id(result)] = weights

    def ends_with(self, output: Any) -> None:
        """What the network returned: an activation there is its output, not a hidden one."""
        if (site := self.formulas.last_site(output)) is not None:
            site.is_output = True


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _storage(tensor: Tensor) -> int:
    """What tells the memory of tensors apart; of those that have none of their own, the tensor."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # of torch.vmap, sparse ones, ...
        return id(tensor)
