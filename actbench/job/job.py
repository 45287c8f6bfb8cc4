"""One run from start to end: builds, trains, hands each epoch to the sinks, and leaves a summary."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actbench.custom.isolation import isolated
from actbench.datasets.remarks import described
from actbench.errors import Failure, UserError, in_a_line
from actbench.job import sites
from actbench.job.activations import Look, look, look_before, preactivations
from actbench.job.int8 import score_stored, score_trained
from actbench.job.stopping import Stop
from actbench.job.summary import Progress, leave_failure, parameters_of_one, score, summarise
from actbench.measures import classes
from actbench.records import Epoch, RunSummary
from actbench.settings import Settings
from actbench.sinks.terminal import Headline, Terminal
from actbench.store import reader
from actbench.store.attempts import check_version
from actbench.store.folder import RunFolder
from actbench.store.lock import Held, Hold
from actbench.train import Training, fit, machine
from actbench.train.build import build
from actbench.train.origin import origins

# Processes that may be killed in a row in the same epoch of a run, before it counts as failed. A run that needs too
# much memory kills each one; but nothing tells that from a machine that is lost or a process that somebody kills,
# after which another process has to go on. So it is more than chance brings about within one epoch.
MOST_KILLED = 5


@isolated()
def run(
    settings: Settings, folder: Path, *, terminal: Terminal, stop: Stop | None = None, hold: Hold | None = None,
    overrides: Sequence[str] = (),
) -> RunSummary:  # fmt: skip
    """Trains the seeds of one configuration and leaves its results in `folder`.

    A run that is complete there is not repeated; one that was interrupted or failed is resumed after its last epoch.

    Args:
        settings: of the run.
        folder: the run's own folder; a folder that belongs to another configuration is not touched.
        terminal: says how it goes.
        stop: what may interrupt the run.
        hold: of the folder, if the caller has it; it is released.
        overrides: from which the settings were composed, in Hydra's grammar; by them the run can be planned again.

    Raises:
        UserError: the settings cannot be built, or the folder cannot be used.
        Held: another process is working in the folder.
    """
    stop = stop or Stop()
    with stop.deferring():
        return _hold_and_run(settings, folder, terminal, stop, hold, overrides)


def _hold_and_run(
    settings: Settings, folder: Path, terminal: Terminal, stop: Stop, hold: Hold | None, overrides: Sequence[str]
) -> RunSummary:
    machine.prepare(settings.train.threads)
    reader.check_owner(folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    hold = hold or Hold(folder)
    training, progress = None, Progress()
    try:
        reader.tidy(folder, alone=True)
        finished = reader.completed(folder)  # by another process, perhaps, since it was looked at
        if finished is not None and not reader.lacks_int8(settings, finished):
            terminal.end(finished, reader.last_layers(folder), folder, stored=True)
            return finished
        check_version(folder, hold.before)
        hold.begin()
        _check_killed(folder, hold)
        training = build(settings)
        if finished is not None:
            finished = score_stored(settings, training, finished, RunFolder(folder))
            terminal.remark("scored in INT8, from its checkpoints")
            terminal.end(finished, reader.last_layers(folder), folder, stored=True)
            return finished
        with stop.listening():
            return _run(settings, training, progress, _folder(folder, training), hold, terminal, stop, overrides)
    except Held:
        raise
    except (Exception, SystemExit) as error:  # of the user's code, perhaps
        with contextlib.suppress(OSError, Failure):  # perhaps the disk failed, or another process has the folder
            hold.check()
            leave_failure(settings, folder, error, training, progress)
            hold.fail()
        raise
    finally:
        hold.release(complete=reader.status(folder) in ("completed", "diverged"))
        terminal.close()


def _check_killed(folder: Path, hold: Hold) -> None:
    """A job that kills every process that takes it would end all of those that share a study, one after the other."""
    if hold.killed >= MOST_KILLED:
        raise Failure(
            f"its process was killed {hold.killed} times in the same epoch (out of memory?)", where=str(folder),
            how="typed again, the command tries it again",
        )  # fmt: skip


def _run(
    settings: Settings, training: Training, progress: Progress, folder: RunFolder, hold: Hold, terminal: Terminal,
    stop: Stop, overrides: Sequence[str],
) -> RunSummary:  # fmt: skip
    earlier = folder.read_resume(training.device, training.network.stacked)
    untrained = look_before(training) if training.probe else {}  # it is the same network before a resumed run, too
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
    data = described(training.splits, settings.dataset.params.get("scaling"))
    surroundings |= {"data": data, "resumed_after_epoch": progress.done, "overrides": [*overrides]}
    folder.write_environment(surroundings)
    stop.steps = progress.done * training.steps_per_epoch
    terminal.begin(
        _headline(settings, training, folder.path, progress.done), stop, training.epochs * training.steps_per_epoch
    )
    sites.show(training, folder, terminal)
    sinks = Sinks(settings, folder, terminal, hold)
    try:
        sinks.again(progress.epochs, untrained)
        for epoch in fit(training, control=stop, done=progress.done, diverged=list(progress.diverged)):
            progress.epochs.append(_with_origins(settings, training, epoch, folder, stop) if epoch.diverged else epoch)
            sinks.epoch(training, progress)
        terminal.executed(training.execution)
        if training.workers.shared:  # its times are not those of a run that has all cores
            folder.write_environment({**surroundings, **training.workers.describe()})
        finished = progress.done == training.epochs or len(progress.diverged) == len(training.seeds)
        test = score(training, progress) if finished else None
        summary = summarise(settings, training, progress, finished=finished, test=test)
        if stop.pruned and not (finished or stop.signal):
            summary = replace(summary, status="pruned", reason=stop.pruned)
        if test is not None:
            sound = [place for place, seed in enumerate(training.seeds) if seed not in summary.diverged]
            seeds = [training.seeds[place] for place in sound]
            folder.write_correctness(seeds, test.hits[sound])
            folder.write_rows(classes.score(training.splits, test.hits[sound], seeds))
        if reader.lacks_int8(settings, summary):
            summary = score_trained(settings, training, summary, folder)
        sinks.end(training, summary, progress, untrained)
    finally:
        with contextlib.suppress(OSError):  # after `end` nothing is left to write; before it, an error is being raised
            sinks.close()
    return summary


def _folder(path: Path, training: Training) -> RunFolder:
    return RunFolder(path, {own.name: own.row for own in training.measurements})


def _with_origins(settings: Settings, training: Training, epoch: Epoch, folder: RunFolder, stop: Stop) -> Epoch:
    """The epoch with the origin of each seed's divergence, found by repeating the epoch from the state before it."""
    again = build(settings)
    if epoch.number > 1:
        earlier = folder.read_resume(training.device, training.network.stacked)
        if earlier is None:
            return epoch
        again.load_state(earlier[0])
    first = origins(again, epoch.number, epoch.diverged, stop)
    return replace(epoch, origins=tuple(tuple(origin) for origin in first))


