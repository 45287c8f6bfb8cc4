"""The page of a study (or of a folder of studies): whether it shows the runs that are there, and making it anew."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actbench.errors import Problem, printable
from actbench.files.reading import MB, read_json
from actbench.report import runs, verdict_file
from actbench.report.configurations import Block, blocks
from actbench.report.runs import Run
from actbench.store import lock
from actbench.store.plausible import check_stays

FILE = "report.html"
_WAIT = 120.0  # seconds for another process that makes the same page; a page takes fewer
_LARGEST = 32 * MB  # of a verdict that is read


@dataclass(frozen=True)
class Page:
    """The page: `made` in so many seconds, or 0 where it showed everything already.

    `sentence` is the first one of the verdict, `configurations` the number of those that it is about, `problems` those
    of files that could not be read.
    """

    path: Path
    made: float = 0.0
    sentence: str = ""
    configurations: int = 0
    problems: list[Problem] = field(default_factory=list)


def current(folder: Path, *, about: str = "", of_command: bool = False, tell: runs.Tell = runs.silent) -> Page:
    """The page of all runs below `folder`, made anew where it lacks some of them.

    One process at a time makes it, so that the last one, which knows all runs, writes last.

    Args:
        about: the id of a configuration: of several verdicts the one that it is in is told.
        of_command, tell: those of `runs.find`.

    Raises:
        UserError: there is no run, or the page cannot be written.
    """
    path = folder / "report" / FILE
    with alone(path.parent):
        found = runs.find([folder], of_command=of_command, tell=tell)
        made, problems = 0.0, found.problems
        if not _shows(path, blocks(found.runs), found.runs):
            began = time.perf_counter()
            problems = _make(folder, of_command, tell)
            made = time.perf_counter() - began
        block = _block(path.parent, about)
    return Page(path, made, *block, problems)


def alone(report: Path) -> AbstractContextManager[bool]:
    """Within the block no other process writes the files of this report; says whether one has done so just before.

    A block lasts from reading the runs to writing the page: the last one of several shows them all, and no page is
    left beside the `verdict.json` of another. The lock is a file beside the folder, `.report.lock` for `report`.
    """
    beside = Path(os.path.abspath(report))
    return lock.alone(beside.parent / f".{beside.name}.lock", _WAIT, f"another process that is writing {report}")


def is_current(folder: Path, compared: Sequence[Block]) -> bool:
    """Whether the page of `folder` shows these blocks, which are all that is there."""
    every = [run for block in compared for configuration in block.configurations for run in configuration.runs]
    return _shows(folder / "report" / FILE, compared, every)


def _make(folder: Path, of_command: bool, tell: runs.Tell) -> list[Problem]:
    """Writes it, as `actbench report` does; returns the problems with what could not be read."""
    from actbench.report import command, looks

    report = command.make_report([folder], of_command=of_command, tell=tell)
    command.write(report, folder / "report")
    looks.record(report.studies)  # once there is something to look at
    return report.problems


# ---------------------------------------------------------------- what an earlier page shows


def _shows(path: Path, compared: Sequence[Block], found: Sequence[Run]) -> bool:
    """Whether a page has every result that is there now, and no other, and is newer than all of them."""
    try:
        shown = _seeds(_verdict(path.parent))
        written = path.stat().st_mtime
        newest = max((_written(run) for run in found if run.complete), default=0.0)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False
    there = {
        configuration.settings.id: configuration.n + len(configuration.diverged)
        for block in compared
        for configuration in block.configurations
    }
    return shown == there and newest <= written


def _written(run: Run) -> float:
    return (run.folder / "summary.json").stat().st_mtime


def _verdict(folder: Path) -> list[dict[str, Any]]:
    """The blocks of a `verdict.json`; raises what reading it raises."""
    path = folder / verdict_file.FILE
    check_stays(path)
    content: list[dict[str, Any]] = read_json(path, _LARGEST)["blocks"]
    return content


def _seeds(of_blocks: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Configuration id -> how many of its seeds have ended."""
    return {str(one["id"]): one["n"] + one["diverged"] for block in of_blocks for one in block["configurations"]}


def _block(folder: Path, about: str) -> tuple[str, int]:
    """The first sentence of a verdict, and of how many configurations it is."""
    try:
        found = _verdict(folder)
        own = [block for block in found if about in [one["id"] for one in block["configurations"]]]
        block = (own or found)[0]
        return printable(str(block["sentences"][0])), len(block["configurations"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return "", 0
