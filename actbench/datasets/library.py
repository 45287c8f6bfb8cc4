"""The classification datasets of torchvision by their names, downloaded where they are missing."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from filelock import FileLock, Timeout

from actbench.datasets.assembling import Samples, assemble
from actbench.datasets.idx import Unavailable, data_root
from actbench.datasets.materialise import materialised, words_of
from actbench.datasets.splits import Scaling, Splits
from actbench.errors import Problem, UserError, in_a_line

_FLAG = ({"train": True}, None, {"train": False})
_TRAIN_TEST = ({"split": "train"}, None, {"split": "test"})
_THREE = ({"split": "train"}, {"split": "val"}, {"split": "test"})
_VAL_AS_TEST = ({"split": "train"}, None, {"split": "val"})
_WHOLE: tuple[dict[str, Any], None, None] = ({}, None, None)

# Name -> the arguments with which its class gives what is for training, validation (None: taken from training) and test
# (None: taken as well).
_DATASETS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any] | None]] = {
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "CIFAR10", "CIFAR100", "USPS"), _FLAG),
    **dict.fromkeys(("SVHN", "STL10", "GTSRB", "Food101", "StanfordCars", "LFWPeople"), _TRAIN_TEST),
    **dict.fromkeys(("Flowers102", "DTD", "FGVCAircraft", "RenderedSST2", "PCAM"), _THREE),
    "Country211": ({"split": "train"}, {"split": "valid"}, {"split": "test"}),
    "OxfordIIITPet": ({"split": "trainval"}, None, {"split": "test"}),
    **dict.fromkeys(("Imagenette", "ImageNet", "CLEVRClassification"), _VAL_AS_TEST),
    **dict.fromkeys(("EuroSAT", "SEMEION", "Caltech101", "Caltech256", "SUN397"), _WHOLE),
}
_EMNIST = ("letters", "balanced", "byclass", "bymerge", "digits", "mnist")
_WAIT = 3_600  # seconds for another process that is downloading


def torchvision(
    *,
    name: str | None = None,
    split: str | None = None,
    size: int | None = None,
    train_size: int | None = None,
    scaling: Scaling = "standard",
) -> Splits:
    """A classification dataset of `torchvision.datasets`, with the test set that it has.

    It is looked for in the data folder (`ACTBENCH_DATA`), where torchvision puts it, and downloaded there. Without a
    validation split of its own, a tenth of each class of its training set is that; without a test set, it is taken as
    for `images`. EMNIST's images are turned upright: its files have rows and columns exchanged.

    Args:
        name: the class, in letters of any size: CIFAR10.
        split: of EMNIST: letters (labelled 1..26, numbered from 0 here), balanced, byclass, bymerge, digits or mnist.
        size: sides of the images in pixels, see `images`; None where all have the same size already.
        train_size: a stratified part of the training set; None for all of it.
        scaling: what the network is fed, see `assemble`.

    Raises:
        UserError: there is no such dataset, or a file is damaged.
        Unavailable: it is not on disk and cannot be downloaded.
    """
    name = None if name is None else str(name)
    known = {each.lower(): each for each in _DATASETS}
    if name is None or name.replace("-", "").replace("_", "").lower() not in known:
        what = "is missing" if name is None else f"torchvision has no classification dataset {name} that is known here"
        raise UserError(what, where="dataset.name", how=f"one of {', '.join(sorted(_DATASETS, key=str.lower))}")
    name = known[name.replace("-", "").replace("_", "").lower()]
    more: dict[str, Any] = {}
    if name == "EMNIST":
        if split not in _EMNIST:
            what = "is missing" if split is None else f"EMNIST has no split {split}"
            raise UserError(what, where="dataset.split", how=f"one of {', '.join(_EMNIST)}")
        more = {"split": split}
    elif split is not None:
        raise UserError(f"is for EMNIST, not {name}", where="dataset.split", how="leave it out")
    parts: list[Samples | None] = []
    train = None
    classes: Any = None
    for arguments in _DATASETS[name]:
        if arguments is None:
            parts.append(None)
            continue
        dataset = _dataset(name, {**arguments, **more})
        classes = getattr(dataset, "classes", None) if classes is None else classes
        samples, _ = materialised(dataset, name, size=size, like=train, transposed=name == "EMNIST")
        parts.append(samples)
        train = train or samples
    assert train is not None
    return assemble(
        name=f"{name} {split}" if split else name, where=name, train=train, val=parts[1], test=parts[2],
        labels=words_of(classes, sorted(set(train.y.tolist()))), train_size=train_size, scaling=scaling,
    )  # fmt: skip


def _dataset(name: str, arguments: dict[str, Any]) -> Any:
    """A part of the dataset, from disk or else downloaded, by one process at a time."""
    from torchvision import datasets

    made, root = getattr(datasets, name), data_root()
    with contextlib.suppress(RuntimeError, OSError, EOFError):  # not there, or damaged: torchvision fetches it again
        return made(str(root), **arguments)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.download.lock", timeout=_WAIT), contextlib.redirect_stdout(sys.stderr):
            return made(str(root), download=True, **arguments)
    except Timeout:
        how = f"wait for it, or delete {root / f'.{name}.download.lock'}"
        raise UserError("another process has been downloading for an hour", where=str(root), how=how) from None
    except TypeError as error:  # it has no `download`
        raise _unavailable(name, "torchvision does not download it") from error
    except (RuntimeError, OSError, EOFError, ValueError, ImportError) as error:
        raise _unavailable(name, f"it cannot be downloaded: {in_a_line(error)}") from error


def _unavailable(name: str, why: str) -> Unavailable:
    how = "put its files there as torchvision has them, or point ACTBENCH_DATA at a folder that has them"
    unavailable = Unavailable("")
    what = f"{name} is not in {data_root()}, or is damaged there, and {why}"
    unavailable.problems = (Problem(what, f"dataset.name={name}", how),)
    return unavailable
