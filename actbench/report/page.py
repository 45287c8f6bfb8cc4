"""The comparison as files: report.html (everything in one file), report.md, verdict.json, results.csv and the plots."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import re
import zlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from actbench import __version__
from actbench.errors import Problem, printable
from actbench.files.atomic import remove_strays, write_bytes, write_text
from actbench.report import provenance, verdict_file
from actbench.report.comparison import Comparison
from actbench.report.outline import Part, block_part, page_title, published_part
from actbench.report.plots import Plot, draw_plots
from actbench.report.published import PublishedComparison
from actbench.report.tables import tidy
from actbench.report.text_table import TextTable

_MOST_ROWS, _FEW_ROWS = 150, 100  # of a table on the page: with more, so many are in sight, and the rest is packed
_TEMPLATES = Path(__file__).with_name("template")


def write(
    comparisons: Sequence[Comparison],
    problems: list[Problem],
    folder: Path,
    published: Sequence[PublishedComparison] = (),
    fail_if: tuple[str, bool | None] | None = None,
    studies: TextTable | None = None,
) -> None:
    """Writes everything into `folder`; plots of an earlier report there are replaced.

    Files of runs that cannot be read are added to `problems`. `fail_if` is a condition, and whether it holds. `studies`
    is a table of what the comparisons were found in, and shown before them.

    Raises:
        OSError: the folder cannot be written to.
    """
    plots = folder / "plots"
    for path in (folder, plots):
        if path.is_symlink():  # the study may be a stranger's: files would be replaced elsewhere
            raise OSError(errno.ELOOP, "is a link: nothing is written through it", str(path))
    plots.mkdir(parents=True, exist_ok=True)
    remove_strays(folder, alone=False)
    earlier = [*plots.glob("*.svg"), *plots.glob("*.png")]  # not what another report writes meanwhile
    parts, written = [], set()
    for number, comparison in enumerate(comparisons, 1):
        prefix = "" if len(comparisons) == 1 else _file_name(comparison.block.title) + "-"
        drawn = _write_plots(comparison, problems, plots, prefix)
        written |= {f"{name}.{kind}" for name, _ in drawn for kind in ("svg", "png")}
        parts.append(block_part(comparison, drawn, number=number, alone=len(comparisons) == 1))
    if published:
        parts.append(published_part(published))
    for old in earlier:
        if old.name not in written:
            old.unlink(missing_ok=True)
    verdict_file.write(folder, comparisons, fail_if)
    write_text(folder / "results.csv", tidy(comparisons).to_csv(index=False, lineterminator="\n"))
    _write_pages(folder, comparisons, parts, problems, studies)


def _write_plots(
    comparison: Comparison, problems: list[Problem], folder: Path, prefix: str
) -> list[tuple[str, Plot]]:  # fmt: skip
    """Draws and writes the plots of a block, each with the name of its files."""
    drawn = []
    for plot in draw_plots(comparison, problems):
        name = f"{prefix}{plot.name}"
        write_bytes(folder / f"{name}.svg", plot.svg)
        write_bytes(folder / f"{name}.png", plot.png)
        drawn.append((name, plot))
    return drawn


def _write_pages(
    folder: Path,
    comparisons: Sequence[Comparison],
    parts: Sequence[Part],
    problems: Sequence[Problem],
    studies: TextTable | None,
) -> None:
    environments = provenance.environments(comparisons)
    script = _read("page.js")
    content = {
        "title": page_title([comparison.block for comparison in comparisons]),
        "parts": parts,
        "verdicts": [part for part in parts if part.verdict],
        "studies": studies,
        "links": _links(studies, folder),
        "problems": problems,
        "environment": provenance.environment(environments),
        "commands": provenance.commands(environments),
        "time": f"{datetime.now():%Y-%m-%d %H:%M}",
        "version": __version__,
        "style": Markup(_read("page.css")),
        "script": Markup(script),
        "script_digest": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    write_text(folder / "report.html", printable(_template("page.html").render(content)))
    write_text(folder / "report.md", printable(_template("page.md").render(content)))


def _file_name(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.replace(",", "")).strip("-")


# ---------------------------------------------------------------- templates


@cache
def _read(name: str) -> str:
    """A file that is a part of the page as it is."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _template(name: str) -> jinja2.Template:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.globals |= {"most": _MOST_ROWS, "few": _FEW_ROWS}
    templates.filters["packed"] = _packed
    templates.filters["code"] = html_prose
    templates.filters["cell_html"] = _html_cell
    templates.filters["cell"] = _markdown_cell
    templates.filters["prose"] = _markdown_prose
    templates.filters["line"] = lambda text: " ".join(str(text).split())
    return templates.get_template(name)


def html_prose(text: str) -> Markup:
    """A sentence, in which what is between backticks is code."""
    return Markup(re.sub("`([^`]+)`", lambda found: _html_code(found[1]), str(escape(text))))


def _html_code(escaped: str) -> str:
    """Code, whose lines do not end at the hyphens of a word, such as those of `--max-seeds`."""
    words = re.sub(r"[^ ]*-[^ ]*", r"<span>\g<0></span>", escaped)
    return f"<code>{words}</code>"


def _html_cell(text: str) -> Markup:
    """A cell of a table, in which a whole command is code, so that it can be copied."""
    return Markup(_html_code(str(escape(text)))) if re.match(r"actbench \S", text) else escape(text)


def _packed(table: TextTable, start: int) -> str:
    """The rows from number `start` on, which the page makes when they are asked for: JSON, compressed, in base64.

    Each is the word of its mark, then its cells.
    """
    marks = table.marks or ("",) * len(table.rows)
    rows = [(mark, *row) for mark, row in zip(marks[start:], table.rows[start:], strict=True)]
    text = printable(json.dumps(rows, ensure_ascii=False, separators=(",", ":")))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _links(table: TextTable | None, folder: Path) -> dict[str, str]:
    """The cells that are paths of pages, with their addresses as seen from `folder`."""
    cells = {cell for row in table.rows for cell in row} if table else set()
    pages = [cell for cell in cells if cell.endswith(".html") and Path(cell).is_file()]
    return {cell: quote(os.path.relpath(cell, folder)) for cell in pages}


def _markdown_cell(text: str) -> str:
    """Text for a table of Markdown, with everything escaped that would have a meaning there."""
    return re.sub(r"([|`*_<\\\[\]])", r"\\\1", " ".join(str(text).split())).replace("\\<", "&lt;")


def _markdown_prose(text: str) -> str:
    """The same for a sentence, in which commands of ours stay code."""
    words = re.split(r"(`actbench [^`<]+`)", " ".join(str(text).split()))
    return "".join(word if number % 2 else _markdown_cell(word) for number, word in enumerate(words))