class Sinks:
    """Writes records to the folder, TensorBoard and the terminal, in an order that allows resuming after any crash."""

    def __init__(self, settings: Settings, folder: RunFolder, terminal: Terminal, hold: Hold | None = None) -> None:
        self.settings, self.folder, self.terminal, self.hold = settings, folder, terminal, hold
        self.tensorboard: Any = _tensorboard(settings, folder.path, terminal.name) if settings.tensorboard else None

    def again(self, epochs: Sequence[Epoch], untrained: Look) -> None:
        """Writes the epochs of an earlier process, if there was one, and what the untrained networks saw."""
        self.folder.write_epochs(epochs)
        if self.tensorboard:
            from actbench.sinks.activations import write_preactivations

            write_preactivations(self.tensorboard, untrained, 0)
            for epoch in epochs:
                self.tensorboard.write_epoch(epoch)

    def epoch(self, training: Training, progress: Progress) -> None:
        """Writes the last epoch of `progress`."""
        epoch = progress.epochs[-1]
        if self.hold:
            self.hold.check()
        self.folder.write_epochs([epoch])
        if self.tensorboard:
            self.tensorboard.write_epoch(epoch)
        if epoch.number > 0:  # at epoch 0 there is nothing to resume
            self.folder.write_resume(training.state(), progress.epochs, training.device, training.network.stacked)
        self.terminal.epoch(epoch)

    def end(self, training: Training, summary: RunSummary, progress: Progress, untrained: Look) -> None:
        """Writes the results of a run; `summary.json` comes last, as the sign that everything else is there."""
        self.terminal.close()
        if self.hold:
            self.hold.check()
        finished = summary.status not in ("interrupted", "pruned")
        if finished:
            if self.settings.checkpoints:
                self.folder.write_checkpoints(training.seeds, training.network.state_dicts())
            trained = look(training) if training.probe or self.tensorboard else {}
            sound = [place for place, seed in enumerate(training.seeds) if seed not in summary.diverged]
            self.folder.write_preactivations(preactivations(training, untrained, trained, sound))
        if self.tensorboard:
            if finished:
                from actbench.sinks.activations import draw, write_preactivations

                write_preactivations(self.tensorboard, trained, progress.done)
                draw(self.settings, training, self.tensorboard, progress.done, diverged=summary.diverged)
                self.tensorboard.write_findings(summary.findings or (), progress.done)
                self.tensorboard.write_summary(summary)
            self.tensorboard.close()
        self.folder.write_summary(summary)
        if finished:
            self.folder.remove_resume()
        if summary.status != "interrupted":
            self.terminal.end(summary, progress.epochs[-1].layers, self.folder.path)
        if finished and self.tensorboard:
            from actbench.sinks import mean

            mean.over_all_runs(self.folder.path)

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
    from actbench.sinks import hparams, logdir
    from actbench.sinks.tags import Thin
    from actbench.sinks.tensorboard import TensorBoardSink

    place = logdir.claim(folder, settings, name)
    return TensorBoardSink(
        place, seeds=settings.seeds, note=settings.dataset_note, with_mean=logdir.owns(folder, place),
        hyperparameters=hparams.hyperparameters(settings), columns=hparams.telling(settings, name),
        thin=Thin.of(settings),
    )  # fmt: skip
