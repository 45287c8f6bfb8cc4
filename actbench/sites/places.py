"""Where in a network a call stands: the module whose code makes it, and the line, told from the frames of the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import nn

_TORCH = Path(torch.__file__).parent
_PASSED_ON = frozenset(
    str(_TORCH / file)
    for file in (
        "nn/functional.py", "overrides.py", "_tensor.py", "nn/modules/activation.py", "nn/modules/container.py",
        "utils/checkpoint.py", "_compile.py", "_dynamo/eval_frame.py", "utils/_contextlib.py", "_jit_internal.py",
    )
)  # fmt: skip
_CALLS = str(_TORCH / "nn/modules/module.py")
_OURS = str(Path(__file__).parent)


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

    `owner` is the path of the module in whose code it is ("" for the network itself), `steps` the calls from there to
    it, the innermost first. A call in a loop is one place, however often it runs; one in a helper that is called twice
    is two.
    """

    owner: str
    steps: tuple[Step, ...]
    line: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and (self.owner, self.steps) == (other.owner, other.steps)

    def __hash__(self) -> int:
        return hash((self.owner, self.steps))


def place_of(frame: FrameType | None, paths: Mapping[int, str]) -> Place | None:
    """The place of the call that `frame` makes; None where no module of the network is on the stack.

    Args:
        frame: of whoever calls; frames of torch's wrappers and of this package are passed over.
        paths: id of a module -> its path within the network.
    """
    steps: list[Step] = []
    owner: nn.Module | None = None
    line = 0
    while frame is not None:
        file = frame.f_code.co_filename
        if file == _CALLS:
            if owner is not None:
                break
        elif file not in _PASSED_ON and not file.startswith(_OURS):
            module = _module(frame, paths)
            if owner is not None and module is not None and module is not owner:
                break  # `self.part.forward(x)`, without a call of the module itself
            owner = owner or module
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            steps.append(Step(file, name, code.co_firstlineno, frame.f_lasti))
            line = line or frame.f_lineno
        frame = frame.f_back
    return Place(paths[id(owner)], tuple(steps), line) if owner is not None else None


def _module(frame: FrameType, paths: Mapping[int, str]) -> nn.Module | None:
    """The module of the network whose method a frame runs, or which a nested function has around it as `self`."""
    code, values = frame.f_code, frame.f_locals
    names = [*code.co_varnames[: min(1, code.co_argcount)], "self"]
    for name in names:
        value = values.get(name)
        if isinstance(value, nn.Module) and id(value) in paths:
            return value
    return None
