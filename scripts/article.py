"""The script that people copy: MNIST through a DataLoader, one model, one run. The measure of scripts/benchmark.py.

    python scripts/article.py --epochs 10

Written plainly and fairly, as such scripts are: torchvision's transforms, two workers, Adam with its defaults.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

Epoch = Callable[[], None]


def loop(data: str, device: str = "cpu", train_size: int = 55_000, channels: bool = False) -> tuple[Epoch, Epoch]:
    """One epoch of training with validation, and the test at the end; of the MLP, or of a CNN with `channels`."""
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    everything = datasets.MNIST(data, train=True, transform=normalise)
    train = DataLoader(Subset(everything, range(train_size)), batch_size=64, shuffle=True, num_workers=2)
    val = DataLoader(Subset(everything, range(55_000, 60_000)), batch_size=1000, num_workers=2)
    test = DataLoader(datasets.MNIST(data, train=False, transform=normalise), batch_size=1000, num_workers=2)
    model = (cnn() if channels else mlp()).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        total = 0.0
        for x, y in train:
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        accuracy(val)

    @torch.no_grad()
    def accuracy(samples: DataLoader[Any]) -> float:
        model.eval()
        correct = 0
        for x, y in samples:
            correct += (model(x.to(device)).argmax(1) == y.to(device)).sum().item()
        return correct / len(samples.dataset)  # type: ignore[arg-type]

    return epoch, lambda: print(f"test accuracy {100 * accuracy(test):.2f} %")


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", default=os.environ.get("ACTBENCH_DATA", "data"), help="where MNIST is")
    asked = parser.parse_args()
    epoch, test = loop(asked.data, asked.device)
    for number in range(asked.epochs):
        began = time.perf_counter()
        epoch()
        print(f"epoch {number + 1}: {time.perf_counter() - began:.1f} s")
    test()


if __name__ == "__main__":
    main()
