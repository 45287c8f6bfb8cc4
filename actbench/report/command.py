"""`actbench report PATH ...`, and the comparison that a sweep ends with."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actbench.errors import Problem, UserError, from_disk
from actbench.files.output import PersistentConsole, telling, working
from actbench.report import conditions, looks, pages, runs, short, terminal
from actbench.report.comparison import Comparison, Terms, check_baseline, compare
from actbench.report.conditions import Condition
from actbench.report.configurations import Block, blocks
from actbench.report.diagnostics import read_diagnostics
from actbench.report.looks import Study
from actbench.report.published import PublishedComparison, published
from actbench.report.studies import StudyInShort, in_short, studies_table
from actbench.report.tuning import check_per
from actbench.report.verdict import MARGIN
from actbench.store.decide import TestSet

_WIDE = 200  # columns of everything in a file or a pipe


@dataclass(frozen=True)
class Asked:
    """What was typed; what is None comes from the study's `decide.json`, or is the default."""

    margin: float | None = None
    test_set: TestSet | None = None
    baseline: str | None = None
    per: str | None = None

    @property
    def words(self) -> list[str]:
        """The same as options of `actbench report`."""
        options = {
            "--margin": None if self.margin is None else f"{self.margin:g}", "--test-set": self.test_set,
            "--baseline": self.baseline, "--per": self.per,
        }  # fmt: skip
        return [word for option, value in options.items() if value is not None for word in (option, value)]


@dataclass(frozen=True)
class Shown:
    """How a report is shown: `full` with all tables, else in short, with the command that shows them: `whole`.

    `folder` is where it is written, None for nowhere, and `elsewhere` what to type for another one. `opened` is the
    command that opens the page, `told` whether the command that goes on with unfinished runs is said elsewhere, and
    `made` whether another process has made the page already.
    """

    folder: Path | None
    whole: str
    opened: str = ""
    full: bool = False
    elsewhere: str = "--output FOLDER"
    told: bool = False
    made: bool = False


@dataclass
class Report:
    """The comparisons of the runs below some paths, and every problem with them; `studies` are those of the runs.

    `fail_if` is a condition with its outcome, `listed` the studies in short where there are several.
    """

    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    published: list[PublishedComparison] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)
    fail_if: tuple[Condition, bool | None] | None = None
    listed: list[StudyInShort] = field(default_factory=list)


def main(arguments: argparse.Namespace) -> int:
    """`actbench report` with the arguments of `command.arguments.report`; returns the exit code.

    With `--fail-if`, `conditions.HOLDS` or `conditions.OPEN` where the condition holds or cannot be decided.

    Raises:
        UserError: with what could not be read or done, after everything else was reported.
    """
    folder = None if arguments.table else arguments.output or _default_folder(arguments.paths)
    with contextlib.nullcontext() if folder is None else pages.alone(folder):  # of a sweep that ends, for one
        return _report(arguments, folder)


def _report(arguments: argparse.Namespace, folder: Path | None) -> int:
    asked = Asked(arguments.margin, arguments.test_set, arguments.baseline, arguments.per)
    try:
        with telling() as tell:
            report = make_report(arguments.paths, asked, of_command=True, tell=tell)
    except UserError as error:
        if not arguments.published:
            raise
        report = Report(problems=list(error.problems))  # published figures can be shown without a run
    if arguments.published:
        ours = [configuration for comparison in report.comparisons for configuration in comparison.block.configurations]
        report.published = published(ours)
    if arguments.fail_if is not None and report.comparisons:
        _judge(report, arguments.fail_if)
    if any(problem.where.startswith(("--baseline", "--per", "--fail-if")) for problem in report.problems):
        folder = None  # it would not be what was asked for
    paths = [str(path) for path in arguments.paths]
    whole = shlex.join(["actbench", "report", *paths, *asked.words, *["--published"] * arguments.published, "--full"])
    _show_and_write(report, Shown(folder, whole, _opening(folder), full=arguments.full))
    return conditions.exit_code(report.fail_if[1]) if report.fail_if else 0


def after_sweep(study: Path, *, told: bool = False) -> None:
    """Shows the comparison of a whole study and writes it into the study's folder, unless another process just did.

    Args:
        told: whether the command that goes on with unfinished runs is said elsewhere.

    Raises:
        UserError: with the folders that could not be read.
    """
    print()
    folder, whole = study / "report", shlex.join(["actbench", "report", str(study), "--full"])
    with pages.alone(folder) as after_another:
        with telling() as tell:
            report = make_report([study], of_command=True, tell=tell)
        made = after_another and pages.is_current(study, [comparison.block for comparison in report.comparisons])
        shown = Shown(folder, whole, _opening(folder), elsewhere="output_dir=FOLDER", told=told, made=made)
        _show_and_write(report, shown)


