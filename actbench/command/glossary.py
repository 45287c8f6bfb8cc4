"""`actbench list measures`, `list findings` and `list CODE`: definitions of what is measured and diagnosed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from actbench.command.columns import rows, width, wrapped

if TYPE_CHECKING:
    from actbench.diagnosis import Rule
    from actbench.measures import Quantity

TOPICS = ("measures", "findings")


def show(topic: str, console: Console) -> None:
    """Prints one of TOPICS, or the finding that has this code."""
    if topic == "measures":
        _show_measures(console)
    elif topic == "findings":
        _show_findings(console)
    else:
        _show_finding(next(rule for rule in _rules() if rule.code == topic), console)


def codes() -> dict[str, str]:
    """The code of each finding -> what it is in a line."""
    return {rule.code: rule.summary for rule in _rules()}


def _quantities() -> list[Quantity]:
    from actbench.measures import glossary

    return glossary()


def _rules() -> Sequence[Rule]:
    from actbench.diagnosis import rules

    return rules()


def _show_measures(console: Console) -> None:
    from actbench.measures.registry import places

    room = width()
    console.print(Text("measures", style="bold"))
    for quantity in _quantities():
        unit = f" ({quantity.unit})" if quantity.unit else ""
        source = f" Source: {quantity.source}." if quantity.source else ""
        text = f"{quantity.definition}{source} In {', '.join(places(quantity))}."
        _print(rows([(f"{quantity.key}{unit}", text)], room, left=28), console)


def _show_findings(console: Console) -> None:
    room = width()
    console.print(Text("findings", style="bold"))
    _print(rows(codes().items(), room), console)
    _print(["", *wrapped("actbench list FINDING explains one of them", room)], console)


def _show_finding(rule: Any, console: Console) -> None:
    room = width()
    console.print(Text(rule.code, style="bold"))
    _print(wrapped(rule.summary, room, indent="  "), console)
    parts = [("what", rule.what), ("why", rule.why), ("example", rule.example), ("remedy", rule.remedy)]
    _print(rows([(name, text) for name, text in parts if text], room, left=8), console)


def _print(lines: list[str], console: Console) -> None:
    for line in lines:
        console.print(Text(line))
