"""The one shape of data that training sees, and how a validation split is taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from actbench.datasets.checks import check_arrays
from actbench.datasets.streaming import Streamed
from actbench.errors import UserError

Scaling = Literal["standard", "unit", "none"]  # values of `dataset.scaling`
SCALINGS = get_args(Scaling)

SPLIT_SEED = 20_240_501  # the same split for every run, whatever its seeds


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A dataset for three uses: what a function that `conf/dataset` names has to return.

    Samples are float32 tensors, scaled and finite, of one shape for all three uses: images (N, C, H, W), sequences
    (N, T, F) or features (N, F). Labels are int64 tensors (N,), one for each sample, from 0 to `classes` - 1; each
    class has at least one sample in training. All are ordinary tensors on the CPU; samples that
    do not fit into memory are `Streamed` (`assemble` makes such). `make_splits` makes this of arrays
    of pixels.

    What the user's own function returns is held to it once, when it is loaded, with everything that is wrong.

    Args:
        name: what the data are (for `auto`: what it turned out to be).
        note: what the reader of a result must know about the data; empty where they are what was asked for.
        classes: number of classes.
        background: the value that a black pixel has after scaling; a tensor (C, 1, 1) where channels differ in it.
        labels: the names of the classes in their order; empty where they are numbers alone.
        train_x, train_y: what is trained on.
        val_x, val_y: what curves and choices are made with.
        test_x, test_y: scored once, at the end.
    """

    name: str
    note: str
    classes: int
    background: float | Tensor
    train_x: Tensor | Streamed
    train_y: Tensor
    val_x: Tensor | Streamed
    val_y: Tensor
    test_x: Tensor | Streamed
    test_y: Tensor
    labels: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one sample: (C, H, W), (T, F) or (F,)."""
        return tuple(self.train_x.shape[1:])

    def to(self, device: torch.device) -> Splits:
        """The same splits with their tensors on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, (Tensor, Streamed))
        }
        return replace(self, **moved)


def check_scaling(scaling: str, where: str) -> None:
    """Raises a UserError where `scaling` is none of `SCALINGS`."""
    if scaling not in SCALINGS:
        raise UserError(f"`scaling` is {scaling!r}", where=where, how=f"one of {', '.join(SCALINGS)}")


def stratified(labels: np.ndarray, size: int) -> np.ndarray:
    """Indices of `size` samples (sorted) with the classes in the proportions of `labels`; always the same ones.

    What rounding leaves over goes to the classes with the largest remainders, so that the counts are exact.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / len(labels))
    take = np.floor(exact).astype(int)
    take[np.argsort(take - exact, kind="stable")[: size - take.sum()]] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)]
    return np.sort(np.concatenate(chosen))


def make_splits(
    *,
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    val_size: int,
    train_size: int | None = None,
    mean: float | None = None,
    std: float | None = None,
    note: str = "",
    scaling: Scaling = "standard",
) -> Splits:
    """Splits from images and labels: `val_size` training samples become the validation split, always the same ones.

    Images are uint8 arrays, (N, H, W) of grey levels or (N, H, W, C) with 1, 3 or 4 channels, as Pillow and OpenCV give
    them. Labels are arrays (N,) of whole numbers of any width, from 0, with at least one training sample of each class
    (`np.unique(labels, return_inverse=True)[1]` makes such of names or of numbers from 1).

    Args:
        name: what the data are.
        train: images and labels to take the training and the validation split from.
        test: images and labels of the test set, which stays as it is.
        val_size: samples of the validation split, with the classes in their proportions.
        train_size: a stratified part of what is left for training; None for all of it.
        mean, std: of the dataset's pixels on the scale 0..1, over all channels; None for those of `train`'s images.
        note: what the reader of a result must know about the data.
        scaling: what the network is fed: `standard` pixels, (level / 255 - mean) / std; `unit`, level / 255; or `none`,
            the levels 0 to 255 as they are.

    Raises:
        UserError: with everything that is wrong with the arrays; or `train_size` is more than there is, or less than
            one sample for each class.

    >>> images, labels = np.zeros((60, 8, 8), np.uint8), np.arange(60) % 3
    >>> images[labels == 1] = 255
    >>> splits = make_splits(name="stripes", train=(images, labels), test=(images[:6], labels[:6]), val_size=12)
    >>> splits.classes, splits.inputs, len(splits.train_y), len(splits.val_y), len(splits.test_y)
    (3, (1, 8, 8), 48, 12, 6)
    """
    where = f"make_splits(name={name!r})"
    check_arrays(train, test, val_size, where)
    check_scaling(scaling, where)
    images, labels = train
    classes = int(labels.max()) + 1
    if mean is None or std is None:
        levels = np.bincount(images.ravel(), minlength=256) / images.size  # the share of each grey level
        scale = np.arange(256) / 255
        mean = float(levels @ scale) if mean is None else mean
        std = float(np.sqrt(levels @ (scale - levels @ scale) ** 2)) if std is None else std
    if scaling == "standard" and not std > 0:
        raise UserError("`std` is 0: all pixels are alike", where=where, how="look at the images, or give mean and std")
    val = stratified(labels, val_size)
    rest = np.setdiff1d(np.arange(len(labels)), val)
    if train_size is not None:
        if not classes <= train_size <= len(rest):
            raise UserError(
                f"{name} has {len(rest):,} training samples of {classes} classes",
                where=f"dataset.train_size={train_size}",
                how=f"a number from {classes} to {len(rest)}, or null for all",
            )
        rest = rest[stratified(labels[rest], train_size)]

    def x(pixels: np.ndarray) -> Tensor:
        scaled = torch.from_numpy(np.ascontiguousarray(pixels)).float()
        if scaling != "none":
            scaled.div_(255)
        if scaling == "standard":
            scaled.sub_(mean).div_(std)
        return scaled.unsqueeze(1) if scaled.ndim == 3 else scaled.permute(0, 3, 1, 2).contiguous()  # (N, C, H, W)

    def y(numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64))

    return Splits(
        name=name,
        note=note,
        classes=classes,
        background=-mean / std if scaling == "standard" else 0.0,
        train_x=x(images[rest]),
        train_y=y(labels[rest]),
        val_x=x(images[val]),
        val_y=y(labels[val]),
        test_x=x(test[0]),
        test_y=y(test[1]),
    )
