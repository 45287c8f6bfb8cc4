"""Shared by all tests: where the data are, and the command as a user runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from processes import Command

from actbench.machine import prepare

prepare(threads=1)  # before the first parallel operation, as the command does; small tensors have no use for a second

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
