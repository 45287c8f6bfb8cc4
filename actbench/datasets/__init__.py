"""Datasets: each is a function `(train_size, scaling, ...) -> Splits`: samples and labels for three uses."""

from actbench.datasets.arrays import arrays
from actbench.datasets.digits import digits
from actbench.datasets.idx import Unavailable
from actbench.datasets.images import images
from actbench.datasets.library import torchvision
from actbench.datasets.medical import medmnist
from actbench.datasets.mnist import auto, fashion_mnist, kmnist, mnist
from actbench.datasets.mnist1d import mnist1d
from actbench.datasets.splits import Splits, make_splits
from actbench.datasets.table import csv

# Samples left for training after the validation split, by which a batch can be judged before the data are loaded.
TRAINING_SAMPLES = {"auto": 55_000, "mnist": 55_000, "fashion_mnist": 55_000, "kmnist": 55_000, "digits": 1_257}

__all__ = [
    "TRAINING_SAMPLES",
    "Splits",
    "Unavailable",
    "arrays",
    "auto",
    "csv",
    "digits",
    "fashion_mnist",
    "images",
    "kmnist",
    "make_splits",
    "medmnist",
    "mnist",
    "mnist1d",
    "torchvision",
]
