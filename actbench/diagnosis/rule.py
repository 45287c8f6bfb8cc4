"""What a finding is, in words: a stable code, what it says, why that is bad, how to see one, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One kind of finding, as its module in `actbench.diagnosis` declares it under the name `RULE`.

    All texts are plain sentences without markup. Thresholds in them are those of the module's constants.

    Args:
        code: its name for people and programs, in kebab case; it never changes.
        rank: its place among the findings of a run, the worst first: the smaller, the worse.
        summary: one line.
        what: when it is found.
        why: why it is bad.
        example: a command in whose run it is found.
        remedy: what is offered against it, and where that depends on something, on what.
    """

    code: str
    rank: int
    summary: str
    what: str
    why: str
    example: str
    remedy: str


def as_markdown(rules: Iterable[Rule]) -> str:
    """A table of rules in Markdown, one row each, without a line end behind it."""
    rows = [(f"`{rule.code}`", *map(_cell, (rule.summary, rule.remedy))) for rule in rules]
    lines = [("finding", "what it is", "what to try"), ("---",) * 3, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
