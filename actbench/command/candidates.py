"""What may stand at the cursor: words of a command line, and the options of a subcommand's parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A whole word that may stand where the cursor is; `open` where something has to follow without a space."""

    word: str
    description: str = ""
    open: bool = False


def options(
    parser: argparse.ArgumentParser,
    words: Sequence[str],
    current: str,
    values: dict[str, Sequence[str] | str],
    positional: Sequence[str] | str,
) -> list[Candidate] | str:
    """The options of a parser, the values of the option before the cursor, or what stands without one."""
    takes_value = {}
    helps = {}
    for action in parser._actions:
        for option in action.option_strings:
            helps[option] = re.sub(r"%%", "%", action.help or "")
            if action.nargs != 0:
                takes_value[option] = tuple(map(str, action.choices or ())) or values.get(option, ())
    option, equals, _ = current.partition("=")
    if equals and option in takes_value:
        known = takes_value[option]
        return known if isinstance(known, str) else plain(f"{option}={value}" for value in known)
    if words and words[-1] in takes_value:
        known = takes_value[words[-1]]
        return known if isinstance(known, str) else plain(known)
    if current.startswith("-"):
        return [
            Candidate(name, description) for name, description in helps.items() if name not in words and name != "-h"
        ]
    return positional if isinstance(positional, str) else plain(name for name in positional if name not in words)


def plain(words: Iterable[str]) -> list[Candidate]:
    """Words of which nothing is said."""
    return [Candidate(word) for word in words]
