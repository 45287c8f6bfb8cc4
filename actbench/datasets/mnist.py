"""MNIST and its two relatives of the same shape; and `auto`, which takes MNIST or else the digits."""

from __future__ import annotations

from actbench.datasets.digits import digits
from actbench.datasets.idx import Family, Unavailable, load
from actbench.datasets.splits import Scaling, Splits, make_splits

_MNIST = Family(
    title="MNIST",
    torchvision="MNIST",
    mean=0.1307,
    std=0.3081,
    md5={
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
_OTHERS = dict.fromkeys(_MNIST.md5.values(), "MNIST")
_FASHION = Family(
    title="Fashion-MNIST", torchvision="FashionMNIST", mean=0.2860, std=0.3530, recognised=True, others=_OTHERS
)
_KMNIST = Family(
    title="Kuzushiji-MNIST", torchvision="KMNIST", mean=0.1918, std=0.3483, recognised=True, others=_OTHERS
)


def _splits(name: str, family: Family, train_size: int | None, scaling: Scaling) -> Splits:
    """The family's own test set; 5,000 stratified samples of its training set become the validation split."""
    train, test = load(family)
    return make_splits(
        name=name, train=train, test=test, val_size=5_000, train_size=train_size, mean=family.mean, std=family.std,
        scaling=scaling,
    )  # fmt: skip


def mnist(*, train_size: int | None = None, scaling: Scaling = "standard") -> Splits:
    """MNIST (LeCun, Cortes, Burges): 55,000 / 5,000 / 10,000 samples for training / validation / test.

    Raises:
        UserError: a file is damaged and cannot be fetched again, or the data folder cannot be written to.
        Unavailable: it is not on disk and nothing answers.
    """
    return _splits("mnist", _MNIST, train_size, scaling)


def fashion_mnist(*, train_size: int | None = None, scaling: Scaling = "standard") -> Splits:
    """Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747); sizes and errors as for `mnist`."""
    return _splits("fashion_mnist", _FASHION, train_size, scaling)


def kmnist(*, train_size: int | None = None, scaling: Scaling = "standard") -> Splits:
    """Kuzushiji-MNIST (Clanuwat et al. 2018, arXiv:1812.01718); sizes and errors as for `mnist`."""
    return _splits("kmnist", _KMNIST, train_size, scaling)


def auto(*, train_size: int | None = None, scaling: Scaling = "standard") -> Splits:
    """`mnist` where it is on disk or can be downloaded, otherwise `digits` with a note that says so.

    A damaged file is no reason to fall back: that is an error, as for `mnist`.
    """
    note = why_not_mnist()
    if note:
        return digits(train_size=train_size, scaling=scaling, note=note)
    return mnist(train_size=train_size, scaling=scaling)


def why_not_mnist() -> str:
    """Why MNIST cannot be used, as a note for whoever reads a result; empty where it is on disk, or is now.

    Raises:
        UserError: a file is damaged and cannot be fetched again, or the data folder cannot be used.
    """
    try:
        load(_MNIST)
    except Unavailable as error:
        return f"NOT MNIST: {error.problems[0].what}; these are scikit-learn's 1,797 digits instead"
    return ""
