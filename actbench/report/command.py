"""`actbench report PATH ...`, and the comparison that a sweep ends with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from actbench.errors import Problem, UserError, from_disk
from actbench.files.output import PersistentConsole
from actbench.report import runs, terminal
from actbench.report.comparison import Comparison, check_baseline, compare
from actbench.report.configurations import Block, blocks
from actbench.report.diagnostics import read_diagnostics
from actbench.report.published import PublishedComparison, published
from actbench.report.tuning import check_per


@dataclass
class Report:
    """The comparisons of the runs below some paths, and every problem with them."""

    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    published: list[PublishedComparison] = field(default_factory=list)


def main(arguments: argparse.Namespace) -> int:
    """`actbench report` with the arguments of `command.arguments.report`; returns the exit code.

    Raises:
        UserError: with what could not be read or done, after everything else was reported.
    """
    try:
        report = make_report(arguments.paths, baseline=arguments.baseline, per=arguments.per)
    except UserError as error:
        if not arguments.published:
            raise
        report = Report(problems=list(error.problems))  # published figures can be shown without a run
    if arguments.published:
        ours = [configuration for comparison in report.comparisons for configuration in comparison.block.configurations]
        report.published = published(ours)
    mistyped = any(problem.where.startswith(("--baseline", "--per")) for problem in report.problems)
    nothing_written = arguments.table or mistyped  # it would not be what was asked for
    _show_and_write(report, None if nothing_written else arguments.output or _default_folder(arguments.paths))
    return 0


def after_sweep(study: Path) -> None:
    """Shows the comparison of a whole study and writes it into the study's folder.

    Raises:
        UserError: with the folders that could not be read.
    """
    print()
    _show_and_write(make_report([study]), study / "report", elsewhere="output_dir=FOLDER")


def make_report(paths: Sequence[Path], *, baseline: str | None = None, per: str | None = None) -> Report:
    """Finds, reads and compares the runs below some paths.

    A mistake in `baseline` or `per` becomes a problem of the report, which then uses the default.

    Raises:
        UserError: a path does not exist, or holds no run.
    """
    found = runs.find(paths)
    report = Report(problems=found.problems)
    compared = blocks(found.runs)
    errors = [error for block in compared if (error := _error(check_per, block, per))]
    if errors and len(errors) == len(compared):  # one block that has it is enough
        report.problems += errors[0].problems
    errors = [error for block in compared if (error := _error(check_baseline, block, baseline))]
    if errors and len(errors) == len(compared):
        report.problems += errors[0].problems
        baseline = None
    for block in compared:
        comparison = compare(block, baseline=baseline, per=None if _error(check_per, block, per) else per)
        diagnostics = read_diagnostics(block, report.problems)
        report.comparisons.append(replace(comparison, diagnostics=diagnostics))
    return report


def _error(check: Callable[[Block, str | None], None], block: Block, asked: str | None) -> UserError | None:
    try:
        check(block, asked)
    except UserError as error:
        return error
    return None


def _default_folder(paths: Sequence[Path]) -> Path:
    """Where the page is written: into the folder that was asked for, or the one that holds all of them."""
    if len(paths) == 1:
        return paths[0] / "report"
    above = Path(os.path.commonpath([path.resolve() for path in paths]))
    return Path(os.path.relpath(above)) / "report"


def _show_and_write(report: Report, folder: Path | None, *, elsewhere: str = "--output FOLDER") -> None:
    """Shows the comparisons, writes them if there is a folder, and raises the problems at the end."""
    console = PersistentConsole("files are still written", highlight=False)
    terminal.show(report.comparisons, console)
    if report.published:
        terminal.show_published(report.published, console)
    if folder is not None and report.comparisons:
        write(report, folder, console, elsewhere=elsewhere)
    if report.problems:
        raise UserError.of(report.problems)


def write(report: Report, folder: Path, console: Console, *, elsewhere: str = "--output FOLDER") -> None:
    """Writes the page, the data and the plots; `elsewhere` is what to type for another folder.

    Raises:
        UserError: the folder cannot be written to.
    """
    from actbench.report import page

    try:
        page.write(report.comparisons, report.problems, folder, report.published)
    except OSError as error:
        raise from_disk(error, str(folder), elsewhere=elsewhere) from error
    terminal.show_files(folder, console)
