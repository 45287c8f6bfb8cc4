"""One job from start to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from actbench.custom.isolation import isolated
from actbench.errors import Failure, UserError, in_a_line
from actbench.records import Epoch, RunSummary
from actbench.run.int8 import score_stored, score_trained
from actbench.run.summary import Progress, failed, leave_failure, parameters_of_one, summarise
from actbench.settings import Settings
from actbench.sinks.terminal import Headline, TerminalSink
from actbench.store import reader
from actbench.store.folder import RunFolder
from actbench.store.lock import Hold
from actbench.train import Control, Training, fit, machine
from actbench.train.build import build
from actbench.train.origin import origins


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


@isolated()
def run(
    settings: Settings, folder: Path, *, console: Console, live: bool, name: str, brief: bool = False,
    stop: Stop | None = None, whole: Callable[[str], str] = str,
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
        whole: the command that tries some overrides, for what the diagnosis offers.

    Raises:
        UserError: the settings cannot be built, or the folder cannot be used.
    """
    machine.prepare(settings.train.threads)
    stop = stop or Stop()
    terminal = TerminalSink(console, live=live, name=name, brief=brief, whole=whole)
    try:
        training = build(settings)
    except (Exception, SystemExit) as error:  # of the user's code, perhaps
        leave_failure(settings, folder, error)
        raise
    reader.check_owner(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    hold = Hold(folder)
    progress = Progress()
    try:
        reader.tidy(folder, alone=True)
        finished = reader.completed(folder)  # by another process, while this one was building
        if finished is not None:
            if reader.lacks_int8(settings, finished):
                finished = score_stored(settings, training, finished, RunFolder(folder))
                terminal.remark("scored in INT8, from its checkpoints")
            terminal.end(finished, reader.last_layers(folder), folder, stored=True)
            return finished
        with stop.listening():
            return _run(settings, training, progress, _folder(folder, training), hold, terminal, stop)
    except (Exception, SystemExit) as error:  # of the user's code, perhaps
        with contextlib.suppress(OSError, Failure):  # what failed may be the disk, or that the folder is another's now
            hold.check()
            if reader.status(folder) not in ("completed", "diverged"):  # else what failed came after the run
                if not (folder / "settings.yaml").exists():  # without it the folder would belong to no run
                    RunFolder(folder).write_settings(settings)
                RunFolder(folder).write_summary(failed(settings, training, progress, error))
        raise
    finally:
        hold.release(complete=reader.status(folder) in ("completed", "diverged"))
        terminal.close()


def _run(
    settings: Settings, training: Training, progress: Progress, folder: RunFolder, hold: Hold, terminal: TerminalSink,
    stop: Stop,
) -> RunSummary:  # fmt: skip
    earlier = folder.read_resume(training.device, training.network.stacked)
    if earlier is not None:
        state, progress.epochs = earlier
        try:
            training.load_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"was written by another version of actbench: {in_a_line(error)}",
                where=str(folder.path / "resume.pt"),
                how="delete it to begin again",
            ) from error
    folder.write_settings(settings)
    surroundings = {**machine.environment(training.device), **training.workers.describe()}
    folder.write_environment({**surroundings, "resumed_after_epoch": progress.done})
    stop.steps = progress.done * training.steps_per_epoch
    terminal.begin(
        _headline(settings, training, folder.path, progress.done), stop, training.epochs * training.steps_per_epoch
    )
    sinks = Sinks(settings, folder, terminal, hold)
    try:
        sinks.again(progress.epochs)
        for epoch in fit(training, control=stop, done=progress.done, diverged=list(progress.diverged)):
            progress.epochs.append(_with_origins(settings, training, epoch, folder, stop) if epoch.diverged else epoch)
            sinks.epoch(training, progress)
        terminal.executed(training.execution)
        finished = progress.done == training.epochs or len(progress.diverged) == len(training.seeds)
        summary = summarise(settings, training, progress, finished=finished)
        if reader.lacks_int8(settings, summary):
            summary = score_trained(settings, training, summary, folder)
        sinks.end(training, summary, progress)
    finally:
        with contextlib.suppress(OSError):  # after `end` there is nothing to write; before, what failed is on its way
            sinks.close()
    return summary


