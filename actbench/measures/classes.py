"""The accuracy of each class over the test set: `classes.csv`; and their mean, the balanced accuracy.

Taken where accuracy alone misleads, of classes that are uneven, or where classes have names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from actbench.measures.quantities import OfSeed, identified, measured

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.datasets import Splits


@dataclass(frozen=True)
class BalancedScore(OfSeed):
    """The balanced accuracy of one trained seed, in `summary.json` alone."""

    taken: ClassVar[str] = "once, at the end, where classes are uneven"
    order: ClassVar[int] = 1

    balanced_accuracy: float = measured(
        "Mean over the classes of the share of each that is classified correctly in the test set after training.",
        title="balanced accuracy", unit="%", source="Brodersen et al. 2010, doi:10.1109/ICPR.2010.764",
        better="higher", tag="accuracy/balanced", summary="balanced_accuracy", place=3,
    )  # fmt: skip


@dataclass(frozen=True)
class ClassRecord(OfSeed):
    """One class of one trained seed; a row of `classes.csv`."""

    table: ClassVar[str] = "classes"
    taken: ClassVar[str] = "once, at the end, where classes are uneven or have names"
    order: ClassVar[int] = 2
    reported: ClassVar[bool] = False

    label: str = identified("Name of the class, or its number.")
    samples: int = measured("Samples of the class in the test set.", title="test samples", at_least=0, digits=0)
    class_accuracy: float = measured(
        "Share of the class's test samples that are classified correctly after training; NaN where there are none.",
        title="accuracy", unit="%", better="higher",
    )  # fmt: skip


def score(splits: Splits, hits: Tensor, seeds: Sequence[int]) -> Iterator[BalancedScore | ClassRecord]:
    """The rows of some seeds; none where classes are even and have no names.

    Args:
        splits: the data.
        hits: whether each of the seeds classified each test sample correctly, (S, N).
        seeds: their numbers, S of them.
    """
    import torch

    from actbench.datasets.remarks import is_uneven, label_of

    uneven = is_uneven(splits)
    if not (uneven or splits.labels):
        return
    y, hits = splits.test_y.cpu(), hits.cpu()
    counts = torch.bincount(y, minlength=splits.classes)
    for seed, of_seed in zip(seeds, hits, strict=True):
        right = torch.bincount(y, weights=of_seed.double(), minlength=splits.classes)
        accuracies = 100 * right / counts  # NaN without samples
        for number in range(splits.classes):
            yield ClassRecord(seed, label_of(splits, number), int(counts[number]), float(accuracies[number]))
        if uneven:
            yield BalancedScore(seed, float(accuracies.nanmean()))
