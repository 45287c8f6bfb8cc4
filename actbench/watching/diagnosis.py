"""`Diagnosis`: the state of a watched network's layers and what went wrong, for a terminal, a notebook and a page."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from actbench.measures.quantities import over_layers, placed
from actbench.records import Finding
from actbench.watching.findings import Layer, findings_of
from actbench.watching.records import LookRow

_MOST = 20  # layers in the table
_CHANGES = ("births", "deaths", "revivals")
_SELDOM = 0.01


@dataclass(frozen=True)
class Diagnosis:
    """The state of each layer at its last look, and findings, the worst first.

    `print` shows it as text, a notebook as a table.

    Attributes:
        layers: a row of each layer: the last look at it.
        changes: layer -> its births, deaths and revivals over all looks.
        looks: how many there were.
        findings: what went wrong, each with `code`, `evidence`, `cause` and `remedies`.
        exact: whether looks were taken on a held-out set.

    >>> print(Diagnosis.of([]))
    no look was taken
    """

    layers: tuple[LookRow, ...]
    changes: Mapping[str, tuple[int, int, int]]
    looks: int
    findings: tuple[Finding, ...]
    exact: bool = False

    @classmethod
    def of(
        cls, rows: Sequence[LookRow], layers: Mapping[str, Layer] | None = None, *, exact: bool = False
    ) -> Diagnosis:
        """Of the rows of all looks.

        Args:
            rows: in the order of the looks.
            layers: what else is known of the layers.
            exact: whether the looks were taken on a held-out set.
        """
        last = {row.layer: row for row in rows}
        changes = {name: [0, 0, 0] for name in last}
        for row in rows:
            for number, key in enumerate(_CHANGES):
                changes[row.layer][number] += getattr(row, key)
        found = findings_of(rows, layers or {}) if rows else []
        looks = len({row.step for row in rows if row.layer == rows[0].layer})
        in_threes = {name: (births, deaths, back) for name, (births, deaths, back) in changes.items()}
        return cls(tuple(last.values()), in_threes, looks, tuple(found), exact)

    def __str__(self) -> str:
        if not self.layers:
            return "no look was taken"
        console = Console(file=io.StringIO(), width=120, color_system=None, force_jupyter=False)  # else it displays
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        heading, rows = self._cells()
        table.add_column(heading[0], overflow="fold")
        for name in heading[1:]:
            table.add_column(name, justify="right")
        for cells in rows:
            if cells[0] == "all":
                table.add_section()
            table.add_row(*map(Text, cells))
        console.print(table)
        for line in self._remarks():
            console.print(Text(line), soft_wrap=True)
        console.print()
        if not self.findings:
            console.print("diagnosis    nothing alarming")
        else:
            console.print("diagnosis")
        for finding in self.findings:
            what = f"{finding.title}: {finding.evidence.rstrip('.')}. {finding.cause}"
            console.print(Padding(Text(what), (0, 0, 0, 2)))
            for remedy in finding.remedies:
                console.print(Text(f"    try  {remedy}"), soft_wrap=True)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        return "\n".join(line.rstrip() for line in text.splitlines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        if not self.layers:
            return "<p>no look was taken</p>"
        heading, rows = self._cells()
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
        parts = [f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"]
        parts += [f"<p><small>{escape(line)}</small></p>" for line in self._remarks()]
        if not self.findings:
            parts.append("<p>Nothing alarming was found.</p>")
        for finding in self.findings:
            remedies = "".join(f"<li>{escape(remedy)}</li>" for remedy in finding.remedies)
            what = f"<b>{escape(finding.title)}</b>: {escape(finding.evidence.rstrip('.'))}. {escape(finding.cause)}"
            parts.append(f"<p>{what}</p><p>What to try:</p><ul>{remedies}</ul>" if remedies else f"<p>{what}</p>")
        return "\n".join(parts)

    def markdown(self) -> str:
        """The findings as a page of text, as TensorBoard shows it."""
        if not self.findings:
            return "Nothing alarming was found."
        parts = []
        for finding in self.findings:
            remedies = "\n".join(f"- {remedy}" for remedy in finding.remedies)
            parts.append(f"### {finding.title}\n\n{finding.evidence}\n\n{finding.cause}\n\n{remedies}")
        return "\n\n".join(parts)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """The heading and the rows of the table: the layers in which most is wrong, in their order, and all of them."""
        quantities = placed(LookRow)
        heading = ["layer", "units", *(quantity.heading for quantity in quantities), *_CHANGES]
        worst = sorted(self.layers, key=lambda row: -_wrong(row))[:_MOST]
        rows = [
            [row.layer, f"{row.units:,}", *(quantity.shown(getattr(row, quantity.key)) for quantity in quantities),
             *map(str, self.changes[row.layer])]
            for row in self.layers if any(row is one for one in worst)
        ]  # fmt: skip
        if len(self.layers) > 1:
            shares = [quantity.shown(over_layers(self.layers, quantity)) for quantity in quantities]
            changes = [str(sum(of[number] for of in self.changes.values())) for number in range(len(_CHANGES))]
            rows.append(["all", f"{sum(row.units for row in self.layers):,}", *shares, *changes])
        return heading, rows

    def _remarks(self) -> Sequence[str]:
        step, samples = max(row.step for row in self.layers), self.layers[0].samples
        on = "held-out samples" if self.exact else "samples of the last training batches"
        looks = "1 look" if self.looks == 1 else f"{self.looks:,} looks"
        lines = [f"at step {step:,}, the last of {looks}, on {samples:,} {on}"]
        if len(self.layers) > _MOST:
            lines.append(f"the {_MOST} of {len(self.layers)} layers in which most units are dead or dormant")
        if not self.exact and any(row.dead > 0 for row in self.layers) and samples < 1 / (_SELDOM * _SELDOM):
            lines.append("a unit that seldom fires may look dead on so few: holdout=… counts on a set of yours")
        return lines


def _wrong(row: LookRow) -> float:
    return sum(share for share in (row.dead, row.dormant, row.saturated) if not math.isnan(share))
