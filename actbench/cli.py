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
from actbench.errors import Failure, Problem, UserError, from_disk, in_a_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from actbench.command.planning import Job
    from actbench.records import RunSummary

USAGE = 2  # exit code of the user's mistakes
UNEXPECTED = "failed unexpectedly"
FAILED = 1  # exit code of a run that failed or diverged


def main() -> None:
    """The console script."""
    try:
        sys.exit(_main(sys.argv[1:]))
    except UserError as error:
        _complain(error)
        sys.exit(_code(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # `actbench list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:  # wherever it is written
        told = _where_we_are() or from_disk(error)
        _complain(told)
        sys.exit(_code(told))
    except Exception as error:
        if os.environ.get("ACTBENCH_TRACEBACK"):
            raise
        how = "a fault of actbench: ACTBENCH_TRACEBACK=1 before the command shows where"
        _complain(Failure(f"{UNEXPECTED}: {in_a_line(error)}", how=how))
        sys.exit(FAILED)


def _code(error: UserError) -> int:
    return FAILED if isinstance(error, Failure) else USAGE


def _where_we_are() -> UserError | None:
    """What is wrong with the current folder."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return Failure("is gone: it was moved or removed", where="the current folder", how="cd to one that is there")
    return None


def _main(argv: Sequence[str]) -> int:
    if argv[:1] == ["list"]:
        from actbench.command.listing import show

        return show(argv[1:])
    if argv[:1] == ["report"]:
        from actbench.command import arguments

        asked = arguments.report(argv[1:])
        from actbench.report import command as report

        return report.main(asked)
    if argv[:1] == ["kernels"]:
        from actbench.command import arguments

        asked = arguments.kernels(argv[1:])
        from actbench.kernels import command as kernels

        return kernels.main(asked)
    if argv[:1] == ["completion"]:
        from actbench.command import completion

        return completion.main(argv[1:])
    if argv[:1] == ["--version"]:
        print(f"actbench {__version__}")
        return 0
    if "--help" in argv or "-h" in argv:
        from actbench.command import help as helped

        return helped.show()
    if not argv:
        from actbench.command import help as helped

        print(*helped.of_a_bare_command(), sep="\n", file=sys.stderr)
    return _train(argv)


def _train(argv: Sequence[str]) -> int:
    """Checks every run that the command line asks for, and then has Hydra start them."""
    from actbench.command import checking, composing, earlier, mending, repeating, search, typed

    line = typed.read(argv)
    composing.register()
    if line.multirun:
        search.register()
    understood = mending.understand(line)
    for old, new in understood.replaced:
        print(f"{old}: replaced by {new}", file=sys.stderr)
    jobs = [] if line.shows else understood.jobs
    problems = [*understood.problems, *earlier.contradictions(jobs, argv)]
    if line.multirun and not line.shows:
        problems += search.check(understood.overrides)
    checking.check(jobs, problems, understood.whole)
    for remark in earlier.remarks(jobs, argv):
        print(remark, file=sys.stderr)
    _outcomes.clear()
    compared = 0
    try:
        _hydra_main([*(["--multirun"] if line.multirun else []), *line.shows, *understood.overrides])
    except OSError as error:  # of what Hydra writes itself
        where, then = "", ""
        if jobs:
            where, then = str(jobs[0].folder.parent), repeating.how_to_go_on(argv, jobs[0].settings.study)
        told = _where_we_are() or from_disk(error, where, then=then)
        _complain(told)
        _outcomes.append(_code(told))
    finally:  # whatever happened to some of the runs
        if line.multirun:
            compared = _compare(dict.fromkeys(job.folder.parent for job in jobs))
            _tell_what_never_began(jobs)
    if not _outcomes:
        _outcomes.extend(0 if how == "completed" else FAILED for how in search.ended)
    return max(*_outcomes, compared) if _outcomes else max(_judge(jobs), compared)


def _judge(jobs: Sequence[Job]) -> int:
    """The exit code of jobs that ran in other processes, by what they left."""
    from actbench.store import reader

    if not jobs:  # something was only shown
        return 0
    folders = [job.folder for job in jobs]
    if not any(folder.exists() for folder in folders):  # a sweeper that makes its jobs as it goes
        folders = [path.parent for job in jobs for path in job.folder.parent.glob("*/settings.yaml")]
    ended = {reader.status(folder) for folder in folders}
    return 0 if ended == {"completed"} else FAILED


def _compare(studies: Iterable[Path]) -> int:
    """The comparison that a sweep ends with; returns the exit code."""
    from actbench.report import command

    code = 0
    for study in studies:
        if not study.exists():  # nothing came to be written, and why has been said
            code = FAILED
            continue
        try:
            command.after_sweep(_relative(study.absolute()))
        except (UserError, OSError) as error:
            _complain(error if isinstance(error, UserError) else from_disk(error, str(study)))
            code = FAILED
    return code


def _tell_what_never_began(jobs: Sequence[Job]) -> None:
    """Jobs that a launcher did not come to, or that died before they wrote anything."""
    if len(_outcomes) == len(jobs):  # all began here: what is missing has vanished since, which was said
        return
    missing = [job.settings.folder for job in jobs if not job.folder.exists()]
    if missing and len(missing) < len(jobs):  # a sweeper that makes its jobs as it goes leaves none of the planned
        print(f"not begun: {', '.join(missing)}", file=sys.stderr)


# ---------------------------------------------------------------- what Hydra calls

_outcomes: list[int] = []  # an exit code for each job of this process
_typed: list[str] = []  # the words of the command line


def _hydra_main(words: Sequence[str]) -> None:
    """Has Hydra run what was checked. What it cannot do after all (start a launcher, say) is a UserError."""
    import hydra

    from actbench.choices import packaged_conf

    typed, asked = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [typed[0], *words]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that exceptions come here, instead of being printed by Hydra
    _typed[:] = typed[1:]
    try:
        hydra.main(version_base="1.3", config_path=str(packaged_conf()), config_name="config")(_job)()
    except (UserError, OSError):
        raise
    except Exception as error:
        if asked == "1":
            raise
        own = " ".join(word for word in words if word.startswith("hydra"))
        how = "what is installed, and the parameters of the launcher and the sweeper: hydra.launcher.KEY=VALUE"
        raise UserError(f"could not be started: {in_a_line(error)}", where=own or "Hydra", how=how) from error
    finally:
        sys.argv = typed
        os.environ.pop("HYDRA_FULL_ERROR")
        if asked is not None:
            os.environ["HYDRA_FULL_ERROR"] = asked


def _job(composed: DictConfig) -> float:
    """One run; returns the mean validation accuracy (%), by which Hydra's sweepers can choose. NaN if it failed.

    A run that fails does not stop the others of a sweep.
    """
    from hydra.core.hydra_config import HydraConfig

    from actbench.command import repeating

    if _typed:
        sys.argv[1:] = _typed  # Hydra has read its own
    hydra_config = HydraConfig.get()
    folder = _relative(Path(hydra_config.runtime.output_dir))
    try:
        return _run(composed, hydra_config, folder)
    except UserError as error:
        _complain(error)
        _outcomes.append(_code(error))
    except OSError as error:
        told = _where_we_are() or from_disk(
            error, str(folder), then=repeating.how_to_go_on(_typed, str(composed.study), hydra_config)
        )
        _complain(told)
        _outcomes.append(_code(told))
    except Exception as error:
        _complain(_unexpected(error, folder, composed, hydra_config.runtime.choices))
        _outcomes.append(FAILED)
    return float("nan")


def _run(composed: DictConfig, hydra_config: Any, folder: Path) -> float:
    from actbench import naming
    from actbench.command import composing, doors, earlier, repeating
    from actbench.store import reader

    doors.check(composed, hydra_config.overrides.task)
    settings = composing.to_settings(composed, hydra_config.runtime.choices)
    many = "MULTIRUN" in str(hydra_config.mode)
    name = naming.typed(settings, repeating.swept(hydra_config) if many else hydra_config.overrides.task)
    reader.check_owner(folder, settings)
    finished = reader.completed(folder)
    if finished is not None and not reader.lacks_int8(settings, finished):
        for lacking in earlier.not_looked_at(settings, reader.settings_of(folder)):
            print(f"{folder} was trained without {lacking}: another study=NAME trains it again")
        return _ended(_show_again(finished, folder, name, many), folder)
    from actbench import run  # imports torch

    stop = run.Stop()
    live = _is_live(hydra_config)
    summary = run.run(settings, folder, console=_console(), live=live, name=name, brief=many, stop=stop)
    if summary.status == "interrupted":
        print(f"interrupted {summary.reason}; what was done is in {folder}", file=sys.stderr)
        print(repeating.how_to_go_on(_typed, settings.study, hydra_config), file=sys.stderr)
        sys.exit(128 + stop.signal)
    return _ended(summary, folder)


def _ended(summary: RunSummary, folder: Path) -> float:
    if summary.status == "diverged":
        _complain(Failure("every seed diverged", where=str(folder)))
    _outcomes.append(FAILED if summary.status == "diverged" else 0)
    mean = summary.metrics["val_accuracy"].mean
    return float("nan") if mean is None else mean


def _show_again(summary: RunSummary, folder: Path, name: str, many: bool) -> RunSummary:
    """The stored result of a complete run."""
    from actbench.sinks.terminal import TerminalSink
    from actbench.store import reader

    reader.tidy(folder)
    terminal = TerminalSink(_console(), live=False, name=name, brief=many)
    terminal.end(summary, reader.last_layers(folder), folder, stored=True)
    return summary


def _unexpected(error: Exception, folder: Path, composed: DictConfig, names: Any) -> UserError:
    """What nobody foresaw: in a line here, with the place in the user's code; in full in the run's folder."""
    import traceback

    from actbench.command import composing
    from actbench.custom import tracebacks
    from actbench.files.atomic import write_text
    from actbench.store import reader

    what = f"the run failed: {in_a_line(error)}"
    with contextlib.suppress(UserError):
        settings = composing.to_settings(composed, names)
        where = tracebacks.blamed(error, settings)
        what = f"the run failed{f' in {where}' if where else ''}: {tracebacks.explain(error, settings.trust)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / reader.TRACEBACK, "".join(traceback.format_exception(error)))
    except OSError:
        traceback.print_exception(error)
        return UserError(what, where=str(folder))
    return UserError(what, where=str(folder), how=f"{folder / reader.TRACEBACK} has the details")


def _relative(folder: Path) -> Path:
    """The folder as a person would type it: from where they are, if it is below."""
    try:
        return folder.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):  # it is elsewhere, or where they are is gone
        return folder


def _is_live(hydra_config: Any) -> bool:
    """A moving bar needs a terminal, and one job at a time."""
    return _console().is_terminal and "BasicLauncher" in str(hydra_config.launcher._target_)


def _console() -> Any:
    from rich.console import Console

    return Console()


_said: set[str] = set()  # what to do, as it was told before in this process


def _complain(error: UserError) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    for problem in error.problems:
        if isinstance(error, Failure) and problem.how in _said:  # a full disk stops more than one thing
            problem = Problem(problem.what, problem.where)
        _said.add(problem.how)
        console.print(Text.assemble(("error: ", "bold red"), str(problem)), soft_wrap=True)
