"""Shared by all tests: where the data are, and the command as a user runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from processes import Command

torch.set_flush_denormal(True)  # before the first parallel operation, as the command does
torch.set_num_threads(1)  # small tensors: a second thread only waits

HAS_MNIST = (Path(os.environ.get("ACTBENCH_DATA", "/nowhere")) / "MNIST" / "raw").is_dir()


@pytest.fixture
def actbench(tmp_path):
    """Runs the command in a fresh folder: `actbench("activation=relu", ...)` -> Done."""

    def run(*arguments, cwd=tmp_path, env=None):
        return Command(*arguments, cwd=cwd, env=env).wait()

    return run


@pytest.fixture
def tiny():
    """The overrides of a run that takes a second: digits, two seeds, two epochs, a narrow network."""
    return ["dataset=digits", "train.epochs=2", "num_seeds=2", "model.width=16", "train.threads=1"]