def make_report(
    paths: Sequence[Path], asked: Asked | None = None, *, of_command: bool = False, tell: runs.Tell = runs.silent
) -> Report:
    """Finds, reads and compares the runs below some paths.

    A mistake in `baseline` or `per` becomes a problem of the report, which then uses the default. `of_command` and
    `tell` are those of `runs.find`.

    Raises:
        UserError: a path does not exist, or holds no run.
    """
    asked = asked or Asked()
    found = runs.find(paths, of_command=of_command, tell=tell)
    report = Report(problems=found.problems)
    compared = blocks(found.runs)
    baseline = asked.baseline
    errors = [error for block in compared if (error := _error(check_per, block, asked.per))]
    if errors and len(errors) == len(compared):  # one block that has it is enough
        report.problems += errors[0].problems
    errors = [error for block in compared if (error := _error(check_baseline, block, baseline))]
    if errors and len(errors) == len(compared):
        report.problems += errors[0].problems
        baseline = None
    report.studies = looks.studies(compared, report.problems)
    for block in compared:
        own = looks.of_block(block, report.studies)
        margin, test_set = looks.terms(own)
        terms = Terms(
            margin=asked.margin or margin or MARGIN, test_set=asked.test_set or test_set, baseline=baseline,
            per=None if _error(check_per, block, asked.per) else asked.per, look=looks.number(own),
            earlier=looks.earlier(own),
        )  # fmt: skip
        comparison = compare(block, terms, report.problems)
        diagnostics = read_diagnostics(block, report.problems)
        report.comparisons.append(replace(comparison, diagnostics=diagnostics))
    report.listed = in_short(found.runs, report.problems)
    return report


def _judge(report: Report, condition: Condition) -> None:
    """Whether the condition holds; one that names no configuration is a problem of the report."""
    try:
        verdicts = [comparison.verdict for comparison in report.comparisons]
        report.fail_if = condition, conditions.judge(condition, verdicts)
    except UserError as error:
        report.problems += error.problems


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


def _opening(folder: Path | None) -> str:
    """The command that opens the page of a folder."""
    if folder is None:
        return ""
    return shlex.join(["actbench", "open", str(folder.parent if folder.name == "report" else folder)])


def _show_and_write(report: Report, shown: Shown) -> None:
    """Shows the comparisons, writes them if there is a folder, and raises the problems at the end."""
    console = PersistentConsole("files are still written", highlight=False)
    if shown.full and not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = max(console.width, _WIDE)  # a file has room
    folder = shown.folder if report.comparisons else None
    about_page = short.page_lines(folder, shown.opened, shown.whole, console.width)
    taken = short.number_of_lines(about_page, console.width)
    comparisons = [comparison.told() for comparison in report.comparisons] if shown.told else report.comparisons
    shortened = None if shown.full else short.shorten(comparisons, console, about_page=taken)
    if report.listed:
        terminal.show_studies(report.listed, console, full=shown.full)
    if shortened is None:
        terminal.show(report.comparisons, console)
    else:
        short.show(shortened.top, console)
    if report.published:
        terminal.show_published(report.published, console)
    failed: UserError | None = None
    if folder is not None:
        looks.record(report.studies)
        try:
            with working(console, "the page is being made"):
                if not shown.made:
                    write(report, folder, elsewhere=shown.elsewhere)
        except UserError as error:
            failed, about_page = error, [about_page[0], *about_page[2:]]
    if shortened is None and folder is not None and not failed:
        terminal.show_files(folder, console)
    if shortened is None:
        terminal.show_verdicts(report.comparisons, console)
    else:
        short.show([*about_page, *shortened.verdict], console)
    if report.fail_if:
        terminal.show_condition(conditions.told(*report.fail_if), console)
    if failed:
        raise type(failed).of([*report.problems, *failed.problems])
    if report.problems:
        raise UserError.of(report.problems)


def write(report: Report, folder: Path, *, elsewhere: str = "--output FOLDER") -> None:
    """Writes the page, the data and the plots; `elsewhere` is what to type for another folder.

    Raises:
        UserError: the folder cannot be written to.
    """
    from actbench.report import page

    try:
        fail_if = (report.fail_if[0].text, report.fail_if[1]) if report.fail_if else None
        page.write(report.comparisons, report.problems, folder, report.published, fail_if, studies_table(report.listed))
    except OSError as error:
        raise from_disk(error, str(folder), elsewhere=elsewhere) from error
