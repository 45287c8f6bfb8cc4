"""The one shape of data that training sees, and how a validation split is taken."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actbench.errors import UserError

_SPLIT_SEED = 20_240_501  # the same split for every run, whatever its seeds


@dataclass(frozen=True, kw_only=True)
class Splits:
    """A dataset in memory: normalised images (N, C, H, W) float32 and labels (N,) int64, for three uses.

    Args:
        name: what the data are (for `auto`: what it turned out to be).
        note: what the reader of a result must know about the data; empty where they are what was asked for.
        classes: number of classes.
        background: the value that a black pixel has after normalisation.
    """

    name: str
    note: str
    classes: int
    background: float
    train_x: Tensor
    train_y: Tensor
    val_x: Tensor
    val_y: Tensor
    test_x: Tensor
    test_y: Tensor

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of one sample, (C, H, W)."""
        return tuple(self.train_x.shape[1:])

    def to(self, device: torch.device) -> Splits:
        """The same splits with their tensors on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def stratified(labels: np.ndarray, size: int) -> np.ndarray:
    """Indices of `size` samples (sorted) with the classes in the proportions of `labels`; always the same ones.

    What rounding leaves over goes to the classes with the largest remainders, so that the counts are exact.
    """
    rng = np.random.default_rng(_SPLIT_SEED)
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
    train_size: int | None,
    mean: float,
    std: float,
    note: str = "",
) -> Splits:
    """Splits from uint8 images (N, H, W) and labels (N,): `val_size` training samples become the validation split.

    Args:
        mean, std: of the dataset's pixels on the scale 0..1.
        train_size: a stratified part of what is left for training; None for all of it.

    Raises:
        UserError: `train_size` is more than there is, or less than one sample for each class.
    """
    images, labels = train
    classes = int(labels.max()) + 1
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
        return torch.from_numpy(pixels).float().div_(255).sub_(mean).div_(std).unsqueeze(1)  # (N, 1, H, W)

    def y(numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64))

    return Splits(
        name=name,
        note=note,
        classes=classes,
        background=-mean / std,
        train_x=x(images[rest]),
        train_y=y(labels[rest]),
        val_x=x(images[val]),
        val_y=y(labels[val]),
        test_x=x(test[0]),
        test_y=y(test[1]),
    )
