"""Checks of files that someone else may have changed, shared by all readers of a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from actbench import __version__
from actbench.errors import printable
from actbench.files.reading import NotReadable, is_printable, leaves, parse_json, read_text

AWAY = "train the run again under another study=NAME, or move the folder away"
MOST = 1e18  # no count and no time is as much; what is above may not even be a floating-point number


def check_stays(path: str | Path) -> None:
    """Raises where a file of a run's folder is a link that leads out of it."""
    if os.path.islink(path) and leaves(Path(path), Path(path).parent):
        raise NotReadable("it is a link that leads out of the run's folder")


def reason(error: Exception) -> str:
    return printable(" ".join(str(error).split()))


def all_printable(content: Any) -> Any:
    """Stored words without what a terminal would obey: a run's reason may quote whatever an exception said."""
    if isinstance(content, str):
        return printable(content)
    if isinstance(content, dict):
        return {all_printable(key): all_printable(value) for key, value in content.items()}
    return [*map(all_printable, content)] if isinstance(content, list) else content


def words(content: Any) -> Iterator[str]:
    """All texts within plain values."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield str(key)
            yield from words(value)
    elif isinstance(content, (list, tuple)):
        for item in content:
            yield from words(item)


def is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < MOST


def lacking(content: Any, kind: type, folder: Path, *, beside: Sequence[str] = ()) -> str:
    """What a file of another version lacks, or has beyond; an empty string where it is ours.

    A field with a default may be missing: earlier versions did not write it.
    """
    if not isinstance(content, dict):
        return "does not hold names and values"
    needed, known = _columns(kind)
    missing = [key for key in (*beside, *needed) if key not in content]
    beyond = [key for key in content if key not in known and key not in beside]
    if not missing and not beyond:
        return ""
    what = f"has no `{missing[0]}`" if missing else f"has a `{beyond[0]}` that is not known here"
    theirs = _version(folder)
    return f"{what}; it was written by actbench {theirs}" if theirs not in ("", __version__) else what


@cache
def _columns(kind: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """The fields of a class that have no default, and all of them."""
    columns = fields(kind)
    return tuple(one.name for one in columns if one.default is MISSING), frozenset(one.name for one in columns)


def environment(folder: Path) -> dict[str, Any]:
    """What `environment.json` says; empty where it cannot be read."""
    path = f"{folder}/environment.json"
    try:
        check_stays(path)
        text = read_text(path)
        content = parse_json(text)
        content = content if is_printable(text) else all_printable(content)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _version(folder: Path) -> str:
    """The actbench that trained a run, by its `environment.json`."""
    packages = environment(folder).get("packages")
    return str(packages.get("actbench", "")) if isinstance(packages, dict) else ""
