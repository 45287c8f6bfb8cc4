"""A `torch.utils.data.Dataset` -> samples, each looked at once: in memory, or on disk where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from actbench.datasets.arrays import as_labels
from actbench.datasets.assembling import Samples
from actbench.datasets.memory import room, shortage
from actbench.datasets.pixels import GREY, pixels_of
from actbench.datasets.progress import shown
from actbench.datasets.streaming import Stored
from actbench.errors import UserError, a_type_of, in_a_line

_ITEM = "(sample, label), a tensor, array or Pillow image and a whole number or word"


def materialised(
    dataset: Dataset[Any],
    where: str,
    *,
    size: int | None = None,
    like: Samples | None = None,
    transposed: bool = False,
) -> tuple[Samples, str]:
    """All samples of a dataset, and a remark if they are drawn anew each time; else an empty one.

    Pillow images become grey pixels where all are grey, or coloured ones; tensors and arrays stay as they are, with
    channels first: (C, H, W), (T, F) or (F,).

    Args:
        dataset: with a length and items (sample, label).
        where: what messages are about.
        size: sides of Pillow images in pixels, see `images`; None where all are of one size.
        like: samples whose number of channels these have to have.
        transposed: exchange rows and columns, of square images.

    Raises:
        UserError: it has no length, an item cannot be had or is something else, or shapes differ.
    """
    number = _length(dataset, where)
    first, _ = _item(dataset, 0, where)
    form = _Form(first, size, like, where, dataset, number)
    try:
        x, labels, why = _all(dataset, form, number, where)
    except _Coloured:  # after so many grey ones
        form.grow_colours()
        x, labels, why = _all(dataset, form, number, where)
    random = any(
        not np.array_equal(form.array(_item(dataset, row, where)[0], row), x[row], equal_nan=form.dtype.kind == "f")
        for row in range(min(number, _COMPARED))
    )
    remark = "Samples are drawn anew at each access, and are held as they were the first time; augment= draws anew"
    if transposed:
        x = x.swapaxes(-1, -2)
    return Samples(Stored(x, why) if why else x, as_labels(where, np.array(labels))), remark if random else ""


def _all(dataset: Dataset[Any], form: _Form, number: int, where: str) -> tuple[np.ndarray, list[Any], str]:
    """All samples, their labels, and why the samples are on disk; an empty string if they are in memory."""
    shape, why = (number, *form.shape), shortage(number, form.shape)
    x = room(shape, form.dtype, where) if why else np.empty(shape, dtype=form.dtype)
    labels: list[Any] = []
    for row in shown(range(number), "reading samples"):
        sample, label = _item(dataset, row, where)
        x[row] = form.array(sample, row)
        labels.append(_label(label, row, where))
    return x, labels, why


def _length(dataset: Dataset[Any], where: str) -> int:
    if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise UserError("has no items by number", where=where, how="a Dataset with __len__ and __getitem__")
    try:
        number = len(dataset)  # type: ignore[arg-type]
    except Exception as error:  # of the user's code
        raise UserError(f"has no length: {in_a_line(error)}", where=where, how="__len__ gives the number") from error
    if not isinstance(number, int) or number < 1:
        raise UserError(f"has {number} samples", where=where, how="one at least, of each class")
    return number


def _item(dataset: Dataset[Any], row: int, where: str) -> tuple[Any, Any]:
    try:
        item = dataset[row]
    except IndexError as error:
        what = f"has no sample {row}, although its length is {len(dataset)}"  # type: ignore[arg-type]
        raise UserError(what, where=where, how="__len__ gives the number of samples") from error
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    kind = f"{len(item)} things" if isinstance(item, (tuple, list)) else f"a {type(item).__name__}"
    keys = f" ({', '.join(map(str, item))})" if isinstance(item, Mapping) else ""
    raise UserError(f"returns {kind}{keys} for sample {row}", where=where, how=f"return {_ITEM}")


def _label(label: Any, row: int, where: str) -> Any:
    if isinstance(label, (torch.Tensor, np.ndarray)):
        if label.ndim and label.shape != (1,):
            what = f"the label of sample {row} has the shape {tuple(label.shape)}"
            raise UserError(what, where=where, how="a whole number; .argmax() of a one-hot one")
        label = label.reshape(-1)[0].item()
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, (int, str)) and label != "":
        return label
    what = f"the label of sample {row} is {label!r}"[:80]
    raise UserError(f"{what}, a {type(label).__name__}", where=where, how="a whole number or a word")


class _Coloured(Exception):
    """An image has colours, after the first ones were grey."""


class _Form:
    """The shape and type that all samples of a dataset have, after the first of them."""

    def __init__(
        self, first: Any, size: int | None, like: Samples | None, where: str, dataset: Dataset[Any], number: int
    ) -> None:
        self.where, self.image = where, hasattr(first, "mode") and hasattr(first, "convert")
        self.shape: tuple[int, ...]
        if self.image:
            some = [first, *(_item(dataset, row, where)[0] for row in range(1, min(number, _LOOKED_AT)))]
            grey = all(getattr(image, "mode", "") in GREY for image in some)
            self.grey = grey if like is None else like.x.shape[1] == 1
            self.may_grow = like is None
            self.side = (size, size) if size is not None else (first.height, first.width)
            self.size = size
            self.shape, self.dtype = (1 if self.grey else 3, *self.side), np.dtype(np.uint8)
            return
        if size is not None:
            what = "is for images of Pillow's, and samples are arrays"
            raise UserError(what, where="dataset.size", how="leave it out, or bring them to one size in the dataset")
        array = self._plain(first, 0)
        self.shape, self.dtype = array.shape, array.dtype
        if len(self.shape) not in (1, 2, 3):
            what = f"sample 0 has the shape {self.shape}"
            raise UserError(what, where=where, how="(C, H, W), (T, F) or (F,)")

    def grow_colours(self) -> None:
        """Takes images as coloured from now on."""
        self.grey, self.shape = False, (3, *self.side)

    def array(self, sample: Any, row: int) -> np.ndarray:
        """The sample as it is stored.

        Raises:
            UserError: it is not like the first one.
            _Coloured: it has colours, and the first ones do not.
        """
        if self.image:
            if not hasattr(sample, "convert"):
                what = f"sample {row} is {a_type_of(sample)}, sample 0 an image"
                raise UserError(what, where=self.where, how="all of one kind")
            if self.size is None and (sample.height, sample.width) != self.side:
                what = f"sample {row} has {sample.height}×{sample.width} pixels, sample 0 {self.side[0]}×{self.side[1]}"
                raise UserError(what, where=self.where, how="dataset.size=64, say, brings all to one size")
            if self.grey and self.may_grow and sample.mode not in GREY:
                raise _Coloured
            try:
                return pixels_of(sample, self.side, self.grey)
            except (OSError, ValueError, SyntaxError) as error:  # of a file that is read only now
                what = f"sample {row} is no image that can be read: {in_a_line(error)}"
                raise UserError(what, where=self.where, how="mend it or leave it out") from error
        array = self._plain(sample, row)
        if array.shape != self.shape:
            what = f"sample {row} has the shape {array.shape}, sample 0 {self.shape}"
            raise UserError(what, where=self.where, how="one shape for all")
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):  # 1.5 would become 1
            what = f"sample {row} is of the type {array.dtype}, sample 0 of {self.dtype}"
            raise UserError(what, where=self.where, how="one type for all: .float(), say")
        return array

    def _plain(self, sample: Any, row: int) -> np.ndarray:
        if isinstance(sample, torch.Tensor):
            sample = sample.detach().cpu()
            sample = (sample.float() if sample.dtype is torch.bfloat16 else sample).numpy()
        try:
            array = np.asarray(sample)
        except ValueError:
            array = np.empty(0, dtype=object)
        if array.dtype.kind not in "buif":
            raise UserError(f"sample {row} is {a_type_of(sample)}", where=self.where, how=f"return {_ITEM}")
        return array


_LOOKED_AT = 100  # images that decide whether all are taken as grey, unless another one has colours
_COMPARED = 8  # samples that are asked for twice


def words_of(classes: Any, labels: Sequence[int]) -> list[str] | None:
    """The names of some labels, in their order, where a dataset's `classes` has them; else None."""
    if not isinstance(classes, (list, tuple)) or not all(isinstance(label, int) for label in labels):
        return None
    if not labels or min(labels) < 0 or max(labels) >= len(classes):
        return None
    return [str(classes[label]) for label in labels]
