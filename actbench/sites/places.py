"""Where in a network a call stands: the module whose code makes it, and the line, told from the frames of the stack."""

from __future__ import annotations

import opcode
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch
from torch import nn
from torch.autograd.function import Function, FunctionCtx

_TORCH = Path(torch.__file__).parent
_PASSED_ON = frozenset(
    str(_TORCH / file)
    for file in (
        "nn/functional.py", "overrides.py", "_tensor.py", "nn/modules/activation.py", "nn/modules/container.py",
        "_compile.py", "_dynamo/eval_frame.py", "utils/_contextlib.py", "_jit_internal.py",
    )
)  # fmt: skip
_CALLS = str(_TORCH / "nn/modules/module.py")
_CHECKPOINT = str(_TORCH / "utils/checkpoint.py")
_OURS = str(Path(__file__).parent)

PathOf = Callable[[nn.Module], "str | None"]  # module -> its path within the network; None: it is no part of it


@dataclass(frozen=True)
class Step:
    """One call in the user's code: `instruction` tells two calls in one line apart."""

    file: str
    function: str
    first_line: int
    instruction: int


@dataclass(frozen=True)
class Place:
    """Where a call stands.

    A call in a loop is one place, however often it runs; one in a helper that is called twice is two.

    Attributes:
        owner: path of the module in whose code it is ("" for the network itself).
        steps: the calls from there to it, the innermost first.
        line: of the call, for messages.
        recomputed: whether it is within `torch.utils.checkpoint`, and runs again in the backward pass. Calls outside of
            the part that is recomputed are not among `steps`, since they are not there the second time.
        lost: whether it runs again, and nothing would tell then which module it belongs to.
    """

    owner: str
    steps: tuple[Step, ...]
    line: int = field(default=0, compare=False)
    recomputed: bool = field(default=False, compare=False)
    lost: bool = field(default=False, compare=False)

    def within(self, recomputed: Collection[Place]) -> Place:
        """The same place, as it is known where its part of the network is recomputed in training."""
        for number in range(1, len(self.steps) if recomputed else 0):
            shorter = Place(self.owner, self.steps[:number], self.line, recomputed=True)
            if shorter in recomputed:
                return shorter
        return self

    def __str__(self) -> str:
        step = self.steps[0]
        if "ipykernel_" in step.file or step.file.startswith("<ipython-input"):  # names that nobody has seen
            return f"line {self.line} of the cell that defines {step.function.partition('.')[0]}"
        return f"{os.path.basename(step.file)}, line {self.line}"


def place_of(frame: FrameType | None, path_of: PathOf) -> Place | None:
    """The place of the call that `frame` makes; None where no module of the network is on the stack.

    Args:
        frame: of whoever calls; frames of torch's wrappers and of this package are passed over.
        path_of: of the network's modules.
    """
    steps: list[Step] = []
    owner: nn.Module | None = None
    line, recomputed, lost = 0, False, False
    while frame is not None:
        file = frame.f_code.co_filename
        if file in (_CALLS, _CHECKPOINT):
            if owner is not None:
                recomputed = _is_recomputed(frame)
                break
            lost |= file == _CHECKPOINT
        elif file not in _PASSED_ON and not file.startswith(_OURS):
            module = _module(frame, path_of)
            if owner is not None and module is not None and module is not owner:
                break  # `self.part.forward(x)`, without a call of the module itself
            owner = owner or module
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            steps.append(Step(file, name, code.co_firstlineno, _instruction(frame)))
            line = line or frame.f_lineno
        frame = frame.f_back
    return Place(path_of(owner) or "", tuple(steps), line, recomputed, lost) if owner is not None else None


_PRECALL = opcode.opmap.get("PRECALL", -1)  # in Python 3.11 alone
_TO_ITS_CALL = 4  # bytes


def _instruction(frame: FrameType) -> int:
    """Where in its code a frame is.

    Python 3.11 calls a builtin such as `sum` at its CALL, and after some times already at the PRECALL before it.
    """
    at = frame.f_lasti
    return at + _TO_ITS_CALL if _PRECALL >= 0 and frame.f_code.co_code[at] == _PRECALL else at


def is_in_custom_function(frame: FrameType | None) -> bool:
    """Whether the call that `frame` makes is within the `forward` of a `torch.autograd.Function` of the user's own."""
    while frame is not None and frame.f_code.co_filename not in (_CALLS, _CHECKPOINT):
        code = frame.f_code
        if code.co_argcount and isinstance(frame.f_locals.get(code.co_varnames[0]), FunctionCtx):
            return True
        if code.co_name == "forward" and any(_has_forward(value, code) for value in [*frame.f_globals.values()]):
            return True  # one with a `setup_context`
        frame = frame.f_back
    return False


def _has_forward(value: Any, code: CodeType) -> bool:
    return isinstance(value, type) and issubclass(value, Function) and getattr(value.forward, "__code__", None) is code


def _is_recomputed(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != _CHECKPOINT:
        frame = frame.f_back
    return frame is not None


def _module(frame: FrameType, path_of: PathOf) -> nn.Module | None:
    """The module of the network whose method a frame runs, or which a function within one knows from around it."""
    code, values = frame.f_code, frame.f_locals
    for name in (*code.co_varnames[: min(1, code.co_argcount)], "self", *code.co_freevars):
        value = values.get(name)
        if isinstance(value, nn.Module) and path_of(value) is not None:
            return value
    return None
