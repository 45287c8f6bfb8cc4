"""The lines of `configurations` in a preset of `conf/sweep`: what a line may say.

```yaml
# relu with He, selu with LeCun: actbench -m +sweep=mine
configurations:
  - activation=relu init=he_normal
  - activation=selu init=lecun_normal optimizer.lr=3e-4
```

Each line is what would be typed for one configuration, with quotes as for a shell. The file may come from a stranger:
a line may choose and set what a run has, and nothing else.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from actbench.errors import printable

KEY = "configurations"
_EXAMPLE = "- activation=selu init=lecun_normal"
_KEY_OF_A_RUN = re.compile(r"[A-Za-z]\w*([./]\w+)*")
_NOT_IN_LINES = {
    "trust": "type trust=NAME yourself, if NAME is yours",
    "hydra": "type it yourself: it is for the whole sweep",
    "output_dir": "type output_dir=FOLDER yourself: it is for the whole sweep",
    "study": "type study=NAME yourself: it is for the whole sweep",
    "sweep": "a preset cannot be a part of a configuration",
}


def words_of(line: str) -> list[str]:
    """The words of a line, as a shell would split it.

    >>> words_of("activation=relu 'optimizer.betas=[0.9, 0.99]'")
    ['activation=relu', 'optimizer.betas=[0.9, 0.99]']

    Raises:
        ValueError: a quote is not closed.
    """
    return shlex.split(line)


def mistyped(keys: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Keys of a file of conf/sweep that were meant to be `configurations`, and how to mend them."""
    for key in keys:
        if key != KEY and difflib.get_close_matches(str(key), [KEY], cutoff=0.8):
            yield f"`{_shown(key)}` is no key", f"did you mean {KEY}?"


def violations(lines: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with the value of `configurations`, and how to mend it."""
    if not isinstance(lines, list):
        yield f"`{KEY}` is not a list of lines", _EXAMPLE
        return
    if not lines:
        yield f"`{KEY}` is empty, so nothing would run", _EXAMPLE
    earlier: set[str] = set()
    for line in lines:
        for what, how in _of_line(line):
            yield f"`- {_shown(line)}`: {what}", how
        if isinstance(line, str):
            if " ".join(line.split()) in earlier:
                yield f"`- {_shown(line)}` is there twice", "leave one of the two out"
            earlier.add(" ".join(line.split()))


def _of_line(line: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(line, str) or not line.strip():
        how = f"{_EXAMPLE}; with a colon in it the whole line needs quotes" if isinstance(line, dict) else _EXAMPLE
        yield "is no line of GROUP=CHOICE and KEY=VALUE", how
        return
    try:
        words = words_of(line)
    except ValueError as error:
        yield str(error).lower(), "quotes as for a shell: 'KEY=[1, 2]'"
        return
    if "," in line and any(word.endswith(",") or word.startswith(",") for word in words):
        yield "has a blank beside a comma", "no blanks within a value: a,b"
        return
    keys: set[str] = set()
    for word in words:
        key = word.partition("=")[0]
        if wrong := _of_word(word):
            yield wrong
        elif key in keys:
            yield f"sets {key} twice", f"one {key}=VALUE"
        keys.add(key)


def _of_word(word: str) -> tuple[str, str] | None:
    key, equals, _ = word.partition("=")
    first = re.split(r"[./]", key)[0]
    if not equals and word[:1] not in "~+":
        return f"`{_shown(word)}` is not KEY=VALUE", "actbench --help shows all keys"
    if not _KEY_OF_A_RUN.fullmatch(key) or "_target_" in word:
        return f"`{_shown(word)}` is nothing that a line can set", "GROUP=CHOICE or KEY=VALUE, without a sign"
    if first in _NOT_IN_LINES:
        return f"`{_shown(word)}` is not for a line", _NOT_IN_LINES[first]
    if "$" in word:
        return f"`{_shown(word)}` would look something up", "a plain value"
    return None


def _shown(value: Any) -> str:
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= 80 else f"{text[:77]}..."
