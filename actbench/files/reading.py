"""Reads files that somebody else may have written: plain text within a size, with nothing in it that runs or explodes.

What is wrong with a file is a ValueError (or an OSError, where it cannot be opened) that says what in a few words.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from actbench.errors import printable

MB = 1_000_000
DEPTH = 60  # lists within lists; what is written here has five
NODES = 100_000  # values of a YAML file, each alias counted as what it stands for
LINE = 64_000  # characters in a line of a CSV file
_PART = 65_536  # bytes that are read at once
_AHEAD = 64  # folders whose files are asked for before they are read


class NotReadable(ValueError):
    """A file is not what it should be; the text says why."""


def open_plain(path: str | Path, limit: int) -> int:
    """A descriptor of a plain file of at most `limit` bytes: no pipe to wait for, no device without an end.

    Raises:
        NotReadable: it is something else, or larger.
        OSError: it cannot be opened.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise (
                IsADirectoryError(f"{path} is a folder")
                if stat.S_ISDIR(status.st_mode)
                else NotReadable("it is not a plain file")
            )
        if status.st_size > limit:
            raise NotReadable(f"it has {_size(status.st_size)}; at most {_size(limit)} are read")
    except BaseException:
        os.close(file)
        raise
    return file


def _size(size: int) -> str:
    return f"{size / MB:,.0f} MB" if size >= MB else f"{size:,} bytes"


def read_text(path: str | Path, limit: int = MB) -> str:
    """The text of a plain file in UTF-8.

    Raises:
        NotReadable, UnicodeDecodeError: it is none, or too large.
        OSError: it cannot be read.
    """
    text = read_bytes(path, limit).decode()
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_bytes(path: str | Path, limit: int = MB) -> bytes:
    """The content of a plain file.

    Raises:
        NotReadable: it is none, or too large.
        OSError: it cannot be read.
    """
    return _content(open_plain(path, limit), limit)


def _content(file: int, limit: int) -> bytes:
    """What a descriptor still has to give, `limit` bytes or little more; it is closed."""
    try:
        content = bytearray()
        while len(content) <= limit and (part := os.read(file, _PART)):  # it may have grown meanwhile
            content += part
        return bytes(content)
    finally:
        os.close(file)


