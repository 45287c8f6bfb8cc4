"""Which run has its events in which folder of a study's `tensorboard/`: `.places`, a line for each run.

Without it each run that begins would look into the folders of all others. It only says where to look: a folder's own
files say whose it is. Where it lacks a folder that is there, or names one that is gone, it is made again from them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from actbench.files.atomic import write_text
from actbench.files.reading import MB, read_text

FILE = ".places"
_LARGEST = 100 * MB

Index = dict[str, set[str]]  # name of a folder of events -> the folders of the runs that are in it


def names(root: Path) -> set[str]:
    """The folders of events that are in `root`."""
    try:
        return {name for name in os.listdir(root) if not name.startswith(".")}
    except OSError:  # there is none, or it is a file
        return set()


def read(root: Path) -> Index | None:
    """The index; None where it is not that of the folders that are there."""
    index: Index = {}
    try:
        if (root / FILE).is_symlink():
            return None
        lines = read_text(root / FILE, _LARGEST).splitlines()
    except (OSError, ValueError):
        return None
    for line in lines:
        place, tab, run = line.partition("\t")
        if not tab:
            return None
        index.setdefault(place, set()).update({run} - {""})
    return index if index.keys() == names(root) else None


def renewed(root: Path, owners: Callable[[Path], Iterator[str]], earlier: Index | None = None) -> Index:
    """The index of the folders that are there, made from what `owners` says of each and what was known, and written."""
    index = {name: {*owners(root / name), *(earlier or {}).get(name, ())} for name in sorted(names(root))}
    if not (root / FILE).is_symlink():
        lines = [f"{place}\t{run}\n" for place, runs in index.items() for run in sorted(runs) or [""]]
        write_text(root / FILE, "".join(lines))
    return index


def add(root: Path, place: str, run: str) -> None:
    """Another run has its events in a folder; by the one who is alone in `root`."""
    with contextlib.suppress(OSError):
        file = os.open(root / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(f"{place}\t{run}\n")
