"""`Tap`: sees every call of one module, from outside of whatever compiles it, and leaves nothing in a copy of it.

It stands where `module.compile()` puts a compiled call (`_compiled_call_impl`), which torch leaves out of what is
pickled or copied. What `torch.compile(module)` returns calls the module from within the compiler; while some tap is
open, these calls are seen where they begin, and `module.compile()` puts its call behind the tap. These names of torch's
are not public (they are in 2.6 to 2.14), so that it is tried first whether calls go that way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from actbench.errors import UserError
from actbench.watching.mirror import unwrapped

Call = Callable[..., Any]
Seen = Callable[[Call, tuple[Any, ...], dict[str, Any]], Any]  # (the call itself, its arguments) -> what it returns

_PLACE = "_compiled_call_impl"


class Nesting:
    """Whether a call is within one that is seen already; shared by the taps of one watch."""

    inside = False


class Tap:
    """The calls of `module` go through `seen` from `open` to `close`.

    Calls within a call are not seen, nor is what a compiler traces.
    """

    def __init__(self, module: nn.Module, seen: Seen, nesting: Nesting) -> None:
        self.module, self.seen, self.nesting = module, seen, nesting
        self.before: Call | None = None  # what stood in its place

    def open(self) -> None:
        """Begins.

        Raises:
            UserError: the module has a tap already, or this torch calls modules in another way.
        """
        if missing := _missing():
            raise UserError(
                f"torch {torch.__version__} no longer has {missing}, through which calls of a network are seen",
                where="actbench.watch",
                how="a newer release of actbench, or an older one of torch",
            )
        if isinstance(self.module.__dict__.get(_PLACE), Tap):
            raise UserError(
                f"this {type(self.module).__name__} is being watched already",
                where="actbench.watch",
                how="close the first watch (`with` does), or use it for both",
            )
        self.before = self.module.__dict__.get(_PLACE)
        self.module.__dict__[_PLACE] = self
        _OPEN[id(self.module)] = self
        if len(_OPEN) == 1:
            _Compilers.watch()

    def close(self) -> None:
        """Ends, and leaves the module as if it had never been."""
        if _OPEN.pop(id(self.module), None) is None:
            return
        self._leave()
        if not _OPEN:
            _Compilers.leave()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Stands in the place of `module.__call__`."""
        return self.around(self.before or self.module._call_impl, args, kwargs)

    def around(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What `call` returns."""
        if self.nesting.inside or torch.compiler.is_compiling() or self._is_redirected():
            return call(*args, **kwargs)
        self.nesting.inside = True
        try:
            return self.seen(call, args, kwargs)
        finally:
            self.nesting.inside = False

    def _is_redirected(self) -> bool:
        """Whether the call is Lightning's detour to `training_step` through DistributedDataParallel."""
        forward = self.module.__dict__.get("forward")
        return getattr(forward, "__qualname__", "").startswith("_ForwardRedirection.")

    def aside(self, call: Call) -> Call:
        """`call` with the module as it is without a tap, which the compiler is not to see."""

        def bare(*args: Any, **kwargs: Any) -> Any:
            self._leave()
            try:
                return call(*args, **kwargs)
            finally:
                if _OPEN.get(id(self.module)) is self:
                    self.module.__dict__[_PLACE] = self

        return bare

    def _leave(self) -> None:
        self.module.__dict__.pop(_PLACE, None)
        if self.before is not None:
            self.module.__dict__[_PLACE] = self.before

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()

    def __copy__(self) -> None:
        return None

    def __deepcopy__(self, _memo: Any) -> None:
        return None


def _nothing() -> None:
    return None


@cache
def _missing() -> str:
    """The name of torch's that a tap needs and this release has no more; empty where all are there."""
    called: list[Any] = []
    module = nn.Identity()
    module.__dict__[_PLACE] = called.append
    module(0)
    if not called or _PLACE in module.__getstate__():
        return f"nn.Module.{_PLACE}"
    try:
        from torch._dynamo.eval_frame import OptimizedModule
    except ImportError:
        return "torch._dynamo.eval_frame.OptimizedModule"
    return "" if issubclass(OptimizedModule, nn.Module) and hasattr(nn.Module, "compile") else "nn.Module.compile"


_OPEN: dict[int, Tap] = {}  # of modules, which the taps keep alive


class _Compilers:
    """Torch's two ways to compile a module, which are let know of taps while there are any."""

    before: tuple[Any, Any] | None = None  # OptimizedModule.__call__ (None: inherited), Module.compile

    @classmethod
    def watch(cls) -> None:
        from torch._dynamo.eval_frame import OptimizedModule  # every optimizer of torch's imports it

        call, compiles = OptimizedModule.__call__, nn.Module.compile
        cls.before = vars(OptimizedModule).get("__call__"), compiles

        def called(self: Any, *args: Any, **kwargs: Any) -> Any:
            tap = _OPEN.get(id(unwrapped(self)))
            if tap is None:
                return call(self, *args, **kwargs)
            return tap.around(tap.aside(partial(call, self)), args, kwargs)

        def compile(self: nn.Module, *args: Any, **kwargs: Any) -> None:
            compiles(self, *args, **kwargs)
            tap = _OPEN.get(id(self))
            if tap is not None:
                tap.before, self.__dict__[_PLACE] = self.__dict__[_PLACE], tap

        OptimizedModule.__call__ = called  # type: ignore[method-assign]
        nn.Module.compile = compile  # type: ignore[method-assign]

    @classmethod
    def leave(cls) -> None:
        from torch._dynamo.eval_frame import OptimizedModule

        assert cls.before is not None
        call, compiles = cls.before
        if call is None:
            del OptimizedModule.__call__
        else:
            OptimizedModule.__call__ = call  # type: ignore[method-assign]
        nn.Module.compile = compiles  # type: ignore[method-assign]
        cls.before = None
