"""How a training step is executed: eagerly, as a recorded CUDA graph, or compiled.

The loop gives an engine two functions: the forward pass of a module, and a whole training step, which depends on the
rows of the batch and on tensors that stay where they are in memory. The engine returns what to call instead. All
engines compute the same, up to rounding.

Shape letters: S seeds, B batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from actbench.errors import UserError, in_a_line
from actbench.train.outcome import StepOutcome
from actbench.train.recording import CudaRecorder, LearningRates, Recorder, Recording, Step
from actbench.train.updates import is_fused

Forward = Callable[[Tensor], Tensor]

WARM_UP = 3  # steps of each kind that run eagerly before one is recorded
GRAPHS_SINCE = (2, 13)  # version of torch


class Engine(ABC):
    """A way to execute steps. `name` is for the log and the summary, with the reason if it is not the fastest."""

    name: str

    @abstractmethod
    def forward(self, module: nn.Module) -> Forward:
        """What to call instead of `module`."""

    @abstractmethod
    def step(self, function: Step) -> Step:
        """What to call instead of `function`."""


class Eager(Engine):
    """One kernel after the other, as PyTorch does by default.

    Args:
        reason: why nothing faster is used.
    """

    def __init__(self, reason: str = "") -> None:
        self.name = f"eager ({reason})" if reason else "eager"

    def forward(self, module: nn.Module) -> Forward:
        return module

    def step(self, function: Step) -> Step:
        return function


class Compiled(Engine):
    """Forward and backward pass through `torch.compile`, the rest of the step eagerly. Needs a C++ compiler."""

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


class Graph(Engine):
    """The whole step, from gathering the batch to the optimizer's update, recorded once and launched as one.

    Launching the sixty or so kernels of a small network's step takes a CPU longer than a GPU needs to run them. A graph
    is recorded for each shape of batch, with and without a measurement of the gradients, after a few eager steps. In
    every step, learning rates are tensors on the device, which are updated when a scheduler changes the numbers. A
    step that cannot be recorded is executed eagerly from then on, and `name` says why.

    Args:
        optimizers: of the step, all of them fused, so that they accept a learning rate on the device.
        generators: of the random numbers on the device that the step may draw.
        recorder: what records the steps.
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
        rates = LearningRates([group for optimizer in self.optimizers for group in optimizer.param_groups])
        states = [generator.get_state() for generator in self.generators]
        recordings: dict[Any, Recording] = {}
        steps: Counter[Any] = Counter()

        def call(rows: Tensor, look: bool) -> StepOutcome:
            key = (tuple(rows.shape), look)
            if self.obstacle:
                return function(rows, look)
            steps[key] += 1
            if steps[key] <= WARM_UP:
                with rates.on_device():
                    return self.recorder.warm(lambda: function(rows, look))
            if key not in recordings:
                used = [g for g, before in zip(self.generators, states, strict=True) if not g.get_state().equal(before)]
                try:
                    recordings[key] = Recording(
                        function, rows, look, rates=rates, recorder=self.recorder, generators=used
                    )
                except RuntimeError as error:
                    self.obstacle = in_a_line(_first_cause(error))
                    return function(rows, look)
            if not recordings[key].is_valid():
                self.obstacle = "the optimizer's settings change from step to step"
                return function(rows, look)
            return recordings[key](rows)

        return call


def _first_cause(error: Exception) -> Exception:
    """The error that came first. A failed capture raises a later one, which only says that there was an earlier one."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return error


def choose_engine(
    name: str, device: torch.device, optimizers: Sequence[Optimizer], generators: Sequence[torch.Generator],
    uses_global_rng: bool, *, streamed: bool = False,
) -> Engine:  # fmt: skip
    """The engine of `train.engine`: `auto` is a CUDA graph where one can be recorded, otherwise eager.

    It is never compiled: on a CPU that is slower (see BENCHMARKS.md), on a GPU it has not been measured.

    Args:
        name: `auto`, `eager`, `graph` or `compiled`.
        device: that the step runs on.
        optimizers: of the step.
        generators: of the random numbers on the device that the step may draw.
        uses_global_rng: whether the network draws from torch's global generator.
        streamed: whether samples come onto the device batch by batch.

    Raises:
        UserError: `graph` is not possible.
    """
    if name == "eager":
        return Eager()
    if name == "compiled":
        return Compiled()
    obstacle = _obstacle_to_graphs(device, optimizers, uses_global_rng)
    if streamed and not obstacle:
        obstacle = "samples are streamed onto the device"
    if not obstacle:
        return Graph(optimizers, generators, recorder=CudaRecorder(device))
    if name == "graph":
        raise UserError(f"is not possible: {obstacle}", where="train.engine=graph", how="train.engine=auto")
    return Eager(f"no CUDA graph: {obstacle}" if device.type == "cuda" else "")


def _obstacle_to_graphs(device: torch.device, optimizers: Sequence[Optimizer], uses_global_rng: bool) -> str:
    """Why no CUDA graph can be recorded; empty if one can."""
    if device.type != "cuda":
        return f"CUDA graphs need a CUDA device, and this is {device.type}"
    if tuple(map(int, torch.__version__.split(".")[:2])) < GRAPHS_SINCE:
        return f"torch {torch.__version__} does not clean up after a recording that failed; 2.13 does"
    if not all(is_fused(optimizer) for optimizer in optimizers):
        return f"{type(optimizers[0]).__name__} is not fused, and keeps numbers of its own on the CPU"
    if uses_global_rng:
        return "the network draws from torch's global random number generator"
    return ""
