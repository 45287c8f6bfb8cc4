"""What actbench is measured against, beside the article's script: an ordinary loop in memory, and the bare floor."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

Epoch = Callable[[], None]


def in_memory(model: nn.Module, x: Tensor, y: Tensor, batch: int = 64) -> Epoch:
    """An epoch as a careful person writes it: tensors in memory, default Adam, nothing asked of the device."""
    model = model.to(x.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(x)).to(x.device).split(batch):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device

    return epoch


def resnet18() -> nn.Module:
    """torchvision's ResNet-18 for grey images, which are padded to 32×32."""
    from torchvision.models import resnet18 as of_torchvision

    network = of_torchvision(num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return nn.Sequential(nn.ZeroPad2d(2), network)


def floor(
    seeds: int, steps: int, device: torch.device, batch: int = 64, sizes: tuple[int, ...] = (784, 512, 10)
) -> Epoch:
    """An epoch of nothing but what no way of training can leave out: the products, and Adam's state once a step.

    For `seeds` networks at once: the products of forward and backward pass as batched matrix products into memory that
    is there already, and one fused update of as many parameters as the networks have.
    """
    sites = list(pairwise(sizes))
    weights = [torch.randn(seeds, fan_in, out, device=device) / fan_in**0.5 for fan_in, out in sites]
    values = [torch.randn(seeds, batch, size, device=device) for size in sizes]
    gradients = [torch.empty_like(weight) for weight in weights]
    size = seeds * sum((fan_in + 1) * out for fan_in, out in sites)
    parameters = [torch.zeros(size, device=device)]
    gradient, first, second = ([torch.full((size,), 0.01, device=device)] for _ in range(3))
    count = [torch.ones((), device=device)]
    adam: dict[str, Any] = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

    def epoch() -> None:
        for _ in range(steps):
            for weight, x, y in zip(weights, values, values[1:], strict=False):
                torch.bmm(x, weight, out=y)
            for layer in reversed(range(len(weights))):
                torch.bmm(values[layer].mT, values[layer + 1], out=gradients[layer])
                if layer:
                    torch.bmm(values[layer + 1], weights[layer].mT, out=values[layer])
            torch._fused_adam_(
                parameters, gradient, first, second, [], count, weight_decay=0, amsgrad=False, maximize=False, **adam
            )
        float(parameters[0][0])  # waits for the device

    return epoch
