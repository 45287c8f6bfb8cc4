"""How results look in a notebook: plain HTML in the notebook's own colours, light or dark, without scripts."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from actbench.custom.conf_files import near
from actbench.errors import UserError, printable
from actbench.records import Estimate

if TYPE_CHECKING:
    from actbench.api.comparisons import Comparison
    from actbench.api.pictures import Picture
    from actbench.api.runs import Run
    from actbench.report.comparison import Comparison as Reported

_METRICS = {  # of a run, in this order
    "test_accuracy": "test accuracy %", "val_accuracy": "validation accuracy %", "test_loss": "test loss",
    "train_loss": "training loss",
}  # fmt: skip
_RATIOS = ("dead", "dormant", "saturated", "active")
_SMALL = "opacity:.75;font-size:.9em"
_CELL = "padding:2px 10px 2px 0;text-align:{};border:none;white-space:nowrap;background:none;color:inherit"


def of_comparison(comparison: Comparison, of: Reported) -> str:
    """The verdict, the picture of differences, the table of results, and where the rest is."""
    first, *others = comparison.verdict.sentences or ("There is nothing to compare yet.",)
    parts = [f'<p style="margin:.2em 0"><b>{_sentence(first)}</b></p>']
    parts += [f'<p style="margin:.2em 0">{_sentence(sentence)}</p>' for sentence in others]
    with contextlib.suppress(UserError):  # fewer than two with enough seeds
        parts.append(_picture(comparison.plot.differences()))
    if of.block.configurations:
        parts.append(_results(of))
    parts += [f'<p style="margin:.2em 0;color:#c0392b">{_text(str(problem))}</p>' for problem in comparison.problems]
    parts += [f'<p style="margin:.2em 0">{_text(_unfinished(of))}</p>'] if of.block.waiting else []
    more = f"; {len(comparison.others)} more in .others" if comparison.others else ""
    where = f"{of.block.title}{more} · {near(comparison.folder / 'report' / 'report.html')}"
    return _whole([*parts, f'<p style="{_SMALL};margin:.4em 0">{_text(where)}</p>'])


def of_run(run: Run) -> str:
    """The metrics with each seed, the layers after training, the findings, and the folder."""
    head = f"{run.settings.label}, seeds {', '.join(map(str, run.seeds))}"
    parts = [f'<p style="margin:.2em 0"><b>{_text(head)}</b></p>']
    by_seed = run.by_seed
    rows = [
        (heading, Estimate.of([*map(float, by_seed[key])]).plus_minus(3 if "loss" in key else 2),
         " ".join(f"{value:.{3 if 'loss' in key else 2}f}" for value in by_seed[key]))
        for key, heading in _METRICS.items() if key in by_seed
    ]  # fmt: skip
    parts.append(_table(("metric", f"mean ± 95 % (n = {len(by_seed)})", "by seed"), rows))
    if len(run.layers):
        parts.append(_layers(run))
    for finding in run.findings:
        remedies = (
            " Try " + ", or ".join(f'"{remedy}"' for remedy in finding.remedies) + "." if finding.remedies else ""
        )
        what = f"<b>{_text(finding.title)}</b>: {_text(finding.evidence.rstrip('.'))}. {_text(finding.cause)}"
        parts.append(f'<p style="margin:.2em 0">{what}{_text(remedies)}</p>')
    if not run.findings:
        parts.append('<p style="margin:.2em 0">Nothing alarming was found.</p>')
    return _whole([*parts, f'<p style="{_SMALL};margin:.4em 0">{_text(str(near(run.folder)))}</p>'])


def _layers(run: Run) -> str:
    last = run.layers[run.layers["epoch"] == run.layers["epoch"].max()]
    means = last.groupby("layer", sort=False)[["units", *_RATIOS]].mean()
    rows = [
        (str(layer), f"{row['units']:.0f}",
         *(_percent(row[key]) for key in _RATIOS))
        for layer, row in means.iterrows()
    ]  # fmt: skip
    return _table(("layer", "units", "dead %", "dormant %", "saturated %", "active %"), rows)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f}" if ratio == ratio else "–"


def _results(of: Reported) -> str:
    from actbench.report.tables import comparison_tables

    results = comparison_tables(of)[0]
    shown = [place for place, name in enumerate(results.header) if name in results.important]
    rows = [[row[place] for place in shown] for row in results.rows]
    return _table([results.header[place] for place in shown], rows)


def _unfinished(of: Reported) -> str:
    names = dict.fromkeys(name for name, _ in of.block.waiting)
    return f"Without results: {', '.join(names)}; the same call goes on with them."


def _picture(picture: Picture) -> str:
    """In a frame of white, on which it was drawn; as an image, so that nothing in it meets the page."""
    data = base64.b64encode(picture.svg).decode()
    style = "background:#fff;border-radius:6px;padding:6px;max-width:100%;box-sizing:border-box;margin:.4em 0"
    return f'<img alt="{_text(picture.caption)}" src="data:image/svg+xml;base64,{data}" style="{style}">'


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column and words to the left, numbers to the right."""
    head = "".join(
        f'<th style="{_CELL.format(_side(k))};border-bottom:1px solid">{_text(c)}</th>' for k, c in enumerate(header)
    )
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL.format(_side(k))}">{_text(c)}</td>' for k, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    style = "border-collapse:collapse;margin:.4em 0"
    return f'<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _side(column: int) -> str:
    return "left" if column == 0 else "right"


def _text(text: str) -> str:
    return escape(printable(text))


def _sentence(text: str) -> str:
    """A sentence of the verdict, whose commands are code as they are on the page."""
    from actbench.report.page import html_prose

    return html_prose(printable(text))


def _whole(parts: Iterable[str]) -> str:
    return f'<div style="color:inherit">{"".join(parts)}</div>'
