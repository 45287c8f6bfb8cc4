"""`actbench completion`: the scripts for three shells, and the answers to what they ask."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.command import arguments
from actbench.command.completion import candidates


@dataclass(frozen=True)
class Typed:
    """A command line as far as it has been typed."""

    words: tuple[str, ...]
    current: str  # the word at the cursor
    start: int  # within `current`: the shell replaces what is behind it
    quoted: bool  # a quote is open


def split(line: str, breaks: str) -> Typed:
    """The words of an unfinished line, without quotes.

    Args:
        line: up to the cursor.
        breaks: characters that begin a new word for bash, though not for us (`=` and `:`).
    """
    words: list[str] = []
    current, start, begun = "", 0, False
    quote = ""
    characters = iter(line)
    for character in characters:
        if quote:
            if character == quote:
                quote = ""
            else:
                current += next(characters, "") if character == "\\" and quote == '"' else character
        elif character in "'\"":
            quote, begun, start = character, True, len(current)
        elif character == "\\":
            current, begun = current + next(characters, ""), True
        elif character.isspace():
            words += [current] if begun else []
            current, start, begun = "", 0, False
        else:
            current, begun = current + character, True
            start = len(current) if character in breaks else start
    return Typed(tuple(words), current, start, bool(quote))


def answer(line: str, rest: str, breaks: str) -> list[str]:
    """Lines for a shell: FOLDERS, or a candidate, a tab, and what it is; one that is complete ends with a space.

    Args:
        line: up to the cursor, beginning with the command.
        rest: behind the cursor.
        breaks: as for `split`; the candidates begin where the shell begins to replace.
    """
    typed = split(line, breaks)
    behind = rest.split()[1:] if rest[:1].strip() else rest.split()  # the word that the cursor is in is being typed
    offered = candidates((*typed.words[1:], *behind), typed.current)
    if isinstance(offered, str):
        return [offered]
    offered.sort(key=lambda candidate: candidate.word)
    lines = []
    for candidate in dict.fromkeys(offered):
        end = "" if candidate.open or typed.quoted else " "
        lines.append(f"{candidate.word[typed.start :]}{end}\t{' '.join(candidate.description.split())}")
    return lines


def main(words: Sequence[str]) -> int:
    """`actbench completion SHELL`, and what its script calls; returns the exit code.

    Raises:
        UserError: there is no such shell. What a script asks raises nothing: an error would end in the prompt.
    """
    if words[:1] == ["--answer"]:
        try:
            print("\n".join(answer(*(*words[1:4], "", "", "")[:3])))
        except Exception:
            return 1
        return 0
    asked = arguments.completion(words or ["--help"])
    text = (Path(__file__).parent / f"completion.{asked.shell}").read_text(encoding="utf-8")
    sys.stdout.write(text)
    return 0
