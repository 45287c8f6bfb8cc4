"""What is wrong with data of the user's own, all of it at once, before anything is trained on them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from actbench.datasets.streaming import Streamed
from actbench.errors import Problem, UserError, a_type_of

if TYPE_CHECKING:
    from actbench.datasets.splits import Splits

USES = ("train", "val", "test")

Violation = tuple[str, str, str]  # the field, what is wrong with it, how to mend it


def check_splits(splits: Splits, where: str) -> None:
    """Raises a UserError with everything in which `splits` are not as their docstring says."""
    violations = [*_of_numbers(splits)]
    for use in USES:
        violations += _of_images(use, getattr(splits, f"{use}_x"))
    violations += _of_shapes(splits)
    for use in USES:
        violations += _of_labels(use, getattr(splits, f"{use}_x"), getattr(splits, f"{use}_y"), splits.classes)
    if not violations:
        violations += _of_classes(splits)
    if violations:
        raise UserError.of(Problem(f"`{field}` {what}", where, how) for field, what, how in violations)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_classes(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 2 <= value <= 1_000_000


def _of_numbers(splits: Splits) -> Iterator[Violation]:
    if not (isinstance(splits.name, str) and re.fullmatch(r"[^\x00-\x1f\x7f]{1,100}", splits.name)):
        yield "name", f"is {_shown(splits.name)}, not a name", "a word or two: what the data are"
    if not isinstance(splits.note, str):
        yield "note", f"is {_shown(splits.note)}, not a text", '"" where there is nothing to say'
    if not _is_classes(splits.classes):
        yield "classes", f"is {_shown(splits.classes)}, not a number of classes", "a whole number of 2 or more"
    if not (_is_number(splits.background) or _is_of_channels(splits.background, splits.train_x)):
        yield (
            "background",
            f"is {_shown(splits.background)}, not a number",
            "-mean / std: what a black pixel has become; a tensor (C, 1, 1) where channels differ",
        )
    words = isinstance(splits.labels, tuple) and all(isinstance(label, str) for label in splits.labels)
    if not words or len(splits.labels) not in (0, splits.classes):
        yield "labels", f"is {_shown(splits.labels)}, not a word for each class", "a tuple of words, or ()"


def _is_of_channels(value: Any, x: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and isinstance(x, (Tensor, Streamed))
        and x.ndim == 4
        and value.shape == (x.shape[1], 1, 1)
        and value.dtype is torch.float32
        and bool(torch.isfinite(value).all())
    )


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"a {type(value).__name__}"


def _of_images(use: str, x: Any) -> Iterator[Violation]:
    field = f"{use}_x"
    if isinstance(x, Streamed):  # was checked when it was assembled
        return
    if not isinstance(x, Tensor):
        yield field, f"is {a_type_of(x)}, not a tensor", "torch.from_numpy(...).float()"
        return
    if x.layout is not torch.strided or x.device.type != "cpu" or x.requires_grad:
        yield field, "is not an ordinary tensor on the CPU", ".detach().to_dense().cpu()"
        return
    if x.dtype is not torch.float32:
        how = ".float().div(255).sub(mean).div(std)" if x.dtype is torch.uint8 else ".float()"
        yield field, f"is {_named(x.dtype)}, not float32", how
    if x.ndim not in (2, 3, 4):
        yield field, f"has the shape {_shape(x)}, not (N, C, H, W), (N, T, F) or (N, F)", "N samples of one shape"
    elif x.ndim == 4 and _is_channels_last(x):
        yield (
            field,
            f"has the shape {_shape(x)}, which looks like (N, H, W, C), not (N, C, H, W)",
            ".permute(0, 3, 1, 2)",
        )
    if x.numel() == 0:
        yield field, f"is empty: its shape is {_shape(x)}", f"at least one sample for {_USED[use]}"
    elif x.dtype.is_floating_point and not torch.isfinite(x).all():
        bad = (~torch.isfinite(x)).flatten(1).any(1) if x.ndim > 1 else ~torch.isfinite(x)
        rows = bad.nonzero().flatten()
        yield (
            field,
            f"has NaN or infinite values, in {len(rows):,} samples, the first is number {rows[0]}",
            "mend or drop them",
        )


_USED = {"train": "training", "val": "validation", "test": "the test"}


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _shape(x: Tensor) -> str:
    return "(" + ", ".join(map(str, x.shape)) + ("," if x.ndim == 1 else "") + ")"


def _is_channels_last(x: Tensor) -> bool:
    """Whether three of colour, or one of grey, come last, behind what can hardly be channels."""
    _, c, h, w = x.shape
    return c > 4 and h > 4 and (w in (3, 4) or (w == 1 and c == h))


def _of_shapes(splits: Splits) -> Iterator[Violation]:
    train = splits.train_x
    for use in USES[1:]:
        x = getattr(splits, f"{use}_x")
        both = isinstance(x, Tensor) and isinstance(train, Tensor) and 0 not in (x.ndim, train.ndim)
        if both and x.shape[1:] != train.shape[1:]:
            what = f"has samples of {tuple(x.shape[1:])}, `train_x` of {tuple(train.shape[1:])}"
            yield f"{use}_x", what, "one size for all images"


def _of_labels(use: str, x: Any, y: Any, classes: Any) -> Iterator[Violation]:
    field = f"{use}_y"
    if not isinstance(y, Tensor):
        yield field, f"is {a_type_of(y)}, not a tensor", "torch.tensor(...)"
        return
    if y.layout is not torch.strided or y.device.type != "cpu" or y.requires_grad:
        yield field, "is not an ordinary tensor on the CPU", ".detach().to_dense().cpu()"
        return
    if y.ndim == 2 and y.shape[1] > 1:
        yield field, f"has the shape {_shape(y)}: one-hot, or of several labels a sample, not (N,)", ".argmax(1)"
        return
    if y.ndim != 1:
        yield field, f"has the shape {_shape(y)}, not (N,)", ".flatten()"
        return
    if isinstance(x, Tensor) and x.ndim and len(x) != len(y):
        yield field, f"has {len(y):,} labels for the {len(x):,} images of `{use}_x`", "one label for each image"
    if y.dtype is not torch.int64:
        yield field, f"is {_named(y.dtype)}, not int64", ".long()"
    if len(y) == 0 or not _is_classes(classes):
        return
    if y.dtype.is_floating_point or y.dtype.is_complex or y.dtype is torch.bool:
        return
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        how = "labels from 0: subtract 1" if (low, high) == (1, classes) else f"classes={high + 1}, or other labels"
        yield (
            field,
            f"has labels from {low} to {high}, and `classes` is {classes}",
            how if low >= 0 else "labels from 0",
        )


def _of_classes(splits: Splits) -> Iterator[Violation]:
    """Classes that nothing is trained on: numbers in a softmax that only take from the others."""
    counts = torch.bincount(splits.train_y, minlength=splits.classes)
    missing = (counts == 0).nonzero().flatten().tolist()
    if not missing:
        return
    if missing[0] == 0 and (len(missing) == 1 or missing == [*range(len(missing))]):
        how = f"labels from 0: subtract {len(missing)}, and classes={splits.classes - len(missing)}"
    else:
        how = f"number the {splits.classes - len(missing)} that there are from 0, or add samples of the others"
    listed = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    many = len(missing) > 1
    yield "train_y", f"has no sample of class{'es' if many else ''} {listed} of {splits.classes}", how


# ---------------------------------------------------------------- arrays, for make_splits


def check_arrays(train: Any, test: Any, val_size: Any, where: str) -> None:
    """Raises a UserError with everything in which arrays are not as `make_splits` says."""
    violations: list[Violation] = []
    for use, pair in (("train", train), ("test", test)):
        violations += _of_pair(use, pair)
    if not violations:
        violations += _of_both(train, test)
    if not violations:
        violations += _of_val_size(val_size, train[1])
    if violations:
        raise UserError.of(Problem(f"`{field}` {what}", where, how) for field, what, how in violations)


def _of_pair(use: str, pair: Any) -> Iterator[Violation]:
    if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(array, np.ndarray) for array in pair)):
        yield use, "is not two NumPy arrays", "(images, labels)"
        return
    images, labels = pair
    if images.dtype != np.uint8:
        yield f"{use} images", f"are {images.dtype}, not uint8", "grey levels from 0 to 255: .astype(np.uint8)"
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        how = "(N, H, W) for grey, (N, H, W, 3) for colours"
        channels_first = images.ndim == 4 and images.shape[1] in (1, 3, 4)
        yield f"{use} images", f"have the shape {images.shape}", ".transpose(0, 2, 3, 1)" if channels_first else how
    elif images.size == 0:
        yield f"{use} images", f"are empty: their shape is {images.shape}", f"at least one sample for {_USED[use]}"
    if labels.ndim != 1:
        how = ".argmax(1), of one-hot labels" if labels.ndim == 2 and labels.shape[1] > 1 else ".ravel()"
        yield f"{use} labels", f"have the shape {labels.shape}, not (N,)", how
    elif len(labels) != len(images):
        yield f"{use} labels", f"are {len(labels):,}, for {len(images):,} images", "one label for each image"
    if labels.dtype.kind not in "iu":
        yield f"{use} labels", f"are {labels.dtype}, not whole numbers", "np.unique(labels, return_inverse=True)[1]"


def _of_both(train: Any, test: Any) -> Iterator[Violation]:
    (images, labels), (others, other_labels) = train, test
    if images.shape[1:] != others.shape[1:]:
        yield "test images", f"are of {others.shape[1:]}, those for training of {images.shape[1:]}", "one size for all"
    present = np.unique(labels)
    classes = int(present[-1]) + 1
    if present[0] < 0 or len(present) < classes:
        missing = "some are negative" if present[0] < 0 else f"there is none of {_first_missing(present)}"
        what = f"go from {present[0]} to {present[-1]}, and {missing}"
        yield (
            "train labels",
            what,
            f"number the {len(present)} classes from 0: np.unique(labels, return_inverse=True)[1]",
        )
    elif classes < 2:
        yield "train labels", "are all 0", "two classes at least"
    strange = np.setdiff1d(other_labels, present)
    if len(strange):
        yield (
            "test labels",
            f"have a {strange[0]}, of which there is no sample for training",
            "the same classes in both",
        )


def _first_missing(present: np.ndarray) -> int:
    return int(np.setdiff1d(np.arange(present[-1] + 1), present)[0])


def _of_val_size(val_size: Any, labels: np.ndarray) -> Iterator[Violation]:
    classes = len(np.unique(labels))
    most = len(labels) - classes
    if isinstance(val_size, bool) or not isinstance(val_size, (int, np.integer)) or not 1 <= val_size <= most:
        yield (
            "val_size",
            f"is {_shown(val_size)}, of {len(labels):,} samples for training",
            f"a number from 1 to {most:,}",
        )
