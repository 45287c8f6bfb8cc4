"""One job from start to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from torch import Tensor

from actbench import machine, stored
from actbench.build import build
from actbench.errors import Failure, UserError, in_a_line
from actbench.isolation import isolated
from actbench.records import Epoch, RunSummary
from actbench.run.hold import Hold
from actbench.run.inside import draw, hyperparameters, with_int8
from actbench.run.summary import Progress, failed, leave_failure, parameters_of_one, summarise
from actbench.settings import Settings
from actbench.sinks.files import RunFolder
from actbench.sinks.terminal import Headline, TerminalSink
from actbench.train import Control, Parts, fit
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
        leave_failure(settings, folder, error)
        raise
    settings = settings.with_dataset(parts.splits.name) if settings.dataset.name == "auto" else settings
    stored.check_owner(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    hold = Hold(folder)
    progress = Progress()
    try:
        stored.tidy(folder, alone=True)
        finished = stored.completed(folder)  # by another process, while this one was building
        if finished is not None:
            if stored.lacks_int8(settings, finished):
                finished = _score_stored(settings, parts, finished, RunFolder(folder))
                terminal.remark("scored in INT8, from its checkpoints")
            terminal.end(finished, stored.last_layers(folder), folder, stored=True)
            return finished
        with stop.listening():
            return _run(settings, parts, progress, RunFolder(folder), hold, terminal, stop)
    except Exception as error:
        with contextlib.suppress(OSError, Failure):  # what failed may be the disk, or that the folder is another's now
            hold.check()
            if stored.status(folder) not in ("completed", "diverged"):  # else what failed came after the run
                if not (folder / "settings.yaml").exists():  # without it the folder would be nobody's
                    RunFolder(folder).write_settings(settings)
                RunFolder(folder).write_summary(failed(settings, parts, progress, error))
        raise
    finally:
        hold.release(complete=stored.status(folder) in ("completed", "diverged"))
        terminal.close()


def _run(
    settings: Settings, parts: Parts, progress: Progress, folder: RunFolder, hold: Hold, terminal: TerminalSink,
    stop: Stop,
) -> RunSummary:  # fmt: skip
    earlier = folder.read_resume(parts.device, parts.network.stacked)
    if earlier is not None:
        state, progress.epochs = earlier
        try:
            parts.load_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"was written by another version of actbench: {in_a_line(error)}",
                where=str(folder.path / "resume.pt"),
                how="delete it to begin again",
            ) from error
    folder.write_settings(settings)
    surroundings = {**machine.environment(parts.device), **parts.workers.describe()}
    folder.write_environment({**surroundings, "resumed_after_epoch": progress.done})
    stop.steps = progress.done * parts.steps_per_epoch
    terminal.begin(_headline(settings, parts, folder.path, progress.done), stop, parts.epochs * parts.steps_per_epoch)
    sinks = Sinks(settings, folder, terminal, hold)
    try:
        sinks.again(progress.epochs)
        for epoch in fit(parts, control=stop, done=progress.done, diverged=list(progress.diverged)):
            progress.epochs.append(_with_origins(settings, parts, epoch, folder, stop) if epoch.diverged else epoch)
            sinks.epoch(parts, progress)
        terminal.executed(parts.execution)
        finished = progress.done == parts.epochs or len(progress.diverged) == len(parts.seeds)
        summary = summarise(settings, parts, progress, finished=finished)
        if stored.lacks_int8(settings, summary):
            states = dict(zip(parts.seeds, parts.network.state_dicts(), strict=True))
            summary = _score_int8(settings, parts, summary, states, folder)
        sinks.end(parts, summary, progress)
    finally:
        with contextlib.suppress(OSError):  # after `end` there is nothing to write; before, what failed is on its way
            sinks.close()
    return summary


def _with_origins(settings: Settings, parts: Parts, epoch: Epoch, folder: RunFolder, stop: Stop) -> Epoch:
    """The epoch with what was first not finite in it, which repeating it from the state before it shows."""
    again = build(settings)
    if epoch.number > 1:
        earlier = folder.read_resume(parts.device, parts.network.stacked)
        if earlier is None:
            return epoch
        again.load_state(earlier[0])
    found = origins(again, epoch.number, epoch.diverged, stop)
    return replace(epoch, origins=tuple(tuple(origin) for origin in found))


def _score_int8(
    settings: Settings, parts: Parts, summary: RunSummary, states: dict[int, dict[str, Tensor]], folder: RunFolder
) -> RunSummary:
    trained = {seed: state for seed, state in states.items() if seed not in summary.diverged}
    summary, records = with_int8(settings, parts.splits, summary, trained)
    folder.write_quantised(records)
    return summary


def _score_stored(settings: Settings, parts: Parts, summary: RunSummary, folder: RunFolder) -> RunSummary:
    """INT8 metrics for a run that was complete without them, from its checkpoints."""
    summary = _score_int8(settings, parts, summary, folder.read_checkpoints(parts.seeds), folder)
    folder.write_settings(replace(stored.settings_of(folder.path), quantise=settings.quantise))
    folder.write_summary(summary)
    return summary


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

    def epoch(self, parts: Parts, progress: Progress) -> None:
        """The last epoch of `progress`."""
        epoch = progress.epochs[-1]
        if self.hold:
            self.hold.check()
        self.folder.write_epochs([epoch])
        if self.tensorboard:
            self.tensorboard.write_epoch(epoch)
        if epoch.number > 0:  # nothing has been trained before
            self.folder.write_resume(parts.state(), progress.epochs, parts.device, parts.network.stacked)
        self.terminal.epoch(epoch)

    def end(self, parts: Parts, summary: RunSummary, progress: Progress) -> None:
        """The sum of a run; `summary.json` comes last, as the sign that everything else is there."""
        self.terminal.close()
        if self.hold:
            self.hold.check()
        finished = summary.status != "interrupted"
        if finished:
            self.folder.write_checkpoints(parts.seeds, parts.network.state_dicts())
        if self.tensorboard:
            if finished:
                draw(self.settings, parts, self.tensorboard, progress.done, diverged=summary.diverged)
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
        parameters=parameters_of_one(parts),
        folder=folder,
        resumed_from=done,
    )


def _tensorboard(settings: Settings, folder: Path, name: str) -> Any:  # a TensorBoardSink, whose import takes a while
    from actbench.sinks.tensorboard import TensorBoardSink

    events = folder / "tensorboard"
    for earlier in events.rglob("*tfevents*"):  # of an interrupted run: its epochs are written again
        earlier.unlink(missing_ok=True)
    return TensorBoardSink(
        events, seeds=settings.seeds, hyperparameters=hyperparameters(settings), name=name, run_id=settings.id
    )
