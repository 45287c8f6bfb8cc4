"""One job: build, fit, test, persist, and say how it ended."""

from __future__ import annotations

import contextlib
import math
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from filelock import FileLock, Timeout
from rich.console import Console

from actbench import machine, stored
from actbench.build import activation_factory, build
from actbench.errors import UserError, in_a_line
from actbench.naming import shown
from actbench.probes import preactivation_histograms
from actbench.probes.units import slopes
from actbench.records import RATIOS, Epoch, Estimate, RunSummary, Status, network_ratio
from actbench.settings import Settings
from actbench.sinks.files import RunFolder
from actbench.sinks.terminal import Headline, TerminalSink
from actbench.train import Control, Parts, evaluate, fit


@dataclass
class Stop(Control):
    """A `Control` that SIGINT and SIGTERM set; `signal` is the one that came."""

    signal: int = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block the first signal asks for a stop after the running step; the second one is as always."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def ask(number: int, _frame: FrameType | None) -> None:
            self.stop, self.signal = True, number
            signal.signal(number, before[signal.Signals(number)])

        try:
            for number in before:
                signal.signal(number, ask)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


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


def run(
    settings: Settings, folder: Path, *, console: Console, live: bool, name: str, brief: bool = False,
    stop: Stop | None = None,
) -> RunSummary:  # fmt: skip
    """Trains the seeds of one configuration and leaves its results in `folder`.

    A run that is complete there is not repeated, one that was interrupted or failed goes on after its last epoch.

    Args:
        folder: the run's own folder; one of another configuration is not touched.
        console: where to say how it goes.
        live: a moving progress bar instead of a line per epoch.
        name: what people call the run.
        brief: one of many: every line begins with the name, and a line at the end takes the place of the tables.
        stop: what may interrupt the run.

    Raises:
        UserError: the settings cannot be built, or the folder cannot be used.
    """
    machine.prepare(settings.train.threads)
    stop = stop or Stop()
    terminal = TerminalSink(console, live=live, name=name, brief=brief)
    try:
        parts = build(settings)
    except Exception as error:
        _leave_failure(settings, folder, error)
        raise
    settings = settings.with_dataset(parts.splits.name) if settings.dataset.name == "auto" else settings
    stored.check_owner(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError("another process is working in it", where=str(folder), how="wait for it") from None
    progress = Progress()
    try:
        stored.tidy(folder)
        finished = stored.completed(folder)  # by another process, while this one was building
        if finished is not None:
            terminal.end(finished, stored.last_layers(folder), folder, stored=True)
            return finished
        with stop.listening():
            return _run(settings, parts, progress, RunFolder(folder), terminal, stop)
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk is what may have failed
            RunFolder(folder).write_summary(_failed(settings, parts, progress, error))
        raise
    finally:
        lock.release()
        terminal.close()


def _run(
    settings: Settings, parts: Parts, progress: Progress, folder: RunFolder, terminal: TerminalSink, stop: Stop
) -> RunSummary:
    earlier = folder.read_resume(parts.device, parts.network.stacked)
    if earlier is not None:
        state, progress.epochs = earlier
        try:
            parts.load_state(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"was written by another version of actbench: {in_a_line(error)}",
                where=str(folder.path / "resume.pt"),
                how="delete it to begin again",
            ) from error
    folder.write_settings(settings)
    folder.write_environment({**machine.environment(parts.device), "resumed_after_epoch": progress.done})
    stop.steps = progress.done * parts.steps_per_epoch
    terminal.begin(_headline(settings, parts, folder.path, progress.done), stop, parts.epochs * parts.steps_per_epoch)
    sinks = Sinks(settings, folder, terminal)
    try:
        sinks.again(progress.epochs)
        for epoch in fit(parts, control=stop, done=progress.done, diverged=list(progress.diverged)):
            progress.epochs.append(epoch)
            sinks.epoch(parts, progress)
        terminal.executed(parts.execution)
        finished = progress.done == parts.epochs or len(progress.diverged) == len(parts.seeds)
        summary = summarise(settings, parts, progress, finished=finished)
        sinks.end(parts, summary, progress)
    finally:
        sinks.close()
    return summary


class Sinks:
    """Everywhere that records go, in the order that a crash at any moment leaves something to go on from."""

    def __init__(self, settings: Settings, folder: RunFolder, terminal: TerminalSink) -> None:
        self.settings, self.folder, self.terminal = settings, folder, terminal
        self.tensorboard: Any = _tensorboard(settings, folder.path, terminal.name) if settings.tensorboard else None

    def again(self, epochs: Sequence[Epoch]) -> None:
        """The epochs of an earlier process, if there was one."""
        self.folder.write_epochs(epochs)
        for epoch in epochs if self.tensorboard else ():
            self.tensorboard.write_epoch(epoch)

    def epoch(self, parts: Parts, progress: Progress) -> None:
        """The last epoch of `progress`."""
        epoch = progress.epochs[-1]
        self.folder.write_epochs([epoch])
        if self.tensorboard:
            self.tensorboard.write_epoch(epoch)
        if epoch.number > 0:  # nothing has been trained before
            self.folder.write_resume(parts.state(), progress.epochs, parts.device, parts.network.stacked)
        self.terminal.epoch(epoch)

    def end(self, parts: Parts, summary: RunSummary, progress: Progress) -> None:
        """The sum of a run; `summary.json` comes last, as the sign that everything else is there."""
        self.terminal.close()
        finished = summary.status != "interrupted"
        if finished:
            self.folder.write_checkpoints(parts.seeds, parts.network.state_dicts())
        if self.tensorboard:
            if finished:
                _draw(self.settings, parts, self.tensorboard, progress.done)
                self.tensorboard.write_summary(summary)
            self.tensorboard.close()
        self.folder.write_summary(summary)
        if finished:
            self.folder.remove_resume()
            self.terminal.end(summary, progress.epochs[-1].layers, self.folder.path)

    def close(self) -> None:
        self.terminal.close()
        if self.tensorboard:
            self.tensorboard.close()


def _failed(settings: Settings, parts: Parts, progress: Progress, error: Exception) -> RunSummary:
    summary = summarise(settings, parts, progress, finished=False)
    return replace(summary, status="failed", reason=in_a_line(error))


def _leave_failure(settings: Settings, folder: Path, error: Exception) -> None:
    """What is known of a run that could not even be built. Of an earlier attempt nothing is lost."""
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
        seconds={"total": 0.0, "train": 0.0, "eval": 0.0},
        samples_per_second=0.0,
        execution="",
        device="",
        reason=in_a_line(error),
    )
    with contextlib.suppress(OSError, Timeout):  # where another process is at work, it speaks for the folder
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            if not (folder / "settings.yaml").exists():
                RunFolder(folder).write_settings(settings)
            RunFolder(folder).write_summary(summary)


