"""`Rule`: the description of a finding: a stable code, what it is, why it is bad, an example, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One kind of finding, as its module in `actbench.diagnosis` declares it under the name `RULE`.

    All texts are plain sentences without markup. Thresholds in them are those of the module's constants.

    Args:
        code: its stable name in kebab case; it never changes.
        rank: its position among the findings of a run: the smaller, the worse.
        summary: one line, as in the README.
        what: the condition under which it is found.
        why: why it is bad.
        example: a command whose run has this finding.
        remedy: what is suggested, and under which conditions.
        metric: the metric of `summary.json` that shows it best, to be shown before and after a remedy; empty where none
            does.
    """

    code: str
    rank: int
    summary: str
    what: str
    why: str
    example: str
    remedy: str
    metric: str = ""


def as_markdown(rules: Iterable[Rule]) -> str:
    """A table of rules in Markdown, one row each, without a final line break."""
    rows = [(f"`{rule.code}`", *map(_cell, (rule.summary, rule.remedy))) for rule in rules]
    lines = [("finding", "what it is", "what to try"), ("---",) * 3, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
