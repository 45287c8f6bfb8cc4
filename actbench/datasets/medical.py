"""MedMNIST: eleven sets of medical images with one label each, where the package `medmnist` is installed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from actbench.datasets.arrays import as_labels, as_samples
from actbench.datasets.assembling import Samples, assemble
from actbench.datasets.idx import Unavailable, data_root
from actbench.datasets.splits import Scaling, Splits
from actbench.errors import Problem, UserError, in_a_line

_SIZES = (28, 64, 128, 224)


def medmnist(
    *, name: str | None = None, size: int = 28, train_size: int | None = None, scaling: Scaling = "standard"
) -> Splits:
    """A set of MedMNIST with the splits that it has: pathmnist, bloodmnist, dermamnist, octmnist, pneumoniamnist, ...

    Its file is looked for in the folder `medmnist` of the data folder (`ACTBENCH_DATA`) and in `~/.medmnist`, and
    downloaded into the former by the package, which checks it.

    Args:
        name: as the package has it. Sets with several labels an image (chestmnist) and of volumes are not taken.
        size: sides of the images in pixels: 28, 64, 128 or 224.
        train_size: a stratified part of the training set; None for all of it.
        scaling: what the network is fed, see `assemble`.

    Source: Yang et al. 2023, "MedMNIST v2", Scientific Data 10:41.

    Raises:
        UserError: the package is not installed, or there is no such set in it.
        Unavailable: its file is not on disk and cannot be downloaded.
    """
    try:
        package: Any = importlib.import_module("medmnist")
    except ImportError as error:
        how = "pip install 'actbench[medmnist]'; or, of a file that you have: dataset=arrays dataset.path=pathmnist.npz"
        raise UserError("the package medmnist is not installed", where="dataset=medmnist", how=how) from error
    sets = {flag: info for flag, info in package.INFO.items() if _has_one_label(flag, info)}
    flag = str(name).lower()
    if flag not in sets:
        what = "is missing" if name is None else f"medmnist has no set {name} of images with one label"
        raise UserError(what, where="dataset.name", how=f"one of {', '.join(sorted(sets))}")
    loaded = getattr(package, sets[flag]["python_class"])
    if size not in _SIZES:
        what = f"is no size of MedMNIST's images: {size}"
        raise UserError(what, where="dataset.size", how=f"one of {', '.join(map(str, _SIZES))}")
    parts = {}
    for use in ("train", "val", "test"):
        data = _part(loaded, flag, use, size)
        where = f"{flag}, {use}"
        parts[use] = Samples(as_samples(where, data.imgs), as_labels(where, data.labels))
    labels = [str(label) for _, label in sorted(sets[flag]["label"].items(), key=lambda pair: int(pair[0]))]
    return assemble(
        name=flag, where=flag, train=parts["train"], val=parts["val"], test=parts["test"], labels=labels,
        train_size=train_size, scaling=scaling,
    )  # fmt: skip


def _has_one_label(flag: str, info: dict[str, Any]) -> bool:
    return not flag.endswith("3d") and "multi-label" not in info["task"]


def _part(loaded: Any, flag: str, use: str, size: int) -> Any:
    file = f"{flag}.npz" if size == _SIZES[0] else f"{flag}_{size}.npz"
    folder = data_root() / "medmnist"
    more = {} if size == _SIZES[0] else {"size": size}
    for place in (folder, Path.home() / ".medmnist"):
        if (place / file).is_file():
            try:
                return loaded(split=use, root=str(place), **more)
            except (ValueError, OSError, KeyError, EOFError) as error:
                how = "delete it, and it is downloaded again"
                raise UserError(f"is damaged: {in_a_line(error)}", where=str(place / file), how=how) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".download.lock", timeout=3_600), contextlib.redirect_stdout(sys.stderr):
            return loaded(split=use, root=str(folder), download=True, **more)
    except Timeout:
        how = f"wait for it, or delete {folder / '.download.lock'}"
        raise UserError("another process has been downloading for an hour", where=str(folder), how=how) from None
    except (RuntimeError, OSError, ValueError) as error:
        unavailable = Unavailable("")
        what = f"{file} is not in {folder}, and it cannot be downloaded: {in_a_line(error)}"
        how = "put it there, or point ACTBENCH_DATA at a folder with medmnist in it"
        unavailable.problems = (Problem(what, f"dataset.name={flag}", how),)
        raise unavailable from error
