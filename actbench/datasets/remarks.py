"""What the reader of a result must know about data: samples that are in training and test, and uneven classes."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from actbench.datasets.splits import Splits
from actbench.datasets.streaming import Streamed

UNEVEN = 1.5  # classes are said to be uneven where the largest has so many times the training samples of the smallest


def remarks(splits: Splits) -> list[str]:
    """A sentence, without its full stop, for each thing to know."""
    found = []
    of_training = {*_hashes(splits.train_x), *_hashes(splits.val_x)}
    test = _hashes(splits.test_x)
    again = sum(sample in of_training for sample in test)
    if again:
        found.append(
            f"{again:,} of {len(test):,} test samples are in the training or validation split as well, so that the "
            "test accuracy says less about new samples"
        )
    counts = torch.bincount(splits.train_y, minlength=splits.classes)
    if is_uneven(splits):
        most, least = int(counts.argmax()), int(counts.argmin())
        found.append(
            f"Classes are uneven: {int(counts[most]):,} training samples of {label_of(splits, most)}, "
            f"{int(counts[least]):,} of {label_of(splits, least)}; look at the balanced accuracy"
        )
    return found


def is_uneven(splits: Splits) -> bool:
    """Whether the classes of the training split or the test set differ so much in size that accuracy misleads."""
    for y in (splits.train_y, splits.test_y):
        counts = torch.bincount(y, minlength=splits.classes)
        if counts.max() > UNEVEN * counts.min() and counts.max() - counts.min() > 2:
            return True
    return False


def label_of(splits: Splits, number: int) -> str:
    """The name of a class: its label, where there is one, or its number."""
    return splits.labels[number] if splits.labels else str(number)


def _hashes(x: Tensor | Streamed) -> list[bytes]:
    parts = (part.detach().contiguous().flatten(1).numpy() for part in x.split(_AT_A_TIME))
    return [hashlib.blake2b(row.tobytes(), digest_size=12).digest() for rows in parts for row in rows]


_AT_A_TIME = 1024  # samples
