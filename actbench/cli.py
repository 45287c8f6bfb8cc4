"""The command: `actbench ...` trains, `report` compares, `list` shows the choices. Imports no torch at import time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench import __version__
from actbench.errors import Problem, UserError, in_a_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from actbench.config import Job
    from actbench.records import RunSummary
    from actbench.settings import Settings

USAGE = 2  # exit code of the user's mistakes
FAILED = 1  # exit code of a run that failed or diverged


def main() -> None:
    """The console script."""
    try:
        sys.exit(_main(sys.argv[1:]))
    except UserError as error:
        _complain(error)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # `actbench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _main(argv: Sequence[str]) -> int:
    if argv[:1] == ["list"]:
        from actbench.listing import show

        return show(argv[1:])
    if argv[:1] == ["report"]:
        from actbench import arguments

        asked = arguments.report(argv[1:])
        from actbench.report import command as report

        return report.main(asked)
    if argv[:1] == ["kernels"]:
        from actbench import arguments

        asked = arguments.kernels(argv[1:])
        from actbench.kernels import command as kernels

        return kernels.main(asked)
    if argv[:1] == ["--version"]:
        print(f"actbench {__version__}")
        return 0
    if "--help" in argv or "-h" in argv:
        from actbench.listing import show_help

        return show_help()
    if argv and not argv[0].startswith("-") and "=" not in argv[0] and not argv[0].startswith("~"):
        import difflib

        near = difflib.get_close_matches(argv[0], ["report", "list", "kernels"], n=1)
        how = (
            f"did you mean {near[0]}?"
            if near
            else "actbench list, report, kernels, or key=value ...; --help shows more"
        )
        raise UserError("is not a command", where=argv[0], how=how)
    return _train(argv)


def _train(argv: Sequence[str]) -> int:
    """Checks every run that the command line asks for, and then has Hydra start them."""
    from hydra._internal.utils import get_args_parser

    from actbench import config, overrides

    asked = get_args_parser().parse_args(list(argv))
    ways = [way for way in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(asked, way)]
    if len(ways) > 1:
        raise UserError("exclude each other", where=", ".join(f"--{way}" for way in ways), how="leave all but one out")
    settled = overrides.settle(asked.overrides)
    for old, new in settled.replaced:
        print(f"{old}: replaced by {new}", file=sys.stderr)
    multirun = asked.multirun or "hydra.mode=MULTIRUN" in asked.overrides
    made = settled.overrides
    if multirun:
        made = overrides.for_sweep(made, config.sweeps_in(made))
    if made != asked.overrides:
        sys.argv[1:] = [*(word for word in argv if word not in asked.overrides), *made]
        asked.overrides = made
    jobs: list[Job] = []
    config.register()
    only_shows = (asked.hydra_help, asked.cfg, asked.info, asked.shell_completion)
    elsewhere = (asked.config_name, asked.config_path, asked.config_dir, asked.experimental_rerun)
    if not any(only_shows):
        if any(elsewhere):
            raise UserError(
                "are not supported",
                where="--config-name, --config-path, --config-dir, --experimental-rerun",
                how="put your own choices into a `conf` folder beside where you type",
            )
        jobs, problems = config.plan(asked.overrides, multirun=multirun)
        _check(jobs, problems)
    _outcomes.clear()
    compared = 0
    try:
        _hydra_main()
    finally:  # whatever happened to some of the runs
        if multirun:
            compared = _compare(dict.fromkeys(job.folder.parent for job in jobs))
            _tell_what_never_began(jobs)
    return max(*_outcomes, compared) if _outcomes else max(_judge(jobs), compared)


def _judge(jobs: Sequence[Job]) -> int:
    """The exit code of jobs that ran in other processes, by what they left."""
    from actbench import stored

    if not jobs:  # something was only shown
        return 0
    folders = [job.folder for job in jobs]
    if not any(folder.exists() for folder in folders):  # a sweeper that makes its jobs as it goes
        folders = [path.parent for job in jobs for path in job.folder.parent.glob("*/settings.yaml")]
    ended = {stored.status(folder) for folder in folders}
    return 0 if ended == {"completed"} else FAILED


def _compare(studies: Iterable[Path]) -> int:
    """The comparison that a sweep ends with; returns the exit code."""
    from actbench.report import command

    code = 0
    for study in studies:
        try:
            command.after_sweep(_relative(study.absolute()))
        except UserError as error:
            _complain(error)
            code = FAILED
    return code


def _tell_what_never_began(jobs: Sequence[Job]) -> None:
    """Jobs that a launcher did not come to, or that died before they wrote anything."""
    missing = [job.settings.folder for job in jobs if not job.folder.exists()]
    if missing and len(missing) < len(jobs):  # a sweeper that makes its jobs as it goes leaves none of the planned
        print(f"not begun: {', '.join(missing)}", file=sys.stderr)


def _check(jobs: Sequence[Job], problems: list[Problem]) -> None:
    """What can be known of every job before the first one starts: its folder, and whether it can be built.

    Raises:
        UserError: with `problems` and with all that is found here.
    """
    from actbench import stored

    problems, waiting = list(problems), []
    owners: dict[Path, str] = {}
    for job in jobs:
        if owners.setdefault(job.folder, job.settings.folder) != job.settings.folder:
            problems.append(
                Problem("two different runs would share it", str(job.folder), "leave hydra.sweep.subdir alone")
            )
        try:
            stored.check_owner(job.folder, job.settings)
            _check_writable(job.folder)
            if _is_due(job.settings, job.folder):
                waiting.append(job)
        except UserError as error:
            problems += error.problems
    if waiting:
        from actbench import build, contents, machine

        for job in waiting:
            for sentence in contents.changes(job.settings, job.folder.parent):
                print(sentence, file=sys.stderr)
        machine.prepare(waiting[0].settings.train.threads)
        for settings in {job.settings.folder: job.settings for job in waiting}.values():
            try:
                build.check(settings, quick=bool(problems))
            except UserError as error:
                problems += error.problems
    if problems:
        raise UserError.of(problems)


def _is_due(settings: Settings, folder: Path) -> bool:
    """Whether there is something to do for a run: to train it, or to score it in INT8 as well."""
    from actbench import stored

    finished = stored.completed(folder)
    return finished is None or stored.lacks_int8(settings, finished)


def _check_writable(folder: Path) -> None:
    """Tries the nearest folder that exists."""
    import tempfile

    near = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=near):
            pass
    except OSError as error:
        raise UserError(
            error.strerror or str(error), where=str(near), how="output_dir=FOLDER that you may write to"
        ) from error


# ---------------------------------------------------------------- what Hydra calls

_outcomes: list[int] = []  # an exit code for each job of this process


def _hydra_main() -> None:
    import hydra

    from actbench.choices import packaged_conf

    hydra.main(version_base="1.3", config_path=str(packaged_conf()), config_name="config")(_job)()


def _job(composed: DictConfig) -> float:
    """One run; returns the mean validation accuracy (%), by which Hydra's sweepers can choose. NaN if it failed.

    A run that fails does not stop the others of a sweep.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra_config = HydraConfig.get()
    folder = _relative(Path(hydra_config.runtime.output_dir))
    try:
        return _run(composed, hydra_config, folder)
    except UserError as error:
        _complain(error)
        _outcomes.append(USAGE)
    except OSError as error:
        _complain(_explained(error, folder))
        _outcomes.append(FAILED)
    except Exception as error:
        _complain(_unexpected(error, folder, composed, hydra_config.runtime.choices))
        _outcomes.append(FAILED)
    return float("nan")


