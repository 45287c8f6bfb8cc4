"""One job, as Hydra calls it: in the process of the command, or in the worker of a launcher."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from actbench import naming
from actbench.command import composing, earlier, hydra_settings, next_commands, sharing
from actbench.command.complaints import FAILED, code_of, complain, of_the_disk
from actbench.command.planning import BASIC
from actbench.command.running import Command
from actbench.command.sharing import HELD, Waiting
from actbench.errors import Failure, UserError, in_a_line
from actbench.files.atomic import write_text
from actbench.files.output import PersistentConsole
from actbench.records import COMMAND_LINE, RunSummary
from actbench.settings import Settings
from actbench.store import reader
from actbench.store.lock import Held, Hold

if TYPE_CHECKING:
    from actbench.job import Stop
    from actbench.sinks.terminal import Terminal, TerminalSink


class _Interrupted(SystemExit):
    """A signal has stopped the run, and with it the whole command."""


def job(composed: DictConfig, command: Command | None = None, settings: Settings | None = None) -> float:
    """Trains one run and returns its mean validation accuracy (%), which Hydra's sweepers maximise; NaN if it failed.

    A run that fails does not stop the other runs of a sweep: its error is printed. One that another process works on is
    waited for.

    Args:
        composed: the configuration of the job, without Hydra's own part.
        command: that it belongs to.
        settings: that were planned for it; without them, those of the configuration.
    """
    command = command or Command()
    waiting = Waiting(command)
    while True:
        try:
            return attempt(composed, command, settings)
        except Held as held:
            waiting.wait([held])


def job_if_free(composed: DictConfig, command: Command) -> float | str:
    """The same for a launcher's worker, which does not wait for other processes but returns `HELD`."""
    with as_typed(command.typed):
        try:
            return attempt(composed, command)
        except Held:
            return HELD


@contextlib.contextmanager
def as_typed(words: Sequence[str]) -> Iterator[None]:
    """Within the block, runs note these words as their command line: the process's own are those of a launcher."""
    token = COMMAND_LINE.set(("actbench", *words))
    try:
        yield
    finally:
        COMMAND_LINE.reset(token)


def attempt(
    composed: DictConfig, command: Command, settings: Settings | None = None, hold: Hold | None = None
) -> float:
    """The same once.

    Args:
        hold: of the run's folder, if the caller has it; it is released.

    Raises:
        Held: another process works on it, or has taken it over.
    """
    hydra_config = HydraConfig.get()
    folder = relative(Path(hydra_config.runtime.output_dir))
    try:
        if settings is None:  # a trial of a search, or a launcher's worker, which gets the overrides only
            hydra_settings.check(composed, hydra_config.overrides.task)
            settings = composing.to_settings(composed, hydra_config.runtime.choices)
        return _run(settings, hydra_config, folder, command, hold)
    except Held:
        if command.sweep is not None:
            command.sweep.leave()
        raise
    except UserError as error:
        report_failure(error, command, settings)
    except OSError as error:
        report_disk(error, folder, str(composed.study), command, settings)
    except _Interrupted:
        raise
    except (Exception, SystemExit) as error:  # the user's own code may call `sys.exit()`
        if isinstance(error, SystemExit) and _by_submitit(error):
            raise
        report_failure(_unexpected(error, folder, settings), command, settings, FAILED)
    return float("nan")


