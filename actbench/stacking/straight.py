"""Whether the code of a network treats each sample by itself, and all alike: then it may be given those of all seeds.

`torch.fx` traces its forward, which fails where the code decides anything by a value or by a size. Every function of
the trace then runs with one sample changed: nothing of the other samples may change with it.

Shape letters: N samples.
"""

from __future__ import annotations

import copy
import operator
import random
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from actbench.errors import in_a_line
from actbench.stacking.protocol import NotStackable

N = 7  # samples of the trial: a prime, so that no other axis is likely to be as long
_SIZES = ("size", "dim", "ndimension")  # methods that say nothing of the values
_ATTRIBUTES = ("shape", "ndim", "dtype", "device")
_RESHAPES = ("view", "reshape")
_CUTS = ("split", "chunk", "tensor_split", "unbind", "narrow", "select", "split_with_sizes", "hsplit", "vsplit")


def check_straight(network: nn.Module, layers: Collection[str], sites: Collection[str], sample: Tensor) -> None:
    """Returns if the forward of a network is a straight line of functions that treat each sample by itself.

    Args:
        network: on the CPU.
        layers: paths of the modules that are stacked, and may do as they like with the samples of a seed.
        sites: paths of its activation modules, at which any function of the same shape may stand.
        sample: a small input (B, ...) of floating-point numbers.

    Raises:
        NotStackable: it is not; the message says why.
    """
    if not sample.is_floating_point():
        raise NotStackable("its inputs are no floating-point numbers")
    try:
        _check(network, layers, sites, sample)
    except NotStackable:
        raise
    except Exception as error:  # it is the user's code
        raise NotStackable(f"its forward cannot be run function by function ({in_a_line(error)})") from error


def _check(network: nn.Module, layers: Collection[str], sites: Collection[str], sample: Tensor) -> None:
    rows = torch.arange(N) % len(sample)
    x = sample[rows] * torch.linspace(0.5, 1.5, N, dtype=sample.dtype).view(-1, *(1,) * (sample.ndim - 1))
    for training in (True, False):
        trial = _Shell(copy.deepcopy(network)).train(training)
        for path in sites:
            trial.network.get_submodule(path).__dict__["forward"] = _same
        for module in trial.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
        whole = {f"network.{path}" for path in (*layers, *sites)}
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            run = _Run(trial, _traced(trial, whole), {f"network.{path}" for path in layers})
            if not _equal(run.run(x.clone()), copy.deepcopy(trial)(x.clone())):
                raise NotStackable("torch.fx follows its forward another way than it takes")


class _Shell(nn.Module):
    """Calls a network with its one input, so that other parameters of its forward have their defaults."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)


def _same(z: Tensor) -> Tensor:
    return z


class _Tracer(fx.Tracer):
    def __init__(self, whole: Collection[str]) -> None:
        super().__init__()
        self.whole = whole

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.whole or super().is_leaf_module(m, module_qualified_name)


def _traced(network: nn.Module, whole: Collection[str]) -> fx.Graph:
    before = _other_random_numbers()
    try:
        graph = _Tracer(whole).trace(network)
    except Exception as error:
        raise NotStackable(f"torch.fx cannot follow its forward ({in_a_line(error)})") from error
    if before != _other_random_numbers():
        raise NotStackable("its forward draws random numbers of Python's or NumPy's")
    return graph


def _other_random_numbers() -> str:
    numpy = sys.modules.get("numpy")
    return repr((random.getstate(), numpy.random.get_state(legacy=False) if numpy else None))


# ---------------------------------------------------------------- function by function


class _NumberOfSamples(int):
    """N as the network's code is told it, apart from other numbers: nothing may be computed with it."""