def _run(composed: DictConfig, hydra_config: Any, folder: Path) -> float:
    from actbench import config, naming, stored

    settings = config.to_settings(composed, hydra_config.runtime.choices)
    many = "MULTIRUN" in str(hydra_config.mode)
    name = naming.typed(settings, _swept(hydra_config) if many else hydra_config.overrides.task)
    stored.check_owner(folder, settings)
    finished = stored.completed(folder)
    if finished is not None and not stored.lacks_int8(settings, finished):
        if settings.probe_every not in (None, stored.settings_of(folder).probe_every):
            print(f"{folder} was trained without probe.every={settings.probe_every}: study=NAME trains it again")
        return _ended(_show_again(finished, folder, name, many))
    from actbench import run  # imports torch

    stop = run.Stop()
    live = _is_live(hydra_config)
    summary = run.run(settings, folder, console=_console(), live=live, name=name, brief=many, stop=stop)
    if summary.status == "interrupted":
        print(f"interrupted {summary.reason}; what was done is in {folder}", file=sys.stderr)
        print(_how_to_go_on(settings.study), file=sys.stderr)
        sys.exit(128 + stop.signal)
    return _ended(summary)


def _swept(hydra_config: Any) -> list[str]:
    """Those of a job's overrides that the sweep varies: they are not in the command line as they stand.

    The command line is in the file that Hydra leaves for a sweep, since a job may run in another process.
    """
    from yaml import YAMLError

    from actbench.reading import read_yaml

    own = list(hydra_config.overrides.task)
    try:
        typed = read_yaml(Path(hydra_config.sweep.dir) / "multirun.yaml")["hydra"]["overrides"]["task"]
    except (OSError, ValueError, KeyError, TypeError, YAMLError):
        return own
    return [override for override in own if override not in typed]


