"""Time and memory of activations on a device, measured side by side."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

REFERENCE = "relu"


@dataclass
class Cost:
    """One activation at one size, run in one way. Times in seconds, one for each round.

    `forward` is a call without gradients, `training` a call with its backward pass; `copy` is what copying the input
    takes on this device, the least that anything that reads and writes it could need. `kept` is how many bytes for each
    element have to stay in memory for the backward pass beside the output, which the next layer keeps in any case.
    """

    activation: str
    way: str
    shape: tuple[int, ...]
    kept: float
    forward: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
    copy: list[float] = field(default_factory=list)


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over rounds; a machine that slows down slows both. NaN where nothing was measured."""
    ratios = [a / b for a, b in zip(above, below, strict=False)]
    return statistics.median(ratios) if ratios else float("nan")


def measure(
    activations: Mapping[str, Callable[[int], nn.Module]],
    shape: tuple[int, ...],
    *,
    device: torch.device,
    rounds: int,
    in_place: Mapping[str, Callable[[int], nn.Module]],
    compiled: bool = False,
) -> list[Cost]:
    """The cost of every activation for an input of `shape`, whose second axis are the units.

    In every round everything is timed once, one after the other, so that the ratios of a round belong together.

    Args:
        activations: name -> units -> a fresh module; with `relu` among them.
        in_place: the same for those that can overwrite their input.
        compiled: `torch.compile` them as well.
    """
    x = torch.randn(shape, device=device)
    subjects = list(_subjects(activations, in_place, x, compiled))
    other = torch.empty_like(x)
    for _ in range(rounds):
        copied = seconds(lambda: other.copy_(x), device)
        for subject in subjects:
            subject.cost.copy.append(copied)
            subject.cost.forward.append(seconds(subject.forward, device))
            if subject.training is not None:
                subject.cost.training.append(seconds(subject.training, device))
    return [subject.cost for subject in subjects]


@dataclass
class _Subject:
    cost: Cost
    forward: Callable[[], object]
    training: Callable[[], object] | None


def _subjects(
    activations: Mapping[str, Callable[[int], nn.Module]],
    in_place: Mapping[str, Callable[[int], nn.Module]],
    x: Tensor,
    compiled: bool,
) -> Iterator[_Subject]:
    units, shape = x.shape[1], tuple(x.shape)
    for name, make in activations.items():
        module = make(units).to(x.device)
        kept = kept_for_backward(module, x)
        yield _Subject(Cost(name, "eager", shape, kept), *_calls(module, x))
        if name in in_place:  # by itself it overwrites a buffer: what a training step gains is seen in a network
            overwriting = in_place[name](units).to(x.device)
            buffer = x.clone()
            yield _Subject(Cost(name, "in place", shape, 0.0), _forward(overwriting, buffer), None)
        if compiled:
            yield _Subject(Cost(name, "compiled", shape, kept), *_calls(torch.compile(module, dynamic=False), x))


def _calls(module: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    z, gradient = x.clone().requires_grad_(), torch.randn_like(x)

    def training() -> None:
        z.grad = None
        module(z).backward(gradient)

    return _forward(module, x), training


def _forward(module: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], object]:
    def forward() -> None:
        with torch.no_grad():
            module(x)

    return forward


def kept_for_backward(module: nn.Module, x: Tensor) -> float:
    """Bytes for each element of `x` that the backward pass keeps alive beside the output and the parameters.

    >>> kept_for_backward(nn.ReLU(), torch.randn(4, 8)), kept_for_backward(nn.GELU(), torch.randn(4, 8))
    (0.0, 4.0)
    """
    kept: dict[int, int] = {}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with saved_tensors_hooks(pack, lambda saved: saved):
        y = module(x.clone().requires_grad_())
    for tensor in (y, *module.parameters()):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(kept.values()) / x.numel()


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Of one call: the mean of as many as take 2 ms or more, after one that does not count."""
    call()
    number = 1
    while True:
        taken = once(call, device, number)
        if taken >= 0.002:
            return taken / number
        number = max(2 * number, math.ceil(number * 0.0025 / max(taken, 1e-6)))


def once(call: Callable[[], object], device: torch.device, number: int = 1) -> float:
    """Seconds of `number` calls, the device's work included."""
    _wait(device)
    began = time.perf_counter()
    for _ in range(number):
        call()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