def _folder(path: Path, training: Training) -> RunFolder:
    return RunFolder(path, {own.name: own.row for own in training.measurements})


def _with_origins(settings: Settings, training: Training, epoch: Epoch, folder: RunFolder, stop: Stop) -> Epoch:
    """The epoch with what was first not finite in it, which repeating it from the state before it shows."""
    again = build(settings)
    if epoch.number > 1:
        earlier = folder.read_resume(training.device, training.network.stacked)
        if earlier is None:
            return epoch
        again.load_state(earlier[0])
    first = origins(again, epoch.number, epoch.diverged, stop)
    return replace(epoch, origins=tuple(tuple(origin) for origin in first))


class Sinks:
    """Everywhere that records go, in the order that a crash at any moment leaves something to go on from."""

    def __init__(self, settings: Settings, folder: RunFolder, terminal: TerminalSink, hold: Hold | None = None) -> None:
        self.settings, self.folder, self.terminal, self.hold = settings, folder, terminal, hold
        self.tensorboard: Any = _tensorboard(settings, folder.path, terminal.name) if settings.tensorboard else None

    def again(self, epochs: Sequence[Epoch]) -> None:
        """The epochs of an earlier process, if there was one."""
        self.folder.write_epochs(epochs)
        for epoch in epochs if self.tensorboard else ():
            self.tensorboard.write_epoch(epoch)

    def epoch(self, training: Training, progress: Progress) -> None:
        """The last epoch of `progress`."""
        epoch = progress.epochs[-1]
        if self.hold:
            self.hold.check()
        self.folder.write_epochs([epoch])
        if self.tensorboard:
            self.tensorboard.write_epoch(epoch)
        if epoch.number > 0:  # nothing has been trained before
            self.folder.write_resume(training.state(), progress.epochs, training.device, training.network.stacked)
        self.terminal.epoch(epoch)

    def end(self, training: Training, summary: RunSummary, progress: Progress) -> None:
        """What a run came to; `summary.json` comes last, as the sign that everything else is there."""
        self.terminal.close()
        if self.hold:
            self.hold.check()
        finished = summary.status != "interrupted"
        if finished:
            self.folder.write_checkpoints(training.seeds, training.network.state_dicts())
        if self.tensorboard:
            if finished:
                from actbench.sinks.activations import draw

                draw(self.settings, training, self.tensorboard, progress.done, diverged=summary.diverged)
                self.tensorboard.write_findings(summary.findings or (), progress.done)
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


def _headline(settings: Settings, training: Training, folder: Path, done: int) -> Headline:
    splits = training.splits
    return Headline(
        label=settings.label,
        seeds=tuple(training.seeds),
        epochs=training.epochs,
        dataset=splits.name,
        note=splits.note,
        samples=(len(splits.train_y), len(splits.val_y), len(splits.test_y)),
        device=machine.describe(training.device),
        execution=training.execution,
        parameters=parameters_of_one(training),
        folder=folder,
        resumed_from=done,
    )


def _tensorboard(settings: Settings, folder: Path, name: str) -> Any:  # a TensorBoardSink, whose import takes a while
    from actbench.sinks.tensorboard import TensorBoardSink, hyperparameters

    events = folder / "tensorboard"
    for earlier in events.rglob("*tfevents*"):  # of an interrupted run: its epochs are written again
        earlier.unlink(missing_ok=True)
    return TensorBoardSink(
        events, seeds=settings.seeds, hyperparameters=hyperparameters(settings), name=name, run_id=settings.id,
        note=settings.dataset_note,
    )  # fmt: skip
