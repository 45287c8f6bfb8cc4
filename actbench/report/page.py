"""The comparison as files: report.html (everything in one file), report.md, verdict.json, results.csv and the plots."""

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
from markupsafe import Markup, escape

from actbench import __version__
from actbench.errors import Problem, printable
from actbench.files.atomic import remove_strays, write_bytes, write_text
from actbench.report import runs, verdict_file
from actbench.report.comparison import Comparison
from actbench.report.evidence import evidence
from actbench.report.formatting import count
from actbench.report.plots import Plot, draw_plots
from actbench.report.published import TITLE, PublishedComparison
from actbench.report.runs import Run
from actbench.report.tables import comparison_tables, tidy
from actbench.report.text_table import TextTable


@dataclass(frozen=True)
class Section:
    """One block of the page, or the published figures."""

    title: str
    sentences: Sequence[str]
    tables: list[TextTable]
    shared: str = ""
    note: str = ""
    plots: Sequence[tuple[str, Plot]] = ()  # with the names of their files
    remarks: Sequence[str] = ()
    verdict: Sequence[str] = ()  # first on the page
    evidence: TextTable | None = None


def write(
    comparisons: Sequence[Comparison],
    problems: list[Problem],
    folder: Path,
    published: Sequence[PublishedComparison] = (),
    fail_if: tuple[str, bool | None] | None = None,
    studies: TextTable | None = None,
) -> None:
    """Writes everything into `folder`; plots of an earlier report there are replaced.

    Files of runs that cannot be read are added to `problems`. `fail_if` is a condition, and whether it holds.

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
    sections, written = [_studies_section(studies)] if studies else [], set()
    for comparison in comparisons:
        prefix = "" if len(comparisons) == 1 else _file_name(comparison.block.title) + "-"
        drawn = []
        for plot in draw_plots(comparison, problems):
            name = f"{prefix}{plot.name}"
            write_bytes(plots / f"{name}.svg", plot.svg)
            write_bytes(plots / f"{name}.png", plot.png)
            drawn.append((name, plot))
            written |= {f"{name}.svg", f"{name}.png"}
        sections.append(_section(comparison, drawn))
    if published:
        sections.append(_published_section(published))
    for old in earlier:
        if old.name not in written:
            old.unlink(missing_ok=True)
    verdict_file.write(folder, comparisons, fail_if)
    write_text(folder / "results.csv", tidy(comparisons).to_csv(index=False, lineterminator="\n"))
    environments = [runs.environment(run) for run in _runs(comparisons)]
    content = {
        "sections": sections,
        "verdicts": [section for section in sections if section.verdict],
        "problems": problems,
        "environment": environment(environments),
        "commands": commands(environments),
        "time": f"{datetime.now():%Y-%m-%d %H:%M}",
        "version": __version__,
    }
    write_text(folder / "report.html", printable(_template("page.html").render(content)))
    write_text(folder / "report.md", printable(_template("page.md").render(content)))


def _section(comparison: Comparison, plots: Sequence[tuple[str, Plot]]) -> Section:
    block = comparison.block
    return Section(
        title=block.title,
        shared=block.shared,
        note=block.note,
        sentences=(),
        verdict=comparison.sentences,
        evidence=evidence(comparison.verdict),
        tables=comparison_tables(comparison),
        plots=plots,
        remarks=comparison.remarks,
    )


def _studies_section(table: TextTable) -> Section:
    return Section(title=table.title, sentences=(), tables=[table])


def _published_section(published: Sequence[PublishedComparison]) -> Section:
    return Section(
        title=TITLE,
        sentences=[experiment.sentence for experiment in published if experiment.sentence],
        tables=[experiment.table for experiment in published if experiment.table],
        remarks=[f"{what}: {command}" for experiment in published for what, command in experiment.missing],
    )


def _file_name(title: str) -> str:
    return re.sub(r"[^\w]+", "-", title.replace(",", "")).strip("-")


def _runs(comparisons: Sequence[Comparison]) -> list[Run]:
    blocks = [comparison.block for comparison in comparisons]
    complete = [run for block in blocks for configuration in block.configurations for run in configuration.runs]
    return complete + [run for block in blocks for _, run in block.waiting]


def environment(of_runs: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What the runs were trained on: each item with its different values."""
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
    shown = [f"{value} ({count(runs_with_it, 'run')})" for value, runs_with_it in list(values.items())[:5]]
    return [*shown, *(["..."] if len(values) > 5 else [])]


def commands(of_runs: Sequence[dict[str, Any]]) -> list[str]:
    """The command lines that trained the runs, each once."""
    lines: dict[str, None] = {}
    for content in of_runs:
        argv = content.get("argv")
        if isinstance(argv, list) and argv:
            lines[shlex.join(["actbench", *map(str, argv[1:])])] = None
    return list(lines)


# ---------------------------------------------------------------- templates


def _template(name: str) -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    templates = jinja2.Environment(
        loader=loader,
        autoescape=name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["inline"] = lambda svg: "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    templates.filters["code"] = lambda text: Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))
    templates.filters["cell"] = _markdown_cell
    templates.filters["line"] = lambda text: " ".join(str(text).split())
    return templates.get_template(name)


def _markdown_cell(text: str) -> str:
    """Text for a table of Markdown, with everything escaped that would have a meaning there."""
    return re.sub(r"([|`*_<\\\[\]])", r"\\\1", " ".join(str(text).split())).replace("\\<", "&lt;")
