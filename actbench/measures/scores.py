"""Losses, accuracies and the course of training: `history.csv`, and the test scores in `summary.json`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from actbench.measures.quantities import OfEpoch, OfSeed, measured

BUSY = 0.1  # of `EpochRecord.waiting`: threads that wait for a core as long as that take measurably longer


@dataclass(frozen=True)
class EpochRecord(OfEpoch):
    """One seed in one epoch; a row of `history.csv`."""

    table: ClassVar[str] = "history"
    always: ClassVar[bool] = True
    taken: ClassVar[str] = "every epoch"
    order: ClassVar[int] = 10
    reported: ClassVar[bool] = False

    lr: float = measured("Learning rate of the epoch's last step.", title="learning rate", tag="lr")
    train_loss: float = measured(
        "Mean cross-entropy of the epoch's training samples, each as it was trained on.",
        title="training loss", unit="nats", better="lower", digits=3, tag="loss/train", summary="train_loss", place=5,
        nan_is_a_result=True,
    )  # fmt: skip
    train_accuracy: float = measured(
        "Share of the epoch's training samples that were classified correctly, each as it was trained on.",
        title="training accuracy", unit="%", better="higher", tag="accuracy/train", summary="train_accuracy",
    )  # fmt: skip
    val_loss: float = measured(
        "Mean cross-entropy of the validation split, in evaluation mode.",
        title="validation loss", unit="nats", better="lower", digits=3, tag="loss/val", summary="val_loss", place=4,
        nan_is_a_result=True,
    )  # fmt: skip
    val_accuracy: float = measured(
        "Share of the validation split that is classified correctly, in evaluation mode.",
        title="validation accuracy", short="val. acc.",
        unit="%", better="higher", tag="accuracy/val", summary="val_accuracy", place=2,
    )  # fmt: skip
    grad_norm: float = measured(
        "Euclidean norm of the whole gradient before clipping, mean over up to 8 steps of the epoch.",
        title="gradient norm", tag="grad_norm/all", summary="grad_norm",
    )  # fmt: skip
    seconds: float = measured("Wall time of the epoch for all seeds together, validation included.", unit="s")
    clipped: float = measured(
        "Share of the steps at which the gradient's norm was taken in which clipping changed it; NaN without clipping.",
        default=math.nan, percent=True,
    )  # fmt: skip
    waiting: float = measured(
        "Share of the time in which the run's threads were ready to go on in which they waited for a core, because "
        "all of them were taken; NaN where the system does not report it.",
        title="waiting for a core", default=math.nan, percent=True,
    )  # fmt: skip


@dataclass(frozen=True)
class TestScores(OfSeed):
    """The scores of one trained seed over the test set, in `summary.json` alone."""

    __test__: ClassVar[bool] = False  # pytest takes it for a test
    taken: ClassVar[str] = "once, at the end"
    order: ClassVar[int] = 0

    test_accuracy: float = measured(
        "Share of the test set that is classified correctly after training.",
        title="test accuracy", unit="%", better="higher", tag="accuracy/test", summary="test_accuracy", place=1,
    )  # fmt: skip
    test_loss: float = measured(
        "Mean cross-entropy of the test set after training.",
        title="test loss", unit="nats", better="lower", digits=3, tag="loss/test", summary="test_loss", place=3,
        nan_is_a_result=True,
    )  # fmt: skip
