"""What the reader of a result must know about data: how many there are, what is there twice, and uneven classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from actbench.datasets.checks import USES
from actbench.datasets.splits import Splits
from actbench.datasets.streaming import Streamed
from actbench.errors import printable

UNEVEN = 1.5  # classes are said to be uneven where the largest has so many times the training samples of the smallest


def remarks(splits: Splits) -> list[str]:
    """A sentence, without its full stop, for each thing to know."""
    found = []
    hashes = {use: _hashes(getattr(splits, f"{use}_x")) for use in USES}
    of_training = {*hashes["train"], *hashes["val"]}
    again = sum(sample in of_training for sample in hashes["test"])
    if again:
        found.append(
            f"{again:,} of {len(hashes['test']):,} test samples are in the training or validation split as well, so "
            "that the test accuracy says less about new samples"
        )
    if len(splits.inputs) == 3 and (number := _of_two_classes(splits, hashes)):
        images = "1 image is" if number == 1 else f"{number:,} images are"
        found.append(f"{images} there twice or more, with different classes")
    counts = torch.bincount(splits.train_y, minlength=splits.classes)
    if is_uneven(splits):
        most, least = int(counts.argmax()), int(counts.argmin())
        found.append(
            f"Classes are uneven: {int(counts[most]):,} training samples of {label_of(splits, most)}, "
            f"{int(counts[least]):,} of {label_of(splits, least)}; look at the balanced accuracy"
        )
    return found


def described(splits: Splits, scaling: object) -> dict[str, Any]:
    """What was trained on, in numbers: for `environment.json`."""
    samples = {use: len(getattr(splits, f"{use}_y")) for use in USES}
    return {
        "name": splits.name, "samples": samples, "sample": [*splits.inputs], "classes": splits.classes,
        "scaling": None if scaling is None else str(scaling),
    }  # fmt: skip


def is_uneven(splits: Splits) -> bool:
    """Whether the classes of the training split or the test set differ so much in size that accuracy misleads."""
    for y in (splits.train_y, splits.test_y):
        counts = torch.bincount(y, minlength=splits.classes)
        if counts.max() > UNEVEN * counts.min() and counts.max() - counts.min() > 2:
            return True
    return False


def _of_two_classes(splits: Splits, hashes: Mapping[str, Sequence[bytes]]) -> int:
    """How many different samples there are of two classes or more."""
    first: dict[bytes, int] = {}
    several = set()
    for use in USES:
        for sample, label in zip(hashes[use], getattr(splits, f"{use}_y").tolist(), strict=True):
            if first.setdefault(sample, label) != label:
                several.add(sample)
    return len(several)


def label_of(splits: Splits, number: int) -> str:
    """The name of a class in one line: its label, where there is one, or its number."""
    return printable(splits.labels[number]).replace("\n", " ") if splits.labels else str(number)


def _hashes(x: Tensor | Streamed) -> list[bytes]:
    parts = (part.detach().contiguous().flatten(1).numpy() for part in x.split(_AT_A_TIME))
    return [hashlib.blake2b(row.tobytes(), digest_size=12).digest() for rows in parts for row in rows]


_AT_A_TIME = 1024  # samples