class _Run(fx.Interpreter):
    """Runs a trace on N samples, and looks at each function.

    Args:
        network: the module that was traced.
        graph: the trace.
        layers: paths of the modules that are stacked.

    Raises:
        NotStackable: by `run`.
    """

    def __init__(self, network: nn.Module, graph: fx.Graph, layers: Collection[str]) -> None:
        super().__init__(network, graph=graph)
        self.extra_traceback = False
        self.layers = layers

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        name = str(target).removeprefix("network.")
        raise NotStackable(
            "its forward makes a tensor of its own"
            if name.startswith("_tensor_constant")
            else f"its forward uses {name} itself, not through a layer"
        )

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if target not in self.layers:
            return _by_itself(module, type(module).__name__, args, kwargs)
        if len(args) != 1 or kwargs or not isinstance(args[0], Tensor):
            raise NotStackable(f"{target.removeprefix('network.')} is given more than one tensor")
        return _of_samples(module(args[0]), target.removeprefix("network."))

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in _SIZES and isinstance(args[0], Tensor):
            found = getattr(args[0], target)(*args[1:], **kwargs)
            if isinstance(found, torch.Size):
                return _sizes(found)
            asked = kwargs.get("dim", args[1] if len(args) > 1 else None)
            return _NumberOfSamples(N) if target == "size" and asked in (0, -args[0].ndim) else found
        return _by_itself(lambda x, *more, **named: getattr(x, target)(*more, **named), target, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is getattr and args[1] in _ATTRIBUTES:
            found = getattr(*args)
            return _sizes(found) if isinstance(found, torch.Size) else found
        if target is operator.getitem and not isinstance(args[0], Tensor):  # of sizes, or of several tensors
            return args[0][args[1]]
        return _by_itself(target, getattr(target, "__name__", str(target)), args, kwargs)


def _sizes(shape: torch.Size) -> tuple[int, ...]:
    return (_NumberOfSamples(N), *shape[1:])


def _by_itself(function: Callable[..., Any], name: str, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a function returns, if it treats each sample by itself.

    Raises:
        NotStackable: it does not.
    """
    _check_arguments(name, args, kwargs)
    tensors = [value for value in _flat((args, kwargs)) if isinstance(value, Tensor)]
    before = [copy.deepcopy((args, kwargs)) for _ in (1, 2)]  # it may write to them
    output = function(*args, **kwargs)
    if not tensors and not any(isinstance(value, Tensor) for value in _flat(output)):
        return output  # of numbers alone
    _of_samples(output, name)
    for (other_args, other_kwargs), value in zip(before, (torch.nan, 1e3), strict=True):
        for tensor in _flat((other_args, other_kwargs)):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                tensor[0] = value
        changed = _of_samples(function(*other_args, **other_kwargs), name)
        pairs = zip(_flat(output), _flat(changed), strict=True)
        if not all(_equal(ours[1:], theirs[1:]) for ours, theirs in pairs):
            raise NotStackable(f"{name} mixes samples")
    return output


def _check_arguments(name: str, args: Any, kwargs: Mapping[str, Any]) -> None:
    """Refuses what the trial with N samples would not show of other numbers of them."""
    sizes = _flat((args[1:], kwargs)) if name in _RESHAPES else iter(())
    first = next(sizes, None)
    rest = [*sizes] if name in _RESHAPES else [*_flat((args, kwargs))]
    if any(isinstance(value, _NumberOfSamples) for value in rest):
        raise NotStackable(f"{name} is given the number of samples")
    if name in _RESHAPES and not (isinstance(first, _NumberOfSamples) or first == -1):
        raise NotStackable(f"{name} is given a number of samples")
    if name in _CUTS:
        place = 1 if name in ("unbind", "select", "narrow") else 2
        if kwargs.get("dim", args[place] if len(args) > place else 0) == 0:
            raise NotStackable(f"{name} takes the samples apart")
    if name == "getitem":
        index = args[1] if isinstance(args[1], tuple) else (args[1],)
        whole = index[0] is Ellipsis or (isinstance(index[0], slice) and index[0] == slice(None))
        if not whole or any(isinstance(value, Tensor) for value in index):
            raise NotStackable("an index takes the samples apart")


def _of_samples(output: Any, name: str) -> Any:
    """What a function returned, if these are tensors of N samples."""
    for value in _flat(output):
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != N:
            raise NotStackable(f"{name} returns something else than a value for each sample")
    return output


def _flat(values: Any) -> Iterator[Any]:
    if isinstance(values, (tuple, list)):
        for value in values:
            yield from _flat(value)
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _flat(value)
    else:
        yield values


def _equal(ours: Any, theirs: Any) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6, equal_nan=True)
