"""How a training step is executed: as it stands, as a recorded CUDA graph, or compiled.

The loop gives an engine two things: the forward pass of a module, and the whole step, a function of the batch's rows
whose other inputs never change their place in memory. An engine gives back what to call in their stead. All of them
compute the same, up to rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actbench.errors import UserError
from actbench.updates import is_fused

Forward = Callable[[Tensor], Tensor]
Outcome = tuple[Tensor, ...]
Step = Callable[[Tensor, bool], Outcome]  # (rows (S, B), look) -> what the step has to tell

WARM_UP = 3  # steps of each kind that run as they stand before one is recorded


class Engine(ABC):
    """A way of execution; `name` is for the log and the summary, and says why where it is not what was hoped for."""

    name: str

    @abstractmethod
    def forward(self, module: nn.Module) -> Forward:
        """What to call instead of `module`."""

    @abstractmethod
    def step(self, function: Step) -> Step:
        """What to call instead of `function`."""


class Eager(Engine):
    """One kernel after the other, as PyTorch does it by itself."""

    def __init__(self, why: str = "") -> None:
        self.name = f"eager ({why})" if why else "eager"

    def forward(self, module: nn.Module) -> Forward:
        return module

    def step(self, function: Step) -> Step:
        return function


class Compiled(Engine):
    """Forward and backward through `torch.compile`; the rest of the step as it stands. Needs a C++ compiler."""

    name = "compiled"

    def forward(self, module: nn.Module) -> Forward:
        compiled = torch.compile(module, dynamic=False)

        def call(x: Tensor) -> Tensor:
            try:
                return compiled(x)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(
                    f"torch.compile failed: {reason}", where="train.engine=compiled", how="train.engine=auto"
                ) from error

        return call

    def step(self, function: Step) -> Step:
        return function


class Recorder(Protocol):
    """What a `Graph` records with."""

    def warm(self, function: Callable[[], Outcome]) -> Outcome:
        """Executes `function` as it stands, in surroundings like those in which it will be recorded."""

    def record(self, function: Callable[[], Outcome], generators: Sequence[torch.Generator]) -> Callable[[], Outcome]:
        """Records `function` without executing it; the result executes it, and always returns the same tensors.

        Raises:
            RuntimeError: it does something that cannot be recorded, such as waiting for the device.
        """


class CudaRecorder:
    """CUDA graphs by `torch.cuda.graph`; the warm-up runs on a stream of its own, as PyTorch's manual asks for."""

    @cached_property
    def side(self) -> torch.cuda.Stream:
        return torch.cuda.Stream()

    def warm(self, function: Callable[[], Outcome]) -> Outcome:
        usual = torch.cuda.current_stream()
        self.side.wait_stream(usual)
        with torch.cuda.stream(self.side):
            outcome = function()
        usual.wait_stream(self.side)
        return outcome

    def record(self, function: Callable[[], Outcome], generators: Sequence[torch.Generator]) -> Callable[[], Outcome]:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=self.side):
            outcome = function()

        def replay() -> Outcome:
            graph.replay()
            return outcome

        return replay


class Graph(Engine):
    """The whole step, from gathering the batch to the optimizer, recorded once and launched as one.

    A CPU needs longer to launch the some sixty kernels of a small network's step than a GPU to run them. One graph is
    recorded for each shape of a batch, and one each for steps with and without a look at the gradients, after a few
    steps that run as they stand. Learning rates lie on the device and are renewed before a launch. What cannot be
    recorded runs as it stands from then on, and `name` says why: nothing is executed of a step whose recording fails.

    Args:
        optimizers: all of them fused: they take a learning rate from the device.
        generators: random numbers on the device that the step draws.
        record: records a function without executing it, and returns what executes it.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        generators: Sequence[torch.Generator],
        *,
        recorder: Recorder | None = None,
    ) -> None:
        self.name = "CUDA graph"
        self.groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self.generators = generators
        self.recorder = recorder or CudaRecorder()

    def forward(self, module: nn.Module) -> Forward:
        return module

    def step(self, function: Step) -> Step:
        rates = [torch.zeros((), device=group["params"][0].device) for group in self.groups]
        launches: dict[Any, Launch] = {}
        seen: dict[Any, int] = {}

        def call(rows: Tensor, look: bool) -> Outcome:
            key = (tuple(rows.shape), look)
            seen[key] = seen.get(key, 0) + 1
            if self.name != "CUDA graph":
                return function(rows, look)
            if seen[key] <= WARM_UP:
                return self.recorder.warm(lambda: function(rows, look))
            if key not in launches:
                try:
                    launches[key] = Launch(function, rows, look, groups=self.groups, rates=rates, engine=self)
                except RuntimeError as error:
                    self.name = f"eager (no CUDA graph: {str(error).strip().splitlines()[0]})"
                    return function(rows, look)
            if not launches[key].still_holds():
                self.name = "eager (no CUDA graph: the optimizer's settings change from step to step)"
                return function(rows, look)
            return launches[key](rows)

        return call


class Launch:
    """One recorded step with the places that it reads from and writes to."""

    def __init__(
        self,
        function: Step,
        rows: Tensor,
        look: bool,
        *,
        groups: list[dict[str, Any]],
        rates: list[Tensor],
        engine: Graph,
    ) -> None:
        self.groups, self.rates = groups, rates
        self.rows = rows.clone()
        self.held = [_held(group) for group in groups]
        plain = [group["lr"] for group in groups]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        try:
            self.replay = engine.recorder.record(lambda: function(self.rows, look), engine.generators)
        finally:
            for group, lr in zip(groups, plain, strict=True):
                group["lr"] = lr  # schedulers go on with numbers
                for parameter in group["params"]:
                    parameter.grad = None

    def still_holds(self) -> bool:
        """Whether all that was recorded as a constant still has the value it had."""
        return self.held == [_held(group) for group in self.groups]

    def __call__(self, rows: Tensor) -> Outcome:
        self.rows.copy_(rows)
        for group, rate in zip(self.groups, self.rates, strict=True):
            rate.fill_(group["lr"])
        return tuple(part.clone() for part in self.replay())  # the next launch writes to the same places


def _held(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "lr", "initial_lr")}


def choose_engine(
    name: str, device: torch.device, optimizers: Sequence[Optimizer], generators: Sequence[torch.Generator], draws: bool
) -> Engine:
    """The engine of `train.engine`: `auto` is a CUDA graph on a CUDA device where one can be recorded, otherwise eager.

    Args:
        name: `auto`, `eager`, `graph` or `compiled`.
        device: where the step runs.
        optimizers: of the step.
        generators: random numbers on the device that the step draws.
        draws: whether the network draws from torch's global random numbers.

    Raises:
        UserError: `graph` was insisted on, and cannot be had.
    """
    if name == "eager":
        return Eager()
    if name == "compiled":
        return Compiled()
    obstacle = _obstacle(device, optimizers, draws)
    if not obstacle:
        return Graph(optimizers, generators)
    if name == "graph":
        raise UserError(f"cannot be had: {obstacle}", where="train.engine=graph", how="train.engine=auto")
    return Eager(f"no CUDA graph: {obstacle}" if device.type == "cuda" else "")


def _obstacle(device: torch.device, optimizers: Sequence[Optimizer], draws: bool) -> str:
    if device.type != "cuda":
        return f"CUDA graphs need a CUDA device, and this is {device.type}"
    if not all(is_fused(optimizer) for optimizer in optimizers):
        return f"{type(optimizers[0]).__name__} is not fused, and keeps numbers of its own on the CPU"
    if draws:
        return "the network draws from torch's global random numbers"
    return ""
