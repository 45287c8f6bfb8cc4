"""What is said after a single run: how to compare it, or what its study says now that the run is in it."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from actbench.command import next_commands, task_function
from actbench.command.planning import Job
from actbench.command.quoting import command
from actbench.errors import Problem, UserError, in_a_line
from actbench.files.output import PersistentConsole, working
from actbench.store import reader

_INDENT = 13  # of what stands behind a label


def after_single(job: Job, words: Sequence[str]) -> None:
    """The commands that compare the run with another, or the verdict on its study, whose page is made anew.

    Nothing is said of a run without a result, or all of whose seeds diverged. What fails here is told in one line: the
    run has ended well.
    """
    if reader.status(job.folder) != "completed":
        return
    study = task_function.relative(job.folder.parent.absolute())
    try:
        if _has_others(job):
            _show_page(job, study, words)
        else:
            _say(how_to_compare(job, study, words))
    except KeyboardInterrupt:
        print(f"the page of {study} was not made, the run is complete; again: {_report(study)}", file=sys.stderr)
        raise
    except Exception as error:  # the results are on disk, and whatever happened to the page shall not hide them
        what = "; ".join(map(_in_short, error.problems)) if isinstance(error, UserError) else in_a_line(error)
        print(f"the page of {study} was not made: {what}; again: {_report(study)}", file=sys.stderr)


def how_to_compare(job: Job, study: Path, words: Sequence[str]) -> list[str]:
    """Two lines: the typed command with another activation, and the comparison of both.

    Args:
        job: the run.
        study: the folder in which it is.
        words: that were typed.
    """
    name = job.settings.activation.name
    other = [f"activation={'gelu' if name == 'relu' else 'relu'}"]
    words = next_commands.in_study(words, job.settings.study)
    replaced = next_commands.replaced(words, other)
    return [f"compare      {command([*replaced[-1:], *replaced[:-1]])}", f"then         {_report(study)}"]


def _has_others(job: Job) -> bool:
    """Whether the study has other runs with results."""
    summaries = job.folder.parent.glob("*/summary.json")
    return any(path.parent.name != job.folder.name and _completed(path.parent) for path in summaries)


def _completed(folder: Path) -> bool:
    try:
        return reader.completed(folder) is not None
    except UserError:  # which the page tells
        return True


def _show_page(job: Job, study: Path, words: Sequence[str]) -> None:
    from actbench.report import pages

    console = _console()
    with working(console, f"the page of {escape(str(study))} is being made"):
        page = pages.current(study, about=job.settings.id)
    lines = []
    if page.configurations < 2:
        lines += how_to_compare(job, study, words)
    else:
        lines += _labelled("study", f"{study}: {page.configurations} configurations. {page.sentence}")
    made = [f"made in {page.made:.0f} s"] if page.made >= 0.5 else []
    line = f"page         {page.path}"
    fitting = [*made, command(["open", str(study)])]
    while fitting and len(f"{line}   ({'; '.join(fitting)})") > console.width:
        fitting.pop()
    lines.append(f"{line}   ({'; '.join(fitting)})" if fitting else line)
    if page.problems:
        lines.append(f"note         not everything there could be read: {_report(study)} says what")
    _say(lines)


def _labelled(label: str, sentence: str) -> list[str]:
    """A sentence behind a label, in lines."""
    width = max(_console().width - _INDENT, 40)
    first, *others = textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False)
    return [f"{label:<{_INDENT}}{first}", *(" " * _INDENT + line for line in others)]


def _say(lines: Sequence[str]) -> None:
    console = _console()
    for line in lines:
        console.print(line, soft_wrap=True)


def _console() -> PersistentConsole:
    return PersistentConsole("everything is on disk", highlight=False, markup=False, emoji=False)


def _report(study: Path) -> str:
    return f"actbench report {shlex.quote(str(study))}"


def _in_short(problem: Problem) -> str:
    return " ".join(f"{problem.where} {problem.what}".split())
