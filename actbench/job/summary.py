"""The summary of a run: complete, interrupted, diverged or failed."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actbench.activations import traits
from actbench.custom.tracebacks import explain
from actbench.diagnosis import RunHistory, diagnose
from actbench.measures import classes
from actbench.measures.quantities import metrics_of
from actbench.measures.scores import TestScores
from actbench.models import Components
from actbench.records import Epoch, Estimate, RunSummary, Status, Traits
from actbench.settings import Settings
from actbench.store import reader
from actbench.store.folder import RunFolder
from actbench.train import Means, Training, evaluate, machine


@dataclass
class Progress:
    """The epochs of a run so far."""

    epochs: list[Epoch] = field(default_factory=list)

    @property
    def done(self) -> int:
        return self.epochs[-1].number if self.epochs else 0

    @property
    def diverged(self) -> dict[int, int]:
        """Seed -> the epoch in which it diverged."""
        return {seed: epoch.number for epoch in self.epochs for seed in epoch.diverged}


def score(training: Training, progress: Progress) -> Means | None:
    """Scores the test set, once, after the last epoch; None where every seed diverged."""
    if len(progress.diverged) == len(training.seeds):
        return None
    return evaluate(training, training.splits.test_x, training.splits.test_y)


def summarise(
    settings: Settings, training: Training, progress: Progress, *, finished: bool, test: Means | None = None
) -> RunSummary:
    """The summary of a run; `test` has the scores of one that is complete (`finished`)."""
    diverged = progress.diverged
    status: Status = "interrupted"
    if finished:
        status = "diverged" if test is None else "completed"
    values: dict[str, list[float]] = {}
    if test is not None:
        rows = [TestScores(seed, test.accuracies[s], test.losses[s]) for s, seed in enumerate(training.seeds)]
        values |= metrics_of(TestScores, rows, training.seeds)
        of_classes = classes.score(training.splits, test.hits, training.seeds)
        balanced = [row for row in of_classes if isinstance(row, classes.BalancedScore)]
        values |= metrics_of(classes.BalancedScore, balanced, training.seeds) if balanced else {}
    if progress.done:
        for kind, of_kind in progress.epochs[-1].tables().items():
            values |= metrics_of(kind, of_kind, training.seeds)
    train, validate, looks = (
        math.fsum(getattr(epoch, name) for epoch in progress.epochs)
        for name in ("train_seconds", "eval_seconds", "look_seconds")
    )
    trained = progress.done * len(training.splits.train_y) * len(training.seeds)
    history = RunHistory(
        settings=settings, epochs=progress.epochs, device=training.device.type, classes=training.splits.classes,
        validation=len(training.splits.val_y), steps=training.steps_per_epoch,
        images=len(training.splits.inputs) == 3, traits=_traits(settings, training) if finished else {},
    )  # fmt: skip
    return RunSummary(
        status=status,
        id=settings.id,
        label=settings.label,
        dataset=training.splits.name,
        dataset_note=training.splits.note,
        activation=settings.activation.name,
        upper_activation=settings.upper_activation.name,
        seeds=tuple(training.seeds),
        diverged=diverged,
        epochs_done=progress.done,
        parameters=parameters_of_one(training),
        metrics=estimates(values, training.seeds, diverged),
        seconds={"total": train + validate + looks, "train": train, "eval": validate, "looks": looks},
        samples_per_second=trained / train if train else 0.0,
        execution=training.execution,
        device=machine.describe(training.device),
        reason="" if finished else f"after epoch {progress.done} of {training.epochs}",
        findings=tuple(diagnose(history)) if finished else None,
    )


def _traits(settings: Settings, training: Training) -> dict[str, Traits]:
    """Those of what was chosen; with activation=own, of the kind of activation that stands at most sites."""
    if settings.activation.target is not None:
        return traits_of(training.components)
    own = [*training.initial_activations.values()]
    kinds = [repr(module) for module in own]
    return {"activation": traits.measure(max(own, key=lambda module: kinds.count(repr(module))))} if own else {}


def traits_of(components: Components) -> dict[str, Traits]:
    """The measured traits of a run's untrained activations: `activation` and, if there is one, `upper_activation`."""
    factories = {"activation": components.activation, "upper_activation": components.upper_activation}
    return {group: traits.measure(make(_UNITS)) for group, make in factories.items() if make is not None}


_UNITS = 8  # units of the layer for which an activation is built when its traits are measured


def estimates(
    values: Mapping[str, Sequence[float]], seeds: Sequence[int], diverged: Container[int]
) -> dict[str, Estimate]:
    """Metric -> its estimate, from its value for each seed; those of seeds that diverged count as missing."""
    return {
        name: Estimate.of(
            [math.nan if seed in diverged else value for seed, value in zip(seeds, of_seeds, strict=True)]
        )
        for name, of_seeds in values.items()
    }


def parameters_of_one(training: Training) -> int:
    """Parameters of one seed's network."""
    return sum(parameter.numel() for parameter in training.network.parameters()) // len(training.seeds)


# ---------------------------------------------------------------- runs that failed


def leave_failure(
    settings: Settings, folder: Path, error: BaseException, training: Training | None, progress: Progress
) -> None:
    """Writes the summary of a run that failed after the epochs in `progress`, or could not even be built.

    The caller holds the folder. The files of an earlier attempt are kept, and the results of a run that was complete.
    """
    if reader.status(folder) in ("completed", "diverged"):
        return  # the error came after the run
    if not (folder / "settings.yaml").exists():  # without it the folder would belong to no run
        RunFolder(folder).write_settings(settings)
    RunFolder(folder).write_summary(_failed(settings, error, training, progress))


def _failed(
    settings: Settings, error: BaseException, training: Training | None, progress: Progress
) -> RunSummary:  # fmt: skip
    reason = explain(error, settings.trust)
    if training is not None:
        return replace(summarise(settings, training, progress, finished=False), status="failed", reason=reason)
    return RunSummary(
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
        reason=reason,
    )
