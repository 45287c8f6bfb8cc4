"""Several sentences that differ in their numbers as one sentence with ranges."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A number by itself: not the 1 of `hidden1`, nor the 2 of `0–2`.
_NUMBER = re.compile(r"(?<![\w.–-])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w–])")
_PARENTHESES = re.compile(r"\s*\([^()]*\)")


def without_parentheses(text: str) -> str:
    """The text without what stands in parentheses.

    >>> without_parentheses("hidden1: 74 % of 128 units dead (0.0 % before training)")
    'hidden1: 74 % of 128 units dead'
    """
    return _PARENTHESES.sub("", text)


def in_one(texts: Sequence[str]) -> str:
    """One text for several: numbers that differ become ranges, single words that differ are listed.

    Texts that are built otherwise are told apart by semicolons.

    >>> in_one(["hidden1: 53.1 % of 128 units dead", "hidden2: 86.7 % of 128 units dead"])
    'hidden1/hidden2: 53.1–86.7 % of 128 units dead'
    >>> in_one(["the loss is NaN", "8 of 10 steps were clipped"])
    'the loss is NaN; 8 of 10 steps were clipped'
    """
    groups: dict[tuple[int, ...], list[list[str]]] = {}
    for text in dict.fromkeys(texts):
        words = text.split(" ")
        shape = (len(words), *(number for number, word in enumerate(words) if _NUMBER.search(word)))
        groups.setdefault(shape, []).append(words)
    merged: dict[str, None] = {}
    for group in groups.values():
        columns = [list(dict.fromkeys(column)) for column in zip(*group, strict=True)]
        differing = [column for column in columns if len(column) > 1 and not _NUMBER.search(column[0])]
        alike = len(differing) <= 1  # of more words that differ one cannot tell which belong together
        for text in [" ".join(map(_word, columns))] if alike else [" ".join(words) for words in group]:
            merged[text] = None
    return "; ".join(merged)


def _word(different: Sequence[str]) -> str:
    """One word for several: `3–5`, `hidden1/hidden2:`."""
    if len(different) == 1:
        return different[0]
    numbers = [match for word in different if (match := _NUMBER.search(word))]
    if numbers:
        around = {(match.string[: match.start()], match.string[match.end() :]) for match in numbers}
        if len(around) == 1:
            lowest, highest = (kind(numbers, key=_value)[0] for kind in (min, max))
            before, after = around.pop()
            return f"{before}{lowest}{' to ' if lowest.startswith('-') else '–'}{highest}{after}"
    ending = ":" if all(word.endswith(":") for word in different) else ""
    return "/".join(word.removesuffix(ending) for word in different) + ending


def _value(match: re.Match[str]) -> float:
    return float(match[0].replace(",", ""))
