"""`sites=`: which of the activations that can be exchanged are exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from actbench.errors import UserError

ALL, LAST = "all", "last"


def selected(names: Sequence[str], patterns: str | Sequence[str]) -> list[str]:
    """Those of `names` that some patterns select, in their order.

    A pattern is `all`, `last`, or a name in which `*` stands for anything. One that begins with `-` takes away from
    what those before it select; where it is the first, from all.

    Raises:
        UserError: a pattern matches no name, or none is left.

    >>> selected(["a.relu1", "a.relu2", "b.relu"], "a.*"), selected(["a.relu1", "a.relu2", "b.relu"], "-last")
    (['a.relu1', 'a.relu2'], ['a.relu1', 'a.relu2'])
    """
    listed = [patterns] if isinstance(patterns, str) else [*patterns]
    chosen = {*names} if listed and listed[0].startswith("-") else set[str]()
    for pattern in listed:
        matched = {name for name in names if _matches(pattern.removeprefix("-"), name, names)}
        if not matched:
            raise UserError(
                "matches no activation that can be exchanged",
                where=f"sites={pattern}",
                how=f"there are {_shown(names)}",
            )
        chosen = chosen - matched if pattern.startswith("-") else chosen | matched
    if not chosen:
        raise UserError(
            "leaves nothing to exchange", where=f"sites={','.join(listed)}", how=f"there are {_shown(names)}"
        )
    return [name for name in names if name in chosen]


def _matches(pattern: str, name: str, names: Sequence[str]) -> bool:
    return pattern == ALL or (pattern == LAST and name == names[-1]) or fnmatchcase(name, pattern)


_MOST = 40  # names in a message


def _shown(names: Sequence[str]) -> str:
    rest = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {rest} more" if rest > 0 else "")
