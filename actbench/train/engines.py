"""How a training step is executed: as it stands, as a recorded CUDA graph, or compiled.

The loop gives an engine two things: the forward pass of a module, and the whole step, a function of the batch's rows
whose other inputs never change their place in memory. An engine gives back what to call in their stead. All of them
compute the same, up to rounding.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actbench.errors import UserError, in_a_line
from actbench.train.outcome import StepOutcome
from actbench.train.updates import is_fused

Forward = Callable[[Tensor], Tensor]
Step = Callable[[Tensor, bool], StepOutcome]  # (rows (S, B), look) -> what the step tells

WARM_UP = 3  # steps of each kind that run as they stand before one is recorded
GRAPHS_SINCE = (2, 13)  # of torch


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
        return torch.compile(module, dynamic=False)

    def step(self, function: Step) -> Step:
        def call(rows: Tensor, look: bool) -> StepOutcome:
            try:
                return function(rows, look)
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().splitlines()[0]
                raise UserError(
                    f"torch.compile failed: {reason}", where="train.engine=compiled", how="train.engine=auto"
                ) from error

        return call


class Recorder(Protocol):
    """What a `Graph` records with."""

    def warm(self, function: Callable[[], StepOutcome]) -> StepOutcome:
        """Executes `function` as it stands, in surroundings like those in which it will be recorded."""

    def record(
        self, function: Callable[[], StepOutcome], generators: Sequence[torch.Generator]
    ) -> Callable[[], StepOutcome]:
        """Records `function` without executing it; the result executes it, and always returns the same tensors.

        Raises:
            RuntimeError: it does something that cannot be recorded, such as waiting for the device.
        """


class CudaRecorder:
    """CUDA graphs by `torch.cuda.graph`; the warm-up runs on a stream of its own, as PyTorch's manual asks for.

    All graphs share their memory: what one leaves there is copied before another is launched.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @cached_property
    def side(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @cached_property
    def pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def warm(self, function: Callable[[], StepOutcome]) -> StepOutcome:
        usual = torch.cuda.current_stream(self.device)
        self.side.wait_stream(usual)
        with torch.cuda.stream(self.side):
            outcome = function()
        usual.wait_stream(self.side)
        return outcome

    def record(
        self, function: Callable[[], StepOutcome], generators: Sequence[torch.Generator]
    ) -> Callable[[], StepOutcome]:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.device(self.device), torch.cuda.graph(graph, pool=self.pool, stream=self.side):
            outcome = function()

        def replay() -> StepOutcome:
            graph.replay()
            return outcome

        return replay


class Graph(Engine):
    """The whole step, from gathering the batch to the optimizer, recorded once and launched as one.

    A CPU needs longer to launch the some sixty kernels of a small network's step than a GPU to run them. One graph is
    recorded for each shape of a batch, and one each for steps with and without a look at the gradients, after a few
    steps that run as they stand. Learning rates lie on the device, in every step, and are renewed when they change.
    What cannot be recorded runs as it stands from then on, and `name` says why.

    Args:
        optimizers: all of them fused: they take a learning rate from the device.
        generators: random numbers on the device that the step may draw.
        recorder: what records.
    """

    def __init__(
        self, optimizers: Sequence[Optimizer], generators: Sequence[torch.Generator], *, recorder: Recorder
    ) -> None:
        self.optimizers, self.generators, self.recorder = optimizers, generators, recorder
        self.obstacle = ""

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"eager (no CUDA graph: {self.obstacle})" if self.obstacle else "CUDA graph"

    def forward(self, module: nn.Module) -> Forward:
        return module

    def step(self, function: Step) -> Step:
        rates = _Rates([group for optimizer in self.optimizers for group in optimizer.param_groups])
        states = [generator.get_state() for generator in self.generators]
        launches: dict[Any, Launch] = {}
        seen: Counter[Any] = Counter()

        def call(rows: Tensor, look: bool) -> StepOutcome:
            key = (tuple(rows.shape), look)
            if self.obstacle:
                return function(rows, look)
            seen[key] += 1
            if seen[key] <= WARM_UP:
                with rates.on_the_device():
                    return self.recorder.warm(lambda: function(rows, look))
            if key not in launches:
                drawn = [
                    g for g, before in zip(self.generators, states, strict=True) if not g.get_state().equal(before)
                ]
                try:
                    launches[key] = Launch(function, rows, look, rates=rates, recorder=self.recorder, generators=drawn)
                except RuntimeError as error:
                    self.obstacle = in_a_line(_cause(error))
                    return function(rows, look)
            if not launches[key].still_holds():
                self.obstacle = "the optimizer's settings change from step to step"
                return function(rows, look)
            return launches[key](rows)

        return call


class _Rates:
    """The learning rates of all parameter groups as tensors on the device; schedulers go on with numbers."""

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        self.groups = groups
        self.tensors = [torch.zeros((), device=group["params"][0].device) for group in groups]
        self.numbers = [math.nan] * len(groups)

    def renew(self) -> None:
        for k, (group, tensor) in enumerate(zip(self.groups, self.tensors, strict=True)):
            if group["lr"] != self.numbers[k]:
                self.numbers[k] = group["lr"]
                tensor.fill_(group["lr"])

    @contextmanager
    def on_the_device(self) -> Iterator[None]:
        """Within the block the optimizers take their rates from the device."""
        self.renew()
        try:
            for group, tensor in zip(self.groups, self.tensors, strict=True):
                group["lr"] = tensor
            yield
        finally:
            for group, number in zip(self.groups, self.numbers, strict=True):
                group["lr"] = number


class Launch:
    """One recorded step with the places that it reads from and writes to."""

    def __init__(
        self, function: Step, rows: Tensor, look: bool, *,
        rates: _Rates, recorder: Recorder, generators: Sequence[torch.Generator],
    ) -> None:  # fmt: skip
        self.rates = rates
        self.rows = rows.clone()
        self.held = self._constants()
        try:
            with rates.on_the_device():
                self.replay = recorder.record(lambda: function(self.rows, look), generators)
        finally:
            for group in rates.groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def _constants(self) -> list[dict[str, Any]]:
        skipped = ("params", "lr", "initial_lr")
        return [{key: value for key, value in group.items() if key not in skipped} for group in self.rates.groups]

    def still_holds(self) -> bool:
        """Whether all that was recorded as a constant still has the value it had."""
        return self.held == self._constants()

    def __call__(self, rows: Tensor) -> StepOutcome:
        self.rows.copy_(rows)
        self.rates.renew()
        return self.replay().map(torch.clone)  # the next launch writes to the same places


def _cause(error: Exception) -> Exception:
    """What went wrong first: a failed capture ends in an error that only says that there was an earlier one."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return error


def choose_engine(
    name: str, device: torch.device, optimizers: Sequence[Optimizer], generators: Sequence[torch.Generator], draws: bool
) -> Engine:
    """The engine of `train.engine`: `auto` is a CUDA graph on a CUDA device where one can be recorded, otherwise eager.

    Compiled is never chosen: on a CPU it is slower (see BENCHMARKS.md), on a GPU it was not measured.

    Args:
        name: `auto`, `eager`, `graph` or `compiled`.
        device: where the step runs.
        optimizers: of the step.
        generators: random numbers on the device that the step may draw.
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
        return Graph(optimizers, generators, recorder=CudaRecorder(device))
    if name == "graph":
        raise UserError(f"cannot be had: {obstacle}", where="train.engine=graph", how="train.engine=auto")
    return Eager(f"no CUDA graph: {obstacle}" if device.type == "cuda" else "")


def _obstacle(device: torch.device, optimizers: Sequence[Optimizer], draws: bool) -> str:
    if device.type != "cuda":
        return f"CUDA graphs need a CUDA device, and this is {device.type}"
    if tuple(map(int, torch.__version__.split(".")[:2])) < GRAPHS_SINCE:
        return f"torch {torch.__version__} does not clean up behind a recording that failed; 2.13 does"
    if not all(is_fused(optimizer) for optimizer in optimizers):
        return f"{type(optimizers[0]).__name__} is not fused, and keeps numbers of its own on the CPU"
    if draws:
        return "the network draws from torch's global random numbers"
    return ""
