"""The same samples in memory and streamed from a file of bytes, which is in the system's cache, for the benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from actbench.datasets import Splits
from actbench.datasets.checks import USES
from actbench.datasets.scaling import scale_of
from actbench.datasets.streaming import Stored
from actbench.settings import Settings
from actbench.train import Training, build


@contextmanager
def both(settings: Settings) -> Iterator[dict[str, Training]]:
    """`memory` and `streamed` -> what trains on the samples of a dataset with `scaling=none`, as `standard` feeds them.

    Training takes the same steps with both.
    """
    levels = build.load_splits(settings)
    arrays = {use: getattr(levels, f"{use}_x").numpy().astype(np.uint8) for use in USES}
    scale = scale_of(arrays["train"], "standard")
    with tempfile.TemporaryDirectory() as folder:
        stored = {use: Stored(_on_disk(Path(folder) / f"{use}.npy", x), "asked for") for use, x in arrays.items()}
        yield {
            "memory": _built(settings, levels, {f"{use}_x": scale.applied(x) for use, x in arrays.items()}),
            "streamed": _built(settings, levels, {f"{use}_x": scale.applied(x) for use, x in stored.items()}),
        }


def _on_disk(file: Path, x: np.ndarray) -> np.ndarray:
    np.save(file, x)
    return np.load(file, mmap_mode="r")


def _built(settings: Settings, levels: Splits, samples: dict[str, Any]) -> Training:
    with mock.patch.object(build, "load_splits", return_value=replace(levels, **samples)):
        return build.build(settings)
