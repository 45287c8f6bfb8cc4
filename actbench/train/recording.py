"""Recording a training step as a CUDA graph, which a GPU replays as one launch.

Shape letters: S seeds, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from actbench.train.outcome import StepOutcome

Step = Callable[[Tensor, bool], StepOutcome]  # (rows (S, B), look: whether to measure gradients) -> results of the step


class Recorder(Protocol):
    """What a `Graph` records steps with."""

    def warm(self, function: Callable[[], StepOutcome]) -> StepOutcome:
        """Executes `function` eagerly, under the conditions under which it will be recorded."""

    def record(
        self, function: Callable[[], StepOutcome], generators: Sequence[torch.Generator]
    ) -> Callable[[], StepOutcome]:
        """Records `function` without executing it.

        Args:
            function: a step.
            generators: of the random numbers on the device that it draws.

        Returns:
            A function that executes what was recorded, and returns the same tensors, overwritten, each time.

        Raises:
            RuntimeError: the step does something that cannot be recorded, such as waiting for the device.
        """


class CudaRecorder:
    """Records by `torch.cuda.graph`. The warm-up runs on a side stream, as PyTorch's documentation demands.

    All graphs share one memory pool, so the outputs of one have to be copied before another one is launched.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @cached_property
    def side_stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @cached_property
    def pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def warm(self, function: Callable[[], StepOutcome]) -> StepOutcome:
        current = torch.cuda.current_stream(self.device)
        self.side_stream.wait_stream(current)
        with torch.cuda.stream(self.side_stream):
            outcome = function()
        current.wait_stream(self.side_stream)
        return outcome

    def record(
        self, function: Callable[[], StepOutcome], generators: Sequence[torch.Generator]
    ) -> Callable[[], StepOutcome]:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.device(self.device), torch.cuda.graph(graph, pool=self.pool, stream=self.side_stream):
            outcome = function()

        def replay() -> StepOutcome:
            graph.replay()
            return outcome

        return replay


class LearningRates:
    """The learning rates of all parameter groups as tensors on the device, while schedulers work with numbers."""

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        self.groups = groups
        self.tensors = [torch.zeros((), device=group["params"][0].device) for group in groups]
        self.numbers = [math.nan] * len(groups)

    def update(self) -> None:
        """Writes the numbers that have changed to the device."""
        for k, (group, tensor) in enumerate(zip(self.groups, self.tensors, strict=True)):
            if group["lr"] != self.numbers[k]:
                self.numbers[k] = group["lr"]
                tensor.fill_(group["lr"])

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """Within the block, the optimizers read their learning rates from the device."""
        self.update()
        try:
            for group, tensor in zip(self.groups, self.tensors, strict=True):
                group["lr"] = tensor
            yield
        finally:
            for group, number in zip(self.groups, self.numbers, strict=True):
                group["lr"] = number


class Recording:
    """One recorded step, with the tensors that it reads from and writes to.

    Args:
        function: the step.
        rows: of a batch, whose shape is recorded.
        look: whether the step measures gradients.
        rates: the learning rates of the optimizers.
        recorder: what records the step.
        generators: of the random numbers on the device that the step draws.

    Raises:
        RuntimeError: it cannot be recorded.
    """

    def __init__(
        self, function: Step, rows: Tensor, look: bool, *,
        rates: LearningRates, recorder: Recorder, generators: Sequence[torch.Generator],
    ) -> None:  # fmt: skip
        self.rates = rates
        self.rows = rows.clone()
        self.recorded = self._constants()
        try:
            with rates.on_device():
                self.replay = recorder.record(lambda: function(self.rows, look), generators)
        finally:
            for group in rates.groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def _constants(self) -> list[dict[str, Any]]:
        skipped = ("params", "lr", "initial_lr")
        return [{key: value for key, value in group.items() if key not in skipped} for group in self.rates.groups]

    def is_valid(self) -> bool:
        """Whether everything that was recorded as a constant still has its value."""
        return self.recorded == self._constants()

    def __call__(self, rows: Tensor) -> StepOutcome:
        self.rows.copy_(rows)
        self.rates.update()
        return self.replay().map(torch.clone)  # the next launch overwrites them
