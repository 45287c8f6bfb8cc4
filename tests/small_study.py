"""A run and a sweep of a second, for tests that disturb them: they must end as if nothing had happened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import faults
from outcome import outcome_of_run, outcome_of_study
from processes import Command

SMALL = ["dataset=digits", "dataset.train_size=200", "train.epochs=2", "num_seeds=1", "model.width=8",
         "train.threads=1", "study=s"]  # fmt: skip
COMMANDS = {"run": [*SMALL, "quantise=int8"], "sweep": ["-m", *SMALL, "activation=relu,gelu"]}


def outcome(kind: str, home: Path) -> dict:
    """What the command of a kind has left below the folder in which it was typed."""
    study = home / "outputs" / "s"
    if kind == "sweep":
        return outcome_of_study(study)
    (folder,) = study.glob("*-seed*")
    return outcome_of_run(folder)


@dataclass(frozen=True)
class Undisturbed:
    """A command with which nothing interferes: what it ends in, where, in how many steps of writing and seconds."""

    outcome: dict
    home: Path
    steps: int
    seconds: float


def undisturbed(kind: str, home: Path, log: Path) -> Undisturbed:
    """Runs the command of a kind in `home`; its steps are noted in `log`, which lies elsewhere."""
    began = time.monotonic()
    done = Command(*COMMANDS[kind], cwd=home, before=partial(faults.install, str(home), log=str(log))).wait()
    seconds = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, "")
    return Undisturbed(outcome(kind, home), home, len(log.read_text().splitlines()), seconds)