def fetched(folders: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """The folders, while the system is reading these files of the next ones already.

    A disk answers many requests at once, and who reads thousands of small files one by one waits for each of them.
    """
    _fetch(folders[:_AHEAD], names)
    for number, folder in enumerate(folders):
        if number % _AHEAD == 0:
            _fetch(folders[number + _AHEAD : number + 2 * _AHEAD], names)
        yield folder


def _fetch(folders: Sequence[str], names: Sequence[str]) -> None:
    if not hasattr(os, "posix_fadvise"):
        return
    for folder in folders:
        for name in names:
            with contextlib.suppress(OSError):
                file = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    os.posix_fadvise(file, 0, _PART, os.POSIX_FADV_WILLNEED)
                finally:
                    os.close(file)


def read_json(path: str | Path, limit: int = MB) -> Any:
    """The content of a JSON file, without NaN, Infinity or a key that is there twice.

    Raises:
        ValueError: it is not that.
        OSError: it cannot be read.
    """
    return parse_json(read_text(path, limit))


def parse_json(text: str) -> Any:
    """The same of a text."""
    try:
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise NotReadable("it is nested too deeply") from None
    if text.count("[") + text.count("{") > DEPTH:
        _check_depth(content)
    return content


def _no_constant(word: str) -> Any:
    raise NotReadable(f"{word} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise NotReadable(f"`{next(key for key in keys if keys.count(key) > 1)}` is in it twice")
    return content


def _check_depth(content: Any) -> None:
    """Raises where lists and mappings lie too deep within each other; without recursion."""
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > DEPTH:
            raise NotReadable("it is nested too deeply")
        inner = (x.values() if isinstance(x, dict) else x for x in level if isinstance(x, (dict, list)))
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]


def read_yaml(path: str | Path, limit: int = MB) -> Any:
    """The content of a YAML file: plain values alone, each key once, no aliases that multiply.

    Raises:
        ValueError, yaml.YAMLError: it is not that.
        OSError: it cannot be read.
    """
    return parse_yaml(read_text(path, limit))


def parse_yaml(text: str) -> Any:
    """The same of a text; ten times as fast where PyYAML was built with its C parser."""
    import yaml  # which takes a while: completion has no use for it

    if _may_explode(text):
        check_yaml(text)
    try:
        return yaml.load(text, _plain_loader())
    except RecursionError:
        raise NotReadable("it is nested too deeply") from None


def _may_explode(text: str) -> bool:
    """Whether a look at the events is worth its time; files of ours are plain and small."""
    return len(text) > 64_000 or any(sign in text for sign in "&*?") or text.count("[") + text.count("{") + text.count(
        "- -"
    ) > DEPTH  # fmt: skip


def check_yaml(text: str) -> None:
    """Raises where a YAML text is nested too deeply, or has too many values once its aliases are written out."""
    import yaml  # which takes a while: completion has no use for it

    sizes: dict[str, int] = {}  # of what has an anchor, when it is complete
    opened: list[tuple[str | None, int]] = []  # the anchor of each open list or mapping, and the size before it
    size = 0
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise NotReadable(
                    f"the alias `*{printable(str(event.anchor))}` stands for something that it is part of"
                )
            size += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, size))
            size += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = size - before
        elif isinstance(event, yaml.ScalarEvent):
            size += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if len(opened) > DEPTH:
            raise NotReadable("it is nested too deeply")
        if size > NODES:
            raise NotReadable(f"it has more than {NODES:,} values, its aliases written out")


@lru_cache(maxsize=1)
def _plain_loader() -> Any:
    import yaml

    class _Plain(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """PyYAML's safe loader, but that a key which is there twice is a mistake."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if len({*keys}) < len(keys):
                twice = next(key for key in keys if keys.count(key) > 1)
                raise NotReadable(f"`{printable(twice)}` is in it twice")
            return super().construct_mapping(node, deep=deep)

    return _Plain


def is_printable(text: str) -> bool:
    """Whether nothing in a text would be obeyed by a terminal, and nothing that a parser makes of it either."""
    return "\\" not in text and text.replace("\n", "").isprintable()


def rows(path: str | Path, limit: int) -> Iterator[list[str]]:
    """The rows of a CSV file, the header first: all of one length.

    Raises:
        ValueError, csv.Error: it is no table, or too large.
        OSError: it cannot be read.
    """
    file = open_plain(path, limit)
    if os.fstat(file).st_size < LINE:  # no line is too long; thousands of small files are read in half the time
        return _rows(io.StringIO(_content(file, limit).decode(), newline=""))
    return _rows(_lines(file))


def _rows(lines: Iterable[str]) -> Iterator[list[str]]:
    reader = csv.reader(lines)
    header = next(reader, None)
    if not header:
        raise NotReadable("it has no header")
    if len({*header}) < len(header):
        raise NotReadable("it has two columns of one name")
    yield header
    for row in reader:
        if not row:
            continue
        if len(row) != len(header):
            raise NotReadable(f"a row has {len(row)} cells, the header {len(header)}")
        yield row


def _lines(file: int) -> Iterator[str]:
    with open(file, encoding="utf-8", newline="") as text:
        while line := text.readline(LINE):
            if len(line) == LINE:
                raise NotReadable(f"a line has more than {LINE:,} characters")
            yield line


def leaves(path: Path, folder: Path) -> bool:
    """Whether a link on the way to `path`, which is below `folder`, leads out of the folder."""
    real = os.path.realpath(path)
    home = os.path.realpath(folder)
    return os.path.commonpath([real, home]) != home