def _by_submitit(error: BaseException) -> bool:
    """Whether a handler of submitit's has raised an error, since Slurm is going to start the job again."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(str(frame.f_globals.get("__name__")).startswith("submitit.") for frame, _ in frames)


def report_failure(error: UserError, command: Command, settings: Settings | None, code: int | None = None) -> None:
    """Says that the run has failed; the exit code is that of the error, unless it is given."""
    command.errors.append(error)
    if command.sweep is None or not command.sweep.fail(error, settings):
        complain(error)
    command.exit_codes.append(code_of(error) if code is None else code)


def report_disk(error: OSError, folder: Path, study: str, command: Command, settings: Settings | None) -> None:
    """Says that the run in `folder` has failed since its files could not be written."""
    command.disk_errors.append(error)
    then = next_commands.how_to_go_on(command.typed, study)
    report_failure(of_the_disk(error, str(folder), then=then), command, settings)


def _run(settings: Settings, hydra_config: Any, folder: Path, command: Command, hold: Hold | None) -> float:
    many, task = "MULTIRUN" in str(hydra_config.mode), hydra_config.overrides.task
    words = next_commands.swept(task, hydra_config.sweep.dir) if many else task
    if (mean := shown_as_stored(settings, folder, words, command, many=many)) is not None:
        return mean
    name = _name(settings, words, command, many=many)
    hold = hold or sharing.take(folder, command)
    if command.sweep is not None:
        shown: Terminal = command.sweep.run(settings, name)
    else:
        alone = hydra_config.runtime.choices["hydra/launcher"] == BASIC  # one job at a time
        shown = _terminal(command, name, brief=many, moving=alone)
    from actbench.job import Stop, run  # imports torch

    stop = Stop()
    if command.pruning is not None:
        from actbench.command.search_pruning import watched

        shown = watched(shown, stop, command.pruning, folder.name, settings.train.epochs)
    overrides = [*hydra_config.overrides.task]
    summary = run(settings, folder, terminal=shown, stop=stop, hold=hold, overrides=overrides)
    if summary.status == "interrupted":
        print(f"interrupted {summary.reason}; what was done is in {folder}", file=sys.stderr)
        _tell_how_to_go_on(command, settings)
        _hand_over(stop, command)
    mean = _ended(summary, folder, command)
    if stop.signal:  # which came after the last step: the run is complete, and the rest of the command stops
        print(f"interrupted; {folder} is complete", file=sys.stderr)
        _tell_how_to_go_on(command, settings)
        _hand_over(stop, command)
    return mean


def shown_as_stored(
    settings: Settings, folder: Path, words: Sequence[str], command: Command, *, many: bool
) -> float | None:
    """Shows a run of which nothing is left to do; returns what `job` does, or None where something is.

    Args:
        words: the overrides by which it is named.
        many: whether it is one of several.
    """
    reader.check_owner(folder, settings)
    finished = reader.completed(folder)
    if finished is None or reader.lacks_int8(settings, finished):
        return None
    for sentence in earlier.lacking(settings, folder):
        print(sentence)
    reader.tidy(folder)
    name = _name(settings, words, command, many=many)
    if command.sweep is not None:
        command.sweep.stored(settings, name, finished)
    else:
        terminal = _terminal(command, name, brief=many)
        terminal.end(finished, reader.last_layers(folder), folder, stored=True)
    return _ended(finished, folder, command)


def _name(settings: Settings, words: Sequence[str], command: Command, *, many: bool) -> str:
    return command.names.get(settings.id) or naming.typed(settings, words, varied=many)


def _hand_over(stop: Stop, command: Command) -> NoReturn:
    """Ends the command by the signal that stopped the run, in the way of whoever else listens to it.

    A program that has called (`embedded`) is sent the signal by `embedded.deliver`, once its own state is restored.

    Raises:
        _Interrupted: with the exit code.
        Failure: submitit would have Slurm start the job again, and has done so too often.
    """
    try:
        if command.display is None:
            stop.hand_over()
    except SystemExit as ended:
        raise _Interrupted(ended.code) from None
    except Exception as error:  # of submitit, which has not had the job started again
        raise Failure(f"the run has stopped, and is not started again: {in_a_line(error)}") from error
    raise _Interrupted(128 + stop.signal)


def _tell_how_to_go_on(command: Command, settings: Settings) -> None:
    """Says the command that goes on; a sweep says it last, below the comparison of what there is."""
    how = next_commands.how_to_go_on(command.typed, settings.study)
    if command.sweep is None:
        print(how, file=sys.stderr)
    else:
        command.to_go_on = how


def _terminal(command: Command, name: str, *, brief: bool, moving: bool = False) -> TerminalSink:
    """What shows a run by itself, or one of a launcher's worker (`brief`)."""
    from actbench.sinks.live import is_possible
    from actbench.sinks.terminal import TerminalSink

    console, whole = PersistentConsole("training continues"), partial(_whole, command)
    return TerminalSink(console, live=moving and is_possible(console), name=name, brief=brief, whole=whole)


def _whole(command: Command, remedy: str) -> str:
    """The typed command with a remedy (one or several overrides) added."""
    return next_commands.whole(command.typed, remedy.split())


def _ended(summary: RunSummary, folder: Path, command: Command) -> float:
    told = command.sweep is not None and command.sweep.tells_failures  # in the run's line
    if summary.status == "diverged" and not told:
        complain(Failure("every seed diverged", where=str(folder)))
    command.exit_codes.append(FAILED if summary.status == "diverged" else 0)
    mean = summary.metrics["val_accuracy"].mean
    return float("nan") if mean is None else mean


def _unexpected(error: BaseException, folder: Path, settings: Settings | None) -> UserError:
    """The error as one line, with the place in the user's code; the traceback goes into the run's folder."""
    from actbench.custom import tracebacks

    what = f"the run failed: {in_a_line(error)}"
    if settings is not None:
        with contextlib.suppress(UserError):
            where = tracebacks.blamed(error, settings)
            what = f"the run failed{f' in {where}' if where else ''}: {tracebacks.explain(error, settings.trust)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / reader.TRACEBACK, "".join(traceback.format_exception(error)))
    except OSError:
        traceback.print_exception(error)
        return UserError(what, where=str(folder))
    return UserError(what, where=str(folder), how=f"{folder / reader.TRACEBACK} has the details")


def relative(folder: Path) -> Path:
    """The folder relative to the current folder, if it is below it."""
    try:
        return folder.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):  # it is not below, or the current folder is gone
        return folder
