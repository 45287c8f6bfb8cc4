"""Datasets: each is a function `(train_size) -> Splits` with train, validation and test tensors, normalised, in memory."""

from actbench.datasets.digits import digits
from actbench.datasets.idx import Unavailable
from actbench.datasets.mnist import auto, fashion_mnist, kmnist, mnist
from actbench.datasets.splits import Splits

__all__ = ["Splits", "Unavailable", "auto", "digits", "fashion_mnist", "kmnist", "mnist"]
