"""Which functions and modules are activations, and what each is called."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NAMES = (
    "relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "leaky_relu", "rrelu", "prelu", "hardtanh",
    "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "softsign", "tanhshrink", "hardshrink", "softshrink",
    "logsigmoid", "threshold", "glu", "softmax", "log_softmax", "softmin",
)  # fmt: skip
_CLAMPS = ("clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_")

GATES = frozenset({"sigmoid", "hardsigmoid", "tanh", "softsign"})  # which open and close what they multiply
SCALED_GATES = frozenset({"relu6", "hardtanh"})  # which do so once they are scaled: relu6(x + 3) / 6
NORMALISERS = frozenset({"softmax", "log_softmax", "softmin", "glu"})  # no function of a unit's own value
WRITTEN_OUT = "written out as a formula; F.relu and the like would be exchanged"


def _within() -> dict[Callable[..., Any], tuple[str, str]]:
    """A function of torch's that computes activations where nothing sees them -> their kind, and why they stay."""
    attention = "softmax", "the softmax of an attention"
    table: dict[Callable[..., Any], tuple[str, str]] = {
        F.multi_head_attention_forward: attention, F.scaled_dot_product_attention: attention,
    }  # fmt: skip
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        for function in (getattr(torch, written, None) for written in (name, f"{name}_cell")):
            if function is not None:
                table[function] = name, f"computed within torch's {name.partition('_')[0].upper()}"
    return table


WITHIN = _within()


def _table() -> dict[Callable[..., Any], str]:
    table: dict[Callable[..., Any], str] = {}
    for name in _NAMES:
        for written in (name, f"{name}_"):
            for home in (F, torch, Tensor, getattr(torch._C, "_nn", None), torch.special):
                function = getattr(home, written, None)
                if callable(function):
                    table[function] = name
    expit = getattr(torch.special, "expit", None)
    return {**table, **({expit: "sigmoid"} if expit else {})}


_FUNCTIONS = _table()
_CLAMPING = {getattr(home, name): name for home in (torch, Tensor) for name in _CLAMPS if hasattr(home, name)}


def called(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The name of the activation that a call computes; None where it computes none.

    `x.clamp(min=0)` is a ReLU, and `x.clamp(0, 6)` a ReLU6.

    >>> called(torch.relu, (torch.zeros(2),), {}), called(Tensor.clamp, (torch.zeros(2),), {"min": 0})
    ('relu', 'relu')
    """
    if not isinstance(args[0] if args else kwargs.get("input"), Tensor):
        return None
    if function in _FUNCTIONS:
        return _FUNCTIONS[function]
    if function not in _CLAMPING:
        return None
    given = dict(zip(("min", "max"), args[1:], strict=False)) | {k: v for k, v in kwargs.items() if k in ("min", "max")}
    low, high = given.get("min"), given.get("max")
    if not isinstance(low, (int, float)) or low != 0:
        return None
    if high is None:
        return "relu"
    return "relu6" if isinstance(high, (int, float)) and high == 6 else None


def input_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Sequence[Any], Mapping[str, Any]]:
    """The input of a call that `called` knows, and its arguments with the input in front: `F.relu(input=x)`."""
    if args:
        return args[0], args, kwargs
    rest = {name: value for name, value in kwargs.items() if name != "input"}
    return kwargs["input"], (kwargs["input"],), rest


_ASSIGN = frozenset(
    f"__i{name}__" for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "pow", "and", "or", "xor")
) | {"__setitem__"}


def works_in_place(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call writes to its input: `x.relu_()`, `F.relu(x, inplace=True)`, `x += y`.

    >>> works_in_place(Tensor.relu_, (torch.zeros(2),), {}), works_in_place(F.relu, (torch.zeros(2), False), {})
    (True, False)
    """
    name = getattr(function, "__name__", "")
    if (name.endswith("_") and not name.endswith("__")) or name in _ASSIGN:
        return True
    if "inplace" in kwargs:
        return bool(kwargs["inplace"])
    code = getattr(function, "__code__", None)
    if code is None or "inplace" not in code.co_varnames[: code.co_argcount]:
        return False
    place = code.co_varnames.index("inplace")
    return len(args) > place and args[place] is True


def out_of_place(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a call that works in place returns, with its input left as it is."""
    z, rest = args[0].clone(), args[1:]
    return function(z, *rest, **kwargs)


_MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "relu6", nn.ELU: "elu", nn.SELU: "selu", nn.CELU: "celu", nn.GELU: "gelu",
    nn.SiLU: "silu", nn.Mish: "mish", nn.LeakyReLU: "leaky_relu", nn.RReLU: "rrelu", nn.PReLU: "prelu",
    nn.Hardtanh: "hardtanh", nn.Hardswish: "hardswish", nn.Hardsigmoid: "hardsigmoid", nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh", nn.Softplus: "softplus", nn.Softsign: "softsign", nn.Tanhshrink: "tanhshrink",
    nn.Hardshrink: "hardshrink", nn.Softshrink: "softshrink", nn.LogSigmoid: "logsigmoid", nn.Threshold: "threshold",
    nn.GLU: "glu", nn.Softmax: "softmax", nn.LogSoftmax: "log_softmax", nn.Softmin: "softmin", nn.Softmax2d: "softmax",
}  # fmt: skip


def kind_of(module: nn.Module) -> str | None:
    """The name of the activation that a module of torch's, or of a class derived from one, is; None for others.

    >>> kind_of(nn.LeakyReLU(0.1)), kind_of(nn.Linear(2, 2))
    ('leaky_relu', None)
    """
    for kind in type(module).__mro__:
        if kind in _MODULES:
            return _MODULES[kind]
    return None


def kind_by_trial(module: nn.Module) -> str | None:
    """The name of an activation of another library or of the user's: its class; None for any other module.

    It is a module without children whose outputs each depend on the value in its place alone, and not in a straight
    line. One that torch has as well is called as it is there.
    """
    if type(module).__module__.startswith("torch.") or [*module.children()] or not _bends(module):
        return None
    name = type(module).__name__
    known = {kind.__name__.lower(): word for kind, word in _MODULES.items()}
    return known.get(name.lower(), name)


def _bends(module: nn.Module) -> bool:
    from actbench.activations.coupling import coupling_of_module

    if any(parameter.ndim > 1 for parameter in module.parameters()):
        return False
    z = torch.linspace(-4, 4, 8).repeat(8, 1)
    try:
        trial = copy.deepcopy(module).eval()  # in which a dropout is no activation
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            h = trial(z.clone())
            if not isinstance(h, Tensor) or h.shape != z.shape or not torch.equal(h, trial(z.clone())):
                return False
            steps = h[0].diff()
            return not torch.allclose(steps[1:], steps[:-1], atol=1e-6) and not coupling_of_module(trial)
    except (Exception, SystemExit):
        return False


def is_bounded(module: nn.Module) -> bool:
    """Whether an activation that `kind_by_trial` names stays between -1 and 1, as a gate does."""
    if kind_of(module) is not None:
        return False
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            h = copy.deepcopy(module).eval()(torch.tensor([-1e3, -10.0, -1.0, 1.0, 10.0, 1e3]).repeat(2, 1))
            return bool((h.abs() <= 1.0).all())
    except (Exception, SystemExit):
        return False