def _ended(summary: RunSummary) -> float:
    _outcomes.append(FAILED if summary.status == "diverged" else 0)
    mean = summary.metrics["val_accuracy"].mean
    return float("nan") if mean is None else mean


def _show_again(summary: RunSummary, folder: Path, name: str, many: bool) -> RunSummary:
    """The stored result of a complete run."""
    from actbench import stored
    from actbench.sinks.terminal import TerminalSink

    stored.tidy(folder)
    terminal = TerminalSink(_console(), live=False, name=name, brief=many)
    terminal.end(summary, stored.last_layers(folder), folder, stored=True)
    return summary


def _unexpected(error: Exception, folder: Path, composed: DictConfig, names: Any) -> UserError:
    """What nobody foresaw: in a line here, with the place in the user's code; in full in the run's folder."""
    import traceback

    from actbench import config, own_code, stored
    from actbench.atomic import write_text

    what = f"the run failed: {in_a_line(error)}"
    with contextlib.suppress(UserError):
        settings = config.to_settings(composed, names)
        where = own_code.blamed(error, settings)
        what = f"the run failed{f' in {where}' if where else ''}: {own_code.told(error, settings.trust)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / stored.TRACEBACK, "".join(traceback.format_exception(error)))
    except OSError:
        traceback.print_exception(error)
        return UserError(what, where=str(folder))
    return UserError(what, where=str(folder), how=f"{folder / stored.TRACEBACK} has the details")


def _how_to_go_on(study: str) -> str:
    """What was typed, with the study by its name."""
    import shlex

    typed = [argument for argument in sys.argv[1:] if not argument.startswith("study=")]
    return f"to go on:  {shlex.join(['actbench', *typed, f'study={study}'])}"


def _relative(folder: Path) -> Path:
    """The folder as a person would type it: from where they are, if it is below."""
    try:
        return folder.relative_to(Path.cwd())
    except ValueError:
        return folder


def _is_live(hydra_config: Any) -> bool:
    """A moving bar needs a terminal, and one job at a time."""
    return _console().is_terminal and "BasicLauncher" in str(hydra_config.launcher._target_)


def _console() -> Any:
    from rich.console import Console

    return Console()


def _explained(error: OSError, folder: Path) -> UserError:
    return UserError(
        error.strerror or str(error),
        where=str(error.filename or folder),
        how="make room or choose another output_dir; with the same study=NAME the run goes on after its last epoch",
    )


def _complain(error: UserError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    for problem in error.problems:
        console.print(Text.assemble(("error: ", "bold red"), str(problem)), soft_wrap=True)
