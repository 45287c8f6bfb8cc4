"""What a run came to, whether it ended well or not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actbench import machine, stored
from actbench.diagnosis import Case, diagnose
from actbench.errors import Failure
from actbench.own_code import told
from actbench.records import RATIOS, Epoch, Estimate, RunSummary, Status, network_ratio
from actbench.run.hold import Hold
from actbench.settings import Settings
from actbench.sinks.files import RunFolder
from actbench.train import Parts, evaluate


@dataclass
class Progress:
    """What a run has come to so far."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.epochs[-1].number if self.epochs else 0

    @property
    def diverged(self) -> dict[int, int]:
        """Seed -> the epoch in which it diverged."""
        return {seed: epoch.number for epoch in self.epochs for seed in epoch.diverged}


def summarise(settings: Settings, parts: Parts, progress: Progress, *, finished: bool) -> RunSummary:
    """The sum of a run. The test set is scored here, once, and only if the run is at its end."""
    diverged = progress.diverged
    status: Status = "interrupted"
    if finished:
        status = "diverged" if len(diverged) == len(parts.seeds) else "completed"
    values: dict[str, list[float]] = {}
    if status == "completed":
        loss, accuracy = evaluate(parts, parts.splits.test_x, parts.splits.test_y)
        values["test_accuracy"], values["test_loss"] = accuracy, loss
    if progress.done:
        values |= _of_epoch(parts.seeds, progress.epochs[-1])
    train, validate, looks = (
        math.fsum(getattr(epoch, name) for epoch in progress.epochs)
        for name in ("train_seconds", "eval_seconds", "look_seconds")
    )
    trained = progress.done * len(parts.splits.train_y) * len(parts.seeds)
    case = Case(
        settings=settings, epochs=progress.epochs, device=parts.device.type, classes=parts.splits.classes,
        validation=len(parts.splits.val_y), steps=parts.steps_per_epoch,
    )  # fmt: skip
    return RunSummary(
        status=status,
        id=settings.id,
        label=settings.label,
        dataset=parts.splits.name,
        dataset_note=parts.splits.note,
        activation=settings.activation.name,
        upper_activation=settings.upper_activation.name,
        seeds=tuple(parts.seeds),
        diverged=diverged,
        epochs_done=progress.done,
        parameters=parameters_of_one(parts),
        metrics={name: _estimate(parts.seeds, of_seeds, diverged) for name, of_seeds in values.items()},
        seconds={"total": train + validate + looks, "train": train, "eval": validate, "looks": looks},
        samples_per_second=trained / train if train else 0.0,
        execution=parts.execution,
        device=machine.describe(parts.device),
        reason="" if finished else f"after epoch {progress.done} of {parts.epochs}",
        findings=tuple(diagnose(case)) if finished else None,
    )


def _of_epoch(seeds: Sequence[int], epoch: Epoch) -> dict[str, list[float]]:
    """Metric -> its value for each seed after an epoch."""
    by_seed = {record.seed: record for record in epoch.records}
    names = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "grad_norm")
    values = {name: [getattr(by_seed.get(seed), name, math.nan) for seed in seeds] for name in names}
    if epoch.layers:
        for ratio in RATIOS:
            values[f"{ratio}_ratio"] = [network_ratio(epoch.of_seed(seed), ratio) for seed in seeds]
    return values


def _estimate(seeds: Sequence[int], values: Sequence[float], diverged: dict[int, int]) -> Estimate:
    return Estimate.of([math.nan if seed in diverged else value for seed, value in zip(seeds, values, strict=True)])


def parameters_of_one(parts: Parts) -> int:
    """Parameters of one seed's network."""
    return sum(parameter.numel() for parameter in parts.network.parameters()) // len(parts.seeds)


# ---------------------------------------------------------------- of runs that failed


def failed(settings: Settings, parts: Parts, progress: Progress, error: Exception) -> RunSummary:
    """The sum of a run that came to `progress` and then to an error."""
    summary = summarise(settings, parts, progress, finished=False)
    return replace(summary, status="failed", reason=told(error, settings.trust))


def leave_failure(settings: Settings, folder: Path, error: Exception) -> None:
    """Writes what is known of a run that could not even be built. Of an earlier attempt nothing is lost."""
    stored.check_owner(folder, settings)
    summary = RunSummary(
        status="failed",
        id=settings.id,
        label=settings.label,
        dataset=settings.dataset.name,
        dataset_note="",
        activation=settings.activation.name,
        upper_activation=settings.upper_activation.name,
        seeds=tuple(settings.seeds),
        diverged={},
        epochs_done=0,
        parameters=0,
        metrics={},
        seconds={"total": 0.0, "train": 0.0, "eval": 0.0, "looks": 0.0},
        samples_per_second=0.0,
        execution="",
        device="",
        reason=told(error, settings.trust),
    )
    with contextlib.suppress(OSError, Failure):  # where another process is at work, it speaks for the folder
        folder.mkdir(parents=True, exist_ok=True)
        hold = Hold(folder)
        try:
            if not (folder / "settings.yaml").exists():
                RunFolder(folder).write_settings(settings)
            RunFolder(folder).write_summary(summary)
        finally:
            hold.release(complete=False)
