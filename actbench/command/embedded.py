"""Runs a command within somebody else's program, whose state is left as it was: for `actbench.compare` and `run`.

It goes the way of `launch`, up to the end of the last run. Where the command would print a comparison and exit with a
code, the caller is given what was trained, and the errors.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.choices import conf_folders
from actbench.command import (
    complaints,
    composing,
    conf_source,
    hydra_settings,
    launch,
    starting,
    suggestions,
    task_function,
)
from actbench.command.correcting import Understood
from actbench.command.launch import Launch
from actbench.command.line import CommandLine
from actbench.command.override import key_of, read
from actbench.command.planning import Job
from actbench.command.running import Command
from actbench.custom import source_files
from actbench.errors import Problem, UserError

if TYPE_CHECKING:
    from actbench.sinks.sweep import Sweep

ALONE = threading.RLock()  # Hydra's state belongs to the process: a second thread waits


@dataclass(frozen=True)
class Called:
    """What a call has trained, or found complete: `errors` are those of the runs that failed.

    `stopped_by` is the signal that has interrupted it, or 0.
    """

    jobs: Sequence[Job]
    errors: Sequence[UserError] = field(default=())
    stopped_by: int = 0

    @property
    def folders(self) -> list[Path]:
        """Of the runs, in the order in which they were asked for."""
        return [job.folder for job in self.jobs]


def call(
    words: Sequence[str],
    display: Callable[[], Sweep],
    tell: Callable[[str], None],
    *,
    problems: Sequence[Problem] = (),
) -> Called:
    """Trains what the words of a command line ask for.

    Args:
        words: as `launch.launch` gets them, without flags that only show something.
        display: makes what shows the runs.
        tell: is called with each remark, before the first run.
        problems: that were found before; nothing is trained then, but all other problems are found as well.

    Raises:
        UserError: the words are wrong, with all problems; nothing has been written then.
        OSError: a disk fails.
    """
    with alone(), task_function.as_typed(words):
        _forget(words)
        line, understood = launch.read(words)
        found = _prepared(line, understood, words, problems)
        for remark in [*(f"{preset}: replaced by {rest}" for preset, rest in understood.narrowed), *found.remarks]:
            tell(remark)
        command = Command(words, display=display)
        stopped_by = 0
        try:
            starting.start(found.jobs, found.overrides, command, multirun=found.multirun, terms=found.terms)
        except SystemExit as ended:  # by which a job tells of a signal
            stopped_by = ended.code - 128 if isinstance(ended.code, int) else 0
    return Called(found.jobs, command.errors, stopped_by)


def _prepared(line: CommandLine, understood: Understood, words: Sequence[str], problems: Sequence[Problem]) -> Launch:
    try:
        found = launch.prepare(line, understood, words, mended=False)
    except UserError as error:
        raise UserError.of([*problems, *error.problems]) from None
    if problems:
        raise UserError.of(problems)
    return found


def deliver(number: int, how: str) -> None:
    """Does with a signal what the caller's program does with it, now that everything is written.

    Raises:
        KeyboardInterrupt: it was SIGINT.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt(how)
    print(how, file=sys.stderr)
    os.kill(os.getpid(), number)


# ---------------------------------------------------------------- the caller's program


@contextmanager
def alone() -> Iterator[None]:
    """Within the block actbench has the process to itself: no other thread calls it, and it sees nothing of the
    caller's use of Hydra. Afterwards the state of Hydra, logging, torch and the interpreter is what it was.
    """
    from actbench.custom.isolation import isolated_from_caller  # imports torch

    with ExitStack() as stack:
        stack.enter_context(ALONE)
        stack.enter_context(isolated_from_caller())
        stack.enter_context(_logging())
        stack.enter_context(_hydra())
        yield


def _forget(words: Sequence[str]) -> None:
    """What a command may keep until it ends, and a program may not: the clock goes on, and files change."""
    from actbench.custom import loading
    from actbench.datasets import TRAINING_SAMPLES

    if any(key_of(word) == "dataset" and read(word).value not in TRAINING_SAMPLES for word in words):
        loading._loaded.cache_clear()
    if len(conf_folders()) > 1:
        hydra_settings._baseline.cache_clear()
    composing._stamp.cache_clear()
    suggestions.parameters.cache_clear()
    suggestions._parameters_by_name.cache_clear()
    source_files.content.cache_clear()
    complaints._printed.clear()


@contextmanager
def _logging() -> Iterator[None]:
    raises, level = logging.raiseExceptions, logging.getLogger("hydra").level
    try:
        logging.getLogger("hydra").setLevel(logging.WARNING)  # its launcher tells of each job
        yield
    finally:
        logging.raiseExceptions = raises
        logging.getLogger("hydra").setLevel(level)


@contextmanager
def _hydra() -> Iterator[None]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.version import VersionBase
    from omegaconf import OmegaConf

    theirs, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    version = VersionBase.instance().version_base
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().clear()
        GlobalHydra.instance().hydra = theirs
        HydraConfig.instance().cfg = config
        VersionBase.instance().version_base = version
        conf_source.unregister()  # the caller's own configurations are composed without our folder
        for name in ("actbench.stamp", "actbench.folder"):
            OmegaConf.clear_resolver(name)