def summarise(settings: Settings, parts: Parts, progress: Progress, *, finished: bool) -> RunSummary:
    """The sum of a run. The test set is scored here, once, and only if the run is at its end."""
    diverged = progress.diverged
    status: Status = "interrupted"
    if finished:
        status = "diverged" if len(diverged) == len(parts.seeds) else "completed"
    last = progress.epochs[-1] if progress.done else None
    values: dict[str, list[float]] = {}
    if status == "completed":
        loss, accuracy = evaluate(parts, parts.splits.test_x, parts.splits.test_y)
        values["test_accuracy"], values["test_loss"] = accuracy, loss
    if last is not None:
        by_seed = {record.seed: record for record in last.records}
        for name in ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "grad_norm"):
            values[name] = [getattr(by_seed.get(seed), name, math.nan) for seed in parts.seeds]
        if last.layers:
            for ratio in RATIOS:
                values[f"{ratio}_ratio"] = [network_ratio(last.of_seed(seed), ratio) for seed in parts.seeds]
    train = sum(epoch.train_seconds for epoch in progress.epochs)
    validate = sum(epoch.eval_seconds for epoch in progress.epochs)
    trained = progress.done * len(parts.splits.train_y) * len(parts.seeds)
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
        parameters=_parameters_of_one(parts),
        metrics={name: _estimate(parts.seeds, of_seeds, diverged) for name, of_seeds in values.items()},
        seconds={"total": train + validate, "train": train, "eval": validate},
        samples_per_second=trained / train if train else 0.0,
        execution=parts.execution,
        device=machine.describe(parts.device),
        reason="" if finished else f"after epoch {progress.done} of {parts.epochs}",
    )


def _estimate(seeds: Sequence[int], values: Sequence[float], diverged: dict[int, int]) -> Estimate:
    return Estimate.of([math.nan if seed in diverged else value for seed, value in zip(seeds, values, strict=True)])


def _parameters_of_one(parts: Parts) -> int:
    return sum(parameter.numel() for parameter in parts.network.parameters()) // len(parts.seeds)


def _headline(settings: Settings, parts: Parts, folder: Path, done: int) -> Headline:
    splits = parts.splits
    return Headline(
        label=settings.label,
        seeds=tuple(parts.seeds),
        epochs=parts.epochs,
        dataset=splits.name,
        note=splits.note,
        samples=(len(splits.train_y), len(splits.val_y), len(splits.test_y)),
        device=machine.describe(parts.device),
        execution=parts.execution,
        parameters=_parameters_of_one(parts),
        folder=folder,
        resumed_from=done,
    )


# ---------------------------------------------------------------- TensorBoard


def _tensorboard(settings: Settings, folder: Path, name: str) -> Any:  # a TensorBoardSink, whose import takes a while
    from actbench.sinks.tensorboard import TensorBoardSink

    events = folder / "tensorboard"
    shutil.rmtree(events, ignore_errors=True)  # an interrupted run's: its epochs are written again
    return TensorBoardSink(
        events, seeds=settings.seeds, hyperparameters=hyperparameters(settings), name=name, run_id=settings.id
    )


def hyperparameters(settings: Settings) -> dict[str, str | bool | int | float]:
    """The settings as flat values: `activation`, `optimizer`, `optimizer.lr`, ..."""
    return {
        key: value if isinstance(value, (bool, int, float, str)) else shown(value)
        for key, value in settings.flat().items()
    }


def _draw(settings: Settings, parts: Parts, tensorboard: Any, step: int) -> None:
    """A picture of each activation as configured, and how the pre-activations are distributed in the end."""
    from actbench.sinks.pictures import draw_activation

    z = torch.linspace(-5, 5, 401)
    for group, choice in (("activation", settings.activation), ("upper_activation", settings.upper_activation)):
        if choice.target is not None:
            module = activation_factory(choice, settings.trust, group)(1)
            f, slope = slopes(module, z[:, None])
            curves = (tuple(values.flatten().tolist()) for values in (z, f, slope))
            tensorboard.write_activation(choice.name, draw_activation(choice.name, *curves), step)
    sample = parts.splits.val_x[: parts.eval_batch_size]
    tensorboard.write_histograms(preactivation_histograms(parts.network, sample), step)
