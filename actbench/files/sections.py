"""Reads YAML files of which many are alike section by section: one that was seen before is not parsed again.

A section is a key at the left margin with all that is below it. The result is that of `reading.parse_yaml`: only texts
in which sections cannot depend on each other are taken apart (no anchors, quotes, comments, flow collections with
something in them, or markers of documents), and whatever is wrong with one is left to the parser of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from actbench.files.reading import NotReadable, is_printable, parse_yaml

Build = Callable[[str, Any], Any]

_KEPT = 8192  # sections
_LONGEST = 64_000  # characters of a text; what is longer is looked at before it is parsed
_EMPTY = re.compile(r" (?:\{\}|\[\])$", re.MULTILINE)
_SPECIAL = re.compile(r"[\"'&*!|>%@`#?{}\[\]\\]")
_SECTION = re.compile(r"[a-z_]+:(?: .*)?\n(?:(?: |- ).*\n)*")
_LINE = re.compile(r"([a-z_]+): (\w+)\n")


def parse_in_sections(text: str, build: Build) -> Any:
    """The content of a YAML text. What is within it may be shared with other results: it must not be changed.

    Args:
        text: of the file.
        build: what to make of a section, from its key and its value. It is done where the text can be taken apart, and
            left to the caller where it cannot or `build` raises.

    Raises:
        ValueError, yaml.YAMLError: it is not plain YAML.
    """
    sections = _taken_apart(text)
    if sections is None:
        return parse_yaml(text)
    import yaml

    content: dict[Any, Any] = {}
    try:
        for section in sections:
            content.update(_word(section) or _parsed(section, build))
    except (NotReadable, yaml.YAMLError, ValueError, TypeError):
        return parse_yaml(text)  # which says what is wrong, and where
    return content if len(content) == len(sections) else parse_yaml(text)


def _taken_apart(text: str) -> list[str] | None:
    """The sections; None where they may depend on each other."""
    if len(text) > _LONGEST or not text.isascii() or not is_printable(text) or _SPECIAL.search(_EMPTY.sub("", text)):
        return None
    sections = _SECTION.findall(text)
    return sections if sections and sum(map(len, sections)) == len(text) else None


def _word(section: str) -> dict[str, str] | None:
    """A section of one line whose value is a text, and neither a number nor `true`: it need not be parsed."""
    line = _LINE.fullmatch(section)
    if line is None or any(_is_no_text(word) for word in line.groups()):
        return None
    return {line[1]: line[2]}


@lru_cache(maxsize=_KEPT)
def _is_no_text(word: str) -> bool:
    import yaml

    resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    return any(pattern.match(word) for of in (word[0], None) for _, pattern in resolvers.get(of, ()))


@lru_cache(maxsize=_KEPT)
def _parsed(section: str, build: Build) -> dict[Any, Any]:
    content = parse_yaml(section)
    if not isinstance(content, dict) or len(content) != 1:
        raise NotReadable("it is not one section")
    return {key: build(key, value) for key, value in content.items()}
