"""What the page shows, in its order: for each block a picture and a table in sight, and the rest in sections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from actbench.report.comparison import Comparison
from actbench.report.configurations import Block
from actbench.report.drawing import names_in_pictures
from actbench.report.evidence import evidence
from actbench.report.formatting import count, listed
from actbench.report.plots import Plot
from actbench.report.published import TITLE, PublishedComparison
from actbench.report.sections import SECTIONS, TOP
from actbench.report.svg import Inline, inline
from actbench.report.tables import comparison_tables
from actbench.report.text_table import TextTable

_SWITCHES = 200  # configurations that can be switched off one by one; of more those that pictures show
_FEW = 4  # configurations whose names make a title
_COUNTED = {"findings": "finding", "unfinished": "run"}  # what a heading counts where no table has a gist
OPEN = "unfinished"  # what is missing must not be overlooked


@dataclass(frozen=True)
class Picture:
    """A plot with the name of its files, and as a part of the page."""

    file: str
    plot: Plot
    inline: Inline


@dataclass(frozen=True)
class Section:
    """Tables and pictures under one heading, which says their `gist`; `anchor` is its id on the page."""

    key: str
    anchor: str
    title: str
    gist: str
    pictures: Sequence[Picture]
    tables: Sequence[TextTable]
    open: bool = False


@dataclass(frozen=True)
class Part:
    """One block of the page, or the published figures: what is in sight, then its sections.

    `names` are those of its configurations, which can be switched off, `number` is how many there are: of very many
    only those that pictures show have a switch.
    """

    anchor: str
    title: str
    shared: str = ""
    note: str = ""
    names: Sequence[str] = ()
    number: int = 0
    verdict: Sequence[str] = ()  # first on the page
    sentences: Sequence[str] = ()
    remarks: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[TextTable] = ()
    sections: Sequence[Section] = field(default_factory=list)


# ---------------------------------------------------------------- titles


def page_title(blocks: Sequence[Block]) -> str:
    """What is compared: `gelu and relu on mnist, 10 epochs`."""
    if not blocks:
        return "actbench"
    if len(blocks) == 1:
        return f"{compared(blocks)} on {blocks[0].title}"
    titles = f": {'; '.join(block.title for block in blocks)}" if len(blocks) <= 3 else ""
    return f"{compared(blocks)} in {len(blocks)} comparisons{titles}"


def compared(blocks: Sequence[Block]) -> str:
    """The names of a few configurations, best first; many are counted."""
    names = list(dict.fromkeys(name for block in blocks for name in names_of(block)))
    if len(names) <= _FEW and sum(map(len, names)) <= 60:
        return listed(names)
    only_activations = all(key.partition(".")[0] == "activation" for block in blocks for key in block.varying)
    return count(len(names), "activation function" if only_activations else "configuration")


def names_of(block: Block) -> list[str]:
    """All configurations, those without results last."""
    return list(dict.fromkeys([*(one.name for one in block.configurations), *(name for name, _ in block.waiting)]))


# ---------------------------------------------------------------- parts


def block_part(comparison: Comparison, plots: Sequence[tuple[str, Plot]], *, number: int, alone: bool) -> Part:
    """The part of the block with this `number`, from 1; `plots` have the names of their files."""
    block = comparison.block
    tail = "" if number == 1 else f"-{number}"
    pictures = [
        Picture(file, plot, inline(plot.svg, f"{plot.name}{tail}-", plot.caption)) for file, plot in plots
    ]  # fmt: skip
    against, names = evidence(comparison.verdict), names_of(block)
    tables = [*comparison_tables(comparison), *([against] if against else [])]
    return Part(
        anchor=f"block{tail}",
        title="Results" if alone else block.title,
        shared=block.shared,
        note=block.note,
        names=names if len(names) <= _SWITCHES else names_in_pictures(comparison),
        number=len(names),
        verdict=comparison.sentences,
        remarks=comparison.remarks,
        pictures=[picture for picture in pictures if picture.plot.section == TOP],
        tables=[table for table in tables if table.section == TOP],
        sections=_sections(pictures, tables, tail),
    )


def _sections(pictures: Sequence[Picture], tables: Sequence[TextTable], tail: str) -> list[Section]:
    """Those that have something to show, in the order of `SECTIONS`; an own plot's own section is the last."""
    used = dict.fromkeys([*(p.plot.section for p in pictures), *(table.section for table in tables)])
    nothing_above = not any(picture.plot.section == TOP for picture in pictures)
    found: list[Section] = []
    for key in [*(key for key in SECTIONS if key in used), *(key for key in used if key not in (*SECTIONS, TOP))]:
        of_section = [picture for picture in pictures if picture.plot.section == key]
        own = [table for table in tables if table.section == key]
        first = nothing_above and bool(of_section) and not any(section.open for section in found)
        found.append(
            Section(
                key, f"{_anchor(key)}{tail}", SECTIONS.get(key, key), _gist(key, own), of_section, own,
                open=first or key == OPEN,
            )
        )  # fmt: skip
    return found


def _anchor(key: str) -> str:
    return re.sub(r"\W+", "-", key)


def _gist(key: str, tables: Sequence[TextTable]) -> str:
    gists = list(dict.fromkeys(table.gist for table in tables if table.gist))
    if not gists and key in _COUNTED and tables:
        return count(sum(len(table.rows) for table in tables), _COUNTED[key])
    return "; ".join(gists)


def published_part(published: Sequence[PublishedComparison]) -> Part:
    """The published figures beside ours."""
    return Part(
        anchor="published",
        title=TITLE,
        sentences=[experiment.sentence for experiment in published if experiment.sentence],
        tables=[experiment.table for experiment in published if experiment.table],
        remarks=[f"{what}: `{command}`" for experiment in published for what, command in experiment.missing],
    )
