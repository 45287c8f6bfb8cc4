"""Several studies beside each other: when each was trained, what is in it, and the first sentence of its verdict."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from actbench.errors import Problem
from actbench.report import looks
from actbench.report.comparison import Terms, compare
from actbench.report.configurations import Block, blocks
from actbench.report.fitting import one_line, shortened
from actbench.report.formatting import count
from actbench.report.more_command import study_of
from actbench.report.runs import Run, trained_at
from actbench.report.text_table import TextTable
from actbench.report.verdict import MARGIN

TITLE = "Studies"
_DETAILED = 4  # studies about which a terminal says everything
_LISTED = 20  # that it names
_PAGE = Path("report") / "report.html"


@dataclass(frozen=True)
class StudyInShort:
    """A study: `trained` is when its last run was started, in local time; `data` the dataset and the epochs.

    `finished` and `unfinished` count runs. `sentence` is the first one of the verdict on its largest block, and `page`
    the path of its page, empty where none has been made.
    """

    folder: Path
    trained: str
    configurations: int
    finished: int
    unfinished: int
    data: str
    sentence: str
    page: str

    @property
    def contents(self) -> str:
        """`6 configurations, 6 runs (1 unfinished)`."""
        there = f"{count(self.configurations, 'configuration')}, {count(self.finished + self.unfinished, 'run')}"
        return f"{there} ({self.unfinished} unfinished)" if self.unfinished else there


def in_short(found: Sequence[Run], problems: list[Problem]) -> list[StudyInShort]:
    """The studies in which runs are, the one that was trained last first; nothing where that is a single one.

    Args:
        found: the runs.
        problems: those with files that cannot be read are added to them.
    """
    by_study: dict[Path, list[Run]] = {}
    for run in found:
        by_study.setdefault(study_of(run.folder), []).append(run)
    if len(by_study) < 2:
        return []
    studies = [(max(map(trained_at, own)), _study(folder, own, problems)) for folder, own in by_study.items()]
    return [study for _, study in sorted(studies, key=lambda pair: (pair[0], str(pair[1].folder)), reverse=True)]


def _study(folder: Path, own: Sequence[Run], problems: list[Problem]) -> StudyInShort:
    found = blocks(own)
    finished = sum(run.complete for run in own)
    titles = [block.title for block in found]
    more = f" and {len(titles) - 1} more" if len(titles) > 1 else ""
    page = folder / _PAGE
    return StudyInShort(
        folder=folder,
        trained=_local(max(map(trained_at, own))),
        configurations=len({run.settings.id for run in own}),
        finished=finished,
        unfinished=len(own) - finished,
        data=f"{titles[0]}{more}",
        sentence=_sentence(found, problems),
        page=str(page) if page.is_file() else "",
    )


def _sentence(found: Sequence[Block], problems: list[Problem]) -> str:
    """Of the verdict on the first block under the study's own terms: what the study's own page says."""
    new: list[Problem] = []
    own = looks.of_block(found[0], looks.studies(found, new))
    margin, test_set = looks.terms(own)
    terms = Terms(margin or MARGIN, test_set, per="none", look=looks.number(own), earlier=looks.earlier(own))
    sentences = compare(found[0], terms, new).verdict.sentences
    problems += [problem for problem in new if problem not in problems]
    return first_sentence(next(iter(sentences), ""))


def first_sentence(text: str) -> str:
    """The first of several sentences.

    >>> first_sentence("relu reaches 97.1 ± 0.2 %. There is nothing to compare it with.")
    'relu reaches 97.1 ± 0.2 %.'
    """
    return re.split(r"(?<=\.) (?=[A-Z])", text, maxsplit=1)[0]


def _local(recorded: str) -> str:
    """`2026-11-26 14:20`; a dash where it is not recorded."""
    try:
        return f"{datetime.fromisoformat(recorded).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "–"


def studies_table(studies: Sequence[StudyInShort]) -> TextTable | None:
    """A row for each study; None where there are not several."""
    if len(studies) < 2:
        return None
    header = ("study", "last trained", "configurations", "runs", "data", "verdict", "page")
    rows = tuple(
        (
            name,
            one.trained,
            str(one.configurations),
            f"{one.finished}{f' (and {one.unfinished} unfinished)' if one.unfinished else ''}",
            one.data,
            one.sentence,
            one.page or "–",
        )
        for name, one in zip(_names(studies), studies, strict=True)
    )
    return TextTable(TITLE, header, rows, text=True, gist=f"{len(rows)} studies")


def _names(studies: Sequence[StudyInShort]) -> list[str]:
    """Their names; their folders, where two have the same name."""
    names = [one.folder.name for one in studies]
    return names if len({*names} - {""}) == len(names) else [str(one.folder) for one in studies]


def lines(studies: Sequence[StudyInShort], width: int, *, full: bool) -> list[str]:
    """Three lines for each of the newest studies, one for each of the others; `full`: three for all of them."""
    names = [shortened(name, width // 3) for name in _names(studies)]
    longest = max(map(len, names))
    found: list[str] = []
    for number, (name, one) in enumerate(zip(names, studies, strict=True)):
        head = f"{name:<{longest}}  {one.trained}  {one.contents}"
        if not full and number >= _DETAILED:
            if number == _LISTED:
                return [*found, f"… and {len(studies) - _LISTED} more studies"]
            found.append(one_line(f"{head}; {one.sentence}", width))
            continue
        found += [one_line(f"{head}; {one.data}", width), one_line(f"  {one.sentence}", width)]
        found.append(f"  {one.page or 'no page yet: ' + shlex.join(['actbench', 'open', str(one.folder)])}")
    return found
