"""Whether a target is the user's own, and whether it is trusted."""

from __future__ import annotations

from collections.abc import Sequence

LIBRARIES = ("torch", "torchvision", "actbench")  # of which a YAML file may name some objects without being trusted


def is_own(target: str | None) -> bool:
    """Whether a `_target_` is the user's: not from torch, torchvision or actbench."""
    return target is not None and target.split(".")[0] not in LIBRARIES


def holds_own_data(target: str | None) -> bool:
    """Whether a dataset's data are the user's: it is the user's own, or one of ours that reads files of the user's."""
    return is_own(target) or target in _READ_FILES


_READ_FILES = ("actbench.datasets.images", "actbench.datasets.arrays", "actbench.datasets.csv")


def is_trusted(name: str, trust: Sequence[str]) -> bool:
    """Whether a dotted name is one of those that `trust` gives, or within one.

    >>> is_trusted("mine.acts.Bent", ["mine"]), is_trusted("mine", ["mine.acts"]), is_trusted("miner.Bent", ["mine"])
    (True, False, False)
    """
    return any(name == trusted or name.startswith(f"{trusted}.") for trusted in trust)
