"""`mirror`: a copy of a network that shares its parameters, in evaluation mode, on which a look costs no trace.

What a pass changes besides parameters (modes, buffers, counters and lists that `forward` writes to) is the copy's.
"""

from __future__ import annotations

import copy
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_WRAPPERS = ("DistributedDataParallel",)
_DEPTH = 3  # of containers within containers that are copied


def mirror(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, which shares the parameters and has its own of everything else.

    Compiled parts are what they were compiled from. The user's hooks are left out, since they may have effects
    elsewhere; those of `torch.nn.utils` (weight normalisation, pruning) stay, which compute weights.

    >>> layer = nn.Linear(2, 2)
    >>> copied = mirror(layer)
    >>> copied.weight is layer.weight, copied.training, layer.training
    (True, False, True)
    """
    memo: dict[int, Any] = {}
    originals = [module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)]
    for module in originals:
        if is_compiled(module) or type(module).__name__ in _WRAPPERS:
            continue
        memo[id(module)] = object.__new__(type(module))
        memo.update((id(parameter), parameter) for parameter in module._parameters.values() if parameter is not None)
        for buffer in module._buffers.values():
            if buffer is not None and id(buffer) not in memo:
                memo[id(buffer)] = buffer.detach().clone()
    for module in originals:
        memo.setdefault(id(module), memo.get(id(unwrapped(module)), module))
    for module in originals:
        if unwrapped(module) is module:
            _fill(memo[id(module)], module, _state_of(module, memo))
    return memo[id(network)]


def _fill(copied: nn.Module, module: nn.Module, state: dict[str, Any]) -> None:
    """Gives a copy its attributes; by its own way where it has one, as a metric that keeps functions of itself."""
    kind: Any = type(module)
    if any(getattr(kind, name, None) is getattr(nn.Module, name, None) for name in ("__getstate__", "__setstate__")):
        copied.__dict__.update(state)
    else:
        kept = kind.__getstate__(module)
        copied.__setstate__({name: value for name, value in state.items() if name in kept})


def is_compiled(module: nn.Module) -> bool:
    """Whether a module is what `torch.compile` returned."""
    return isinstance(module.__dict__.get("_orig_mod"), nn.Module) or "_orig_mod" in module.__dict__.get("_modules", {})


def unwrapped(module: nn.Module) -> nn.Module:
    """The network within what `torch.compile` and DistributedDataParallel make of it."""
    while True:
        if is_compiled(module):
            module = module._modules["_orig_mod"]  # type: ignore[assignment]
        elif type(module).__name__ in _WRAPPERS and isinstance(module._modules.get("module"), nn.Module):
            module = module._modules["module"]  # type: ignore[assignment]
        else:
            return module


def _state_of(module: nn.Module, memo: dict[int, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name == "_parameters":
            state[name] = value.copy()
        elif name in ("_buffers", "_modules"):
            state[name] = type(value)((key, memo.get(id(one), one)) for key, one in value.items())
        elif name == "_compiled_call_impl":
            continue
        elif "_hooks" in name and isinstance(value, dict):
            kept = [(key, hook) for key, hook in value.items() if _computes_weights(hook)]
            state[name] = OrderedDict(kept)
        elif isinstance(value, Tensor) and id(value) not in memo:
            state[name] = memo[id(value)] = value.detach().clone()
        else:
            state[name] = _copied(value, memo, _DEPTH)
    state["training"] = False
    return state


def _computes_weights(hook: Any) -> bool:
    """Whether it is a forward pre-hook by which torch makes a weight of its parts."""
    kind = hook if isinstance(hook, type) else type(hook)
    return kind.__module__.startswith("torch.nn.utils.") and kind.__module__ != "torch.nn.utils.stateless"


def _copied(value: Any, memo: dict[int, Any], depth: int) -> Any:
    """A container or a method with the copies in the places of what was copied; anything else as it is."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, MethodType):
        owner = memo.get(id(value.__self__))
        return value if owner is None else MethodType(value.__func__, owner)
    if depth == 0:
        return value
    inner: Callable[[Any], Any] = partial(_copied, memo=memo, depth=depth - 1)
    if type(value) in (list, set, deque):
        return type(value)(map(inner, value))
    if type(value) is tuple:
        return tuple(map(inner, value))
    if type(value) in (dict, OrderedDict):
        return type(value)((key, inner(one)) for key, one in value.items())
    if type(value) in (defaultdict, Counter):
        copied = copy.copy(value)
        copied.clear()
        copied.update((key, inner(one)) for key, one in value.items())
        return copied
    if isinstance(value, torch.Generator):
        return torch.Generator(value.device).set_state(value.get_state())
    if isinstance(value, (np.ndarray, np.random.Generator, np.random.RandomState, random.Random)):
        return copy.deepcopy(value)
    if type(value) is partial:
        return partial(inner(value.func), *map(inner, value.args), **{k: inner(v) for k, v in value.keywords.items()})
    return value
