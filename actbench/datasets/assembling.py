"""Samples as somebody has them -> Splits: classes numbered, validation and test taken where there are none, scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from actbench.datasets.scaling import Raw, Scale, chunks, extremes, is_of_pixels, scale_of
from actbench.datasets.splits import SPLIT_SEED, Scaling, Splits, check_scaling, stratified
from actbench.datasets.streaming import taken
from actbench.datasets.words import OneHot
from actbench.errors import Problem, UserError

TEST_SHARE, VAL_SHARE = 0.2, 0.1  # of the samples of each class, where there is no test set, or no validation split
_CHECKED = 1024  # samples that are looked at at a time


@dataclass(frozen=True)
class Samples:
    """Samples before they are scaled, for one use.

    Args:
        x: numbers of any type, in memory or stored: images (N, C, H, W), sequences (N, T, F) or features (N, F).
        y: labels (N,), whole numbers or words.
        places: where each sample was found, for messages; empty where its number says it.
    """

    x: Raw
    y: np.ndarray
    places: Sequence[str] = field(default=(), compare=False)

    def take(self, rows: np.ndarray) -> Samples:
        """The samples of some numbers."""
        return Samples(taken(self.x, rows), self.y[rows], [self.places[row] for row in rows] if self.places else ())

    def place(self, row: int) -> str:
        """Where a sample was found."""
        return self.places[row] if self.places else f"sample {row}"


def assemble(
    *,
    name: str,
    where: str,
    train: Samples,
    val: Samples | None = None,
    test: Samples | None = None,
    train_size: int | None = None,
    scaling: Scaling = "standard",
    note: str = "",
    labels: Sequence[str] | None = None,
    encoding: Callable[[np.ndarray], OneHot] | None = None,
) -> Splits:
    """Splits from samples. Without a test set a fifth of each class becomes one, and then a tenth the validation split.

    Classes are numbered in the order of their labels: numbers by size, words by the alphabet. What is taken is always
    the same for the same samples in the same order. The statistics of `standard` and `unit` are those of the training
    split: of each channel of images, of each feature of anything else.

    Args:
        name: what the data are.
        where: the file or folder that messages are about.
        train, val, test: the samples; None where they are to be taken from `train`.
        train_size: a stratified part of what is left for training; None for all of it.
        scaling: `standard`, mean 0 and variance 1; `unit`, 0..1; `none`, as they are.
        note: what the reader of a result must know about the data.
        labels: names for the labels in their order; by default the labels themselves.
        encoding: makes the encoding of columns of words of the training split's features.

    Raises:
        UserError: samples are not numbers, of several shapes or too few of a class; with all that is wrong.
    """
    check_scaling(scaling, where)
    parts = {use: part for use, part in (("train", train), ("val", val), ("test", test)) if part is not None}
    _check_samples(parts, where)
    classes, numbered = _numbered(parts, where)
    _check_counts(numbered["train"].y, classes, 3 - len(parts), where)
    if labels is not None and len(labels) == len(classes):
        classes = [*labels]
    if "test" not in numbered:
        numbered["train"], numbered["test"] = _divided(numbered["train"], TEST_SHARE)
    if "val" not in numbered:
        share = VAL_SHARE if test is not None else VAL_SHARE / (1 - TEST_SHARE)
        numbered["train"], numbered["val"] = _divided(numbered["train"], share)
    if train_size is not None:
        numbered["train"] = _part(numbered["train"], train_size, len(classes), name)
    as_it_is = None
    if encoding is not None:
        numbered, as_it_is, said = _encoded(numbered, encoding)
        note = ". ".join(filter(None, [note, said]))
    return _scaled(name, note, classes, numbered, scaling, where, as_it_is)


# ---------------------------------------------------------------- checks


def _check_samples(parts: dict[str, Samples], where: str) -> None:
    """Raises a UserError with what is wrong with the numbers of samples, their shapes or their values."""
    problems = []
    shape = parts["train"].x.shape[1:]
    for use, part in parts.items():
        if part.x.dtype.kind not in "buif":
            problems.append(Problem(f"the {use} samples are {part.x.dtype}, not numbers", where, "numbers"))
        elif len(part.x) == 0:
            problems.append(Problem(f"there is no {use} sample", where, "one at least, of each class"))
        elif len(part.x) != len(part.y):
            what = f"there are {len(part.y):,} labels for {len(part.x):,} {use} samples"
            problems.append(Problem(what, where, "one label for each sample"))
        elif part.x.shape[1:] != shape:
            what = f"{use} samples have the shape {part.x.shape[1:]}, training samples {shape}"
            problems.append(Problem(what, where, "one shape for all"))
        elif part.x.dtype.kind == "f" and not (finite := _finite(part.x)).all():
            rows = np.flatnonzero(~finite)
            what = f"NaN or infinite values are in {len(rows):,} of the {use} samples, first in {part.place(rows[0])}"
            problems.append(Problem(what, where, "mend or drop them"))
    if not problems and len(shape) == 3:
        problems += _of_ranges(parts, where)
    if problems:
        raise UserError.of(problems)


def _of_ranges(parts: dict[str, Samples], where: str) -> Iterator[Problem]:
    """Images of 0..1 for one use, and of 0..255 for another one."""
    highest = {use: float(extremes(part.x)[1]) for use, part in parts.items()}
    for use, high in highest.items():
        if min(high, highest["train"]) <= 1 and max(high, highest["train"]) > _LEAST_OF_LEVELS:
            what = f"{use} images have values up to {high:g}, training images up to {highest['train']:g}"
            yield Problem(what, where, "one scale for all: 0 to 255, or 0 to 1")


_LEAST_OF_LEVELS = 100  # images with values beyond are not of 0..1


def _finite(x: Raw) -> np.ndarray:
    """Whether all values of each sample are finite (N,)."""
    return np.concatenate([np.isfinite(part.reshape(len(part), -1)).all(1) for part in chunks(x)])


def _numbered(parts: dict[str, Samples], where: str) -> tuple[list[str], dict[str, Samples]]:
    """The classes, as words in their order, and the samples with labels from 0."""
    known = sorted(set(parts["train"].y.tolist()), key=_order)
    problems = []
    for use, part in parts.items():
        strange = sorted(set(part.y.tolist()) - set(known), key=_order)
        if strange:
            row = part.y.tolist().index(strange[0])
            what = f"{part.place(row)} ({use}) is of class {strange[0]}, of which there is no sample for training"
            what += f", and there are {len(strange) - 1:,} more such classes" if len(strange) > 1 else ""
            how = "the same classes for all uses; samples whose classes are not known are moved away"
            problems.append(Problem(what, where, how))
    if len(known) < 2:
        problems.append(Problem(f"all samples are of one class, {known[0]}", where, "two classes at least"))
    if problems:
        raise UserError.of(problems)
    number = {label: place for place, label in enumerate(known)}
    return [str(label) for label in known], {
        use: replace(part, y=np.array([number[label] for label in part.y.tolist()], dtype=np.int64))
        for use, part in parts.items()
    }


def _order(label: Any) -> tuple[int, Any]:
    """Numbers by size, also where they are words, and before words by the alphabet."""
    text = str(label)
    return (0, int(text)) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else (1, text)


def _check_counts(y: np.ndarray, classes: Sequence[str], missing: int, where: str) -> None:
    """Raises a UserError if a class has too few samples for all splits that have to be taken from the training set."""
    counts = np.bincount(y, minlength=len(classes))
    few = [f"{name} has {n}" for name, n in zip(classes, counts.tolist(), strict=True) if n < 1 + missing]
    if few:
        shown = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        splits = {1: "training and validation", 2: "training, validation and test"}[missing]
        what = f"class{'es' if len(few) > 1 else ''} with too few samples to be split into {splits}: {shown}"
        raise UserError(what, where=where, how=f"{1 + missing} samples of each class at least, or leave the class out")


# ---------------------------------------------------------------- splitting


def _divided(samples: Samples, share: float) -> tuple[Samples, Samples]:
    """What is left, and what was taken: `share` of each class, but one sample at least."""
    rng = np.random.default_rng(SPLIT_SEED)
    chosen = []
    for c in np.unique(samples.y):
        rows = np.flatnonzero(samples.y == c)
        chosen.append(rng.permutation(rows)[: max(1, round(share * len(rows)))])
    taken = np.sort(np.concatenate(chosen))
    return samples.take(np.setdiff1d(np.arange(len(samples.y)), taken)), samples.take(taken)


def _part(samples: Samples, size: int, classes: int, name: str) -> Samples:
    where = f"dataset.train_size={size}"
    if not classes <= size <= len(samples.y):
        what = f"{name} has {len(samples.y):,} training samples of {classes} classes"
        raise UserError(what, where=where, how=f"a number from {classes} to {len(samples.y)}, or null for all")
    rows = stratified(samples.y, size)
    if len(np.unique(samples.y[rows])) < classes:
        least = np.bincount(samples.y).min()
        how = f"{-(-len(samples.y) // least)} or more, or null for all"
        raise UserError(f"leaves no training sample of the smallest class of {name}", where=where, how=how)
    return samples.take(rows)


# ---------------------------------------------------------------- scaling


def _encoded(
    parts: dict[str, Samples], encoding: Callable[[np.ndarray], OneHot]
) -> tuple[dict[str, Samples], np.ndarray, str]:
    """The samples with their words encoded, which of their features these are, and a note."""
    x = {use: np.asarray(part.x) for use, part in parts.items()}
    encode = encoding(x["train"])
    encoded = {use: replace(part, x=encode(x[use])) for use, part in parts.items()}
    return encoded, encode.encoded, encode.note({"validation": x["val"], "test": x["test"]})


def _scaled(
    name: str, note: str, classes: list[str], parts: dict[str, Samples], scaling: Scaling, where: str,
    as_it_is: np.ndarray | None,
) -> Splits:  # fmt: skip
    """`as_it_is`: the features (F,) that are not scaled; None for none."""
    x = parts["train"].x
    is_image = x.ndim == 4
    if np.equal(*extremes(x, (0,))).all():
        raise UserError("all training samples are alike", where=where, how="look at them: nothing can be learned")
    scale = scale_of(x, scaling)
    if not (np.isfinite(scale.shift).all() and np.isfinite(scale.divisor).all()):
        raise UserError("values are too large to be scaled", where=where, how="smaller ones: their logarithm, say")
    if as_it_is is not None:
        scale = Scale(np.where(as_it_is, 0.0, scale.shift), np.where(as_it_is, 1.0, scale.divisor))
    tensors: dict[str, Any] = {}
    for use, part in parts.items():
        tensors[f"{use}_x"] = scale.applied(part.x)
        tensors[f"{use}_y"] = torch.from_numpy(part.y)
        finite = is_of_pixels(x) or all(bool(part.isfinite().all()) for part in tensors[f"{use}_x"].split(_CHECKED))
        if not finite:
            raise UserError(f"{use} samples have values beyond float32", where=where, how="dataset.scaling=standard")
    black = (-scale.shift / scale.divisor).reshape(-1) if is_image else np.zeros(1)
    background = float(black[0]) if len(black) == 1 else torch.from_numpy(black).float().view(-1, 1, 1)
    return Splits(name=name, note=note, classes=len(classes), labels=tuple(classes), background=background, **tensors)
