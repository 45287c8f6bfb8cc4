"""The comparison as files: report.html (all in one), report.md, results.csv and the plots."""

from __future__ import annotations

import base64
import errno
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from actbench import __version__
from actbench.errors import Problem, printable
from actbench.files.atomic import remove_strays, write_bytes, write_text
from actbench.report import runs
from actbench.report.comparison import Comparison
from actbench.report.plots import Picture, pictures
from actbench.report.published import TITLE, Beside
from actbench.report.runs import Run
from actbench.report.tables import sheets, tidy
from actbench.report.text_table import Sheet
from actbench.report.words import count as number


@dataclass(frozen=True)
class Section:
    """One block of the page."""

    title: str
    common: str
    note: str
    sentences: list[str]
    sheets: list[Sheet]
    pictures: list[tuple[str, Picture]]  # with the name of its files
    remarks: list[str]


def write(
    comparisons: Sequence[Comparison], problems: list[Problem], folder: Path, published: Sequence[Beside] = ()
) -> None:
    """Everything into `folder`; plots of an earlier report there are replaced.

    Files that cannot be read are added to `problems`.
    """
    plots = folder / "plots"
    for path in (folder, plots):
        if path.is_symlink():  # of a stranger's study: files would be replaced elsewhere
            raise OSError(errno.ELOOP, "is a link: nothing is written through it", str(path))
    plots.mkdir(parents=True, exist_ok=True)
    remove_strays(folder, alone=False)
    earlier = [*plots.glob("*.svg"), *plots.glob("*.png")]  # what another report writes meanwhile is left to it
    sections, written = [], set()
    for comparison in comparisons:
        prefix = "" if len(comparisons) == 1 else _file_name(comparison.block.title) + "-"
        drawn = []
        for picture in pictures(comparison, problems):
            name = f"{prefix}{picture.name}"
            write_bytes(plots / f"{name}.svg", picture.svg)
            write_bytes(plots / f"{name}.png", picture.png)
            drawn.append((name, picture))
            written |= {f"{name}.svg", f"{name}.png"}
        sections.append(_section(comparison, drawn))
    if published:
        sections.append(_published(published))
    for old in earlier:
        if old.name not in written:
            old.unlink(missing_ok=True)
    write_text(folder / "results.csv", tidy(comparisons).to_csv(index=False, lineterminator="\n"))
    environments = [runs.environment(run) for run in _runs(comparisons)]
    content = {
        "sections": sections,
        "problems": problems,
        "environment": environment(environments),
        "commands": commands(environments),
        "time": f"{datetime.now():%Y-%m-%d %H:%M}",
        "version": __version__,
    }
    write_text(folder / "report.html", printable(_template("page.html").render(content)))
    write_text(folder / "report.md", printable(_template("page.md").render(content)))


def _section(comparison: Comparison, drawn: list[tuple[str, Picture]]) -> Section:
    block = comparison.block
    remarks = list(comparison.remarks)
    return Section(block.title, block.common, block.note, comparison.sentences, sheets(comparison), drawn, remarks)


def _published(besides: Sequence[Beside]) -> Section:
    sentences = [beside.sentence for beside in besides if beside.sentence]
    missing = [f"{what}: {command}" for beside in besides for what, command in beside.missing]
    return Section(TITLE, "", "", sentences, [beside.sheet for beside in besides if beside.sheet], [], missing)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.replace(",", "")).strip("-")


def _runs(comparisons: Sequence[Comparison]) -> list[Run]:
    complete = [run for one in comparisons for c in one.block.configurations for run in c.runs]
    return complete + [run for one in comparisons for _, run in one.block.waiting]


def environment(of_runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the runs were trained on: each item with the different values that it had."""
    values: dict[str, dict[str, int]] = {}
    for content in of_runs:
        for key, value in _flat_environment(content):
            of_key = values.setdefault(key, {})
            of_key[value] = of_key.get(value, 0) + 1
    return [(key, "; ".join(_counted(of_key))) for key, of_key in values.items()]


def _flat_environment(content: dict[str, Any]) -> list[tuple[str, str]]:
    wanted = ("device", "threads", "platform", "python", "host", "cpu_capability", "cuda")
    items = [(key, str(content[key])) for key in wanted if content.get(key) is not None]
    packages = content.get("packages")
    items += [(name, str(v)) for name, v in packages.items() if v] if isinstance(packages, dict) else []
    git = content.get("git")
    if isinstance(git, dict):
        items.append(("commit", f"{str(git.get('commit'))[:10]}{' with changes' if git.get('dirty') else ''}"))
    return items


def _counted(values: dict[str, int]) -> list[str]:
    if len(values) == 1:
        return list(values)
    return [f"{value} ({number(count, 'run')})" for value, count in list(values.items())[:5]] + ["..."] * (
        len(values) > 5
    )


def commands(of_runs: Sequence[dict[str, Any]]) -> list[str]:
    """The command lines that made the runs, each once."""
    lines: dict[str, None] = {}
    for content in of_runs:
        argv = content.get("argv")
        if isinstance(argv, list) and argv:
            lines[shlex.join(["actbench", *map(str, argv[1:])])] = None
    return list(lines)


# ---------------------------------------------------------------- templates


def _template(name: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    made = jinja2.Environment(
        loader=loader,
        autoescape=name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["inline"] = lambda svg: "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    made.filters["cell"] = _markdown_cell
    made.filters["line"] = lambda text: " ".join(str(text).split())
    return made.get_template(name)


def _markdown_cell(text: str) -> str:
    """Words for a table of Markdown, in which HTML and bars would mean something."""
    return re.sub(r"([|`*_<\\\[\]])", r"\\\1", " ".join(str(text).split())).replace("\\<", "&lt;")
