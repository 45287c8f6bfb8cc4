"""How much slower an epoch is beside other processes: equal ones, that train the same; a part of `benchmark.py`."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KINDS = {
    "article's MLP, 5 seeds": ["experiment=article_mlp", "dataset.train_size=20000"],
    "article's MLP, 1 seed": ["experiment=article_mlp", "dataset.train_size=20000", "num_seeds=1"],
    "50 hidden layers of 128, 5 seeds": ["experiment=deep_clipped", "dataset.train_size=10000"],
    "CNN, 5 seeds": ["experiment=article_cnn", "dataset.train_size=5000"],
}
EPOCHS = 3  # of the one that is timed


def slowdowns(kind: Sequence[str], neighbours: int, rounds: int) -> list[float]:
    """An epoch beside so many equal neighbours ÷ one alone, in turn."""
    found = []
    for _ in range(rounds):
        alone = _epoch(kind)
        with _at_work(kind, neighbours):
            found.append(_epoch(kind) / alone)
    return found


def late(kind: Sequence[str], rounds: int) -> list[float]:
    """The epochs after an equal neighbour has come ÷ those before, of one command."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home, _Command(kind, home, 1000) as command:
            command.wait_for(1 + EPOCHS)
            with _at_work(kind, 1):
                came = len(command.seconds())
                command.wait_for(came + 1 + EPOCHS)
            seconds = command.seconds()
        found.append(statistics.median(seconds[came + 1 : came + 1 + EPOCHS]) / statistics.median(seconds[1:came]))
    return found


def _epoch(kind: Sequence[str]) -> float:
    """The median of an epoch's seconds, of a command of its own."""
    with tempfile.TemporaryDirectory() as home, _Command(kind, home, EPOCHS) as command:
        command.wait_for(EPOCHS)
        return statistics.median(command.seconds())


@contextmanager
def _at_work(kind: Sequence[str], number: int) -> Iterator[None]:
    """Within the block so many commands are training."""
    with tempfile.TemporaryDirectory() as home:
        commands = [_Command(kind, f"{home}/{k}", 1000) for k in range(number)]
        try:
            for command in commands:
                command.wait_for(1)
            yield
        finally:
            for command in commands:
                command.__exit__()


class _Command:
    """`actbench` as typed, until it has trained or nobody needs it any more."""

    def __init__(self, kind: Sequence[str], home: str, epochs: int) -> None:
        self.home = Path(home)
        own = ["dataset=mnist", "tensorboard=false", f"train.epochs={epochs}", f"output_dir={home}", "study=s"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "actbench", *kind, *own],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ,
        )  # fmt: skip

    def __enter__(self) -> _Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def seconds(self) -> list[float]:
        """Of each epoch so far."""
        found = [*self.home.glob("s/*/history.csv")]
        rows = [*csv.DictReader(found[0].open())] if found else []
        return [float(row["seconds"]) for row in rows if row["seed"] == "0"]

    def wait_for(self, epochs: int) -> None:
        while len(self.seconds()) < epochs:
            if self.process.poll() not in (None, 0):
                raise RuntimeError(f"the command ended with exit code {self.process.returncode}")
            time.sleep(0.1)
