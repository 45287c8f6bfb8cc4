"""What share of a ResNet's training step its activations take: an upper bound of what a better kernel can give."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from actbench.kernels.measure import once

VARIANTS: dict[str, Callable[[], nn.Module]] = {
    "ReLU in place": lambda: nn.ReLU(inplace=True),  # torchvision's own
    "ReLU": nn.ReLU,
    "no activation": nn.Identity,
    "SiLU": nn.SiLU,
    "GELU": nn.GELU,
}


@dataclass(frozen=True)
class Step:
    """A training step of the same network with another activation: seconds of each round."""

    variant: str
    seconds: tuple[float, ...]


def steps(depth: int, *, batch: int, size: int, device: torch.device, rounds: int) -> list[Step]:
    """Times a training step (forward, backward, SGD) of torchvision's ResNet with each variant, in turn.

    Args:
        depth: 18, 34, 50, 101 or 152.
        batch: images a step.
        size: their height and width.
    """
    from torchvision import models  # takes seconds

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, size, size, generator=generator).to(device)
    labels = torch.randint(1000, (batch,), generator=generator).to(device)
    calls = {}
    for name, make in VARIANTS.items():
        network = getattr(models, f"resnet{depth}")().to(device)
        _replace(network, make)
        calls[name] = _step(network, images, labels)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken = once(call, device)
            if number:  # the first round warms up
                seconds[name].append(taken)
    return [Step(name, tuple(of)) for name, of in seconds.items()]


def share(steps: list[Step], variant: str) -> float:
    """The part of a step that a variant's activations take: 1 − the step without any ÷ the step with them."""
    by_name = {step.variant: step.seconds for step in steps}
    pairs = zip(by_name["no activation"], by_name[variant], strict=True)
    return 1 - statistics.median(without / with_ for without, with_ in pairs)


def _replace(network: nn.Module, make: Callable[[], nn.Module]) -> None:
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, make())


def _step(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        criterion(network(images), labels).backward()
        optimizer.step()

    return step
