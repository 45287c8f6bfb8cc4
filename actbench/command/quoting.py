"""Quotes typed values so that Hydra reads them as they are meant, and printed commands so that a shell does.

Hydra's grammar accepts only ASCII letters, and neither `#` nor `=` within a value. A value that it cannot read is
quoted, and so taken as text.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString

from actbench.command.override import key_of, read

TEXT = ("study", "output_dir")  # whose values are text, whatever they look like: study=2024, study=1e3, study=a,b
_OWN_SYNTAX = re.compile(r"""(['"]).*\1|.*\$\{.*|(choice|range|interval|glob|sort|shuffle|tag|str)\(.*\)""", re.DOTALL)
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\s*\(.*\)", re.DOTALL)
_ADVICE = {
    "range": "range(1,5) is 1,2,3,4; range(0,1,0.25) has a step",
    "interval": "interval(0.001,0.1), for a search: hydra/sweeper=optuna",
    "glob": "glob(*elu), of choices",
    "choice": "choice(a,b)",
}


@lru_cache(maxsize=4096)
def for_hydra(override: str, *, multirun: bool = False) -> str:
    """The override with its value in quotes where Hydra could not read it, or would read something else.

    >>> for_hydra("study=a=b"), for_hydra("study=2024"), for_hydra("activation=relu,gelu")
    ('study="a=b"', 'study="2024"', 'activation=relu,gelu')

    Args:
        multirun: a comma between values is a sweep, of a text as well.
    """
    head, equals, value = override.partition("=")
    if not equals:
        return override
    if key_of(override) in TEXT:
        return f"{head}={_text(key_of(override), value, multirun)}"
    if read(override).parsed is not None or read(f"{head}=x").parsed is None:
        return override
    values = split(value)
    return f"{head}={','.join(v if read(f'{head}={v}').parsed else quoted(v) for v in values)}"


def _text(key: str, value: str, multirun: bool) -> str:
    if key == "output_dir" and value.startswith("~"):
        value = os.path.expanduser(value)  # which a shell does not do behind every `=`
    parsed = read(f"{key}={value}").parsed
    if parsed is not None and _OWN_SYNTAX.fullmatch(value):
        return value
    if multirun and len(split(value)) > 1:
        return ",".join(v if read(f"{key}={v}").parsed else quoted(v) for v in split(value))
    is_text = parsed is not None and not parsed.is_sweep_override() and isinstance(parsed.value(), str)
    return value if parsed is not None and is_text and parsed.value() == value else quoted(value)


def quoted(text: str) -> str:
    """A text in the quotes of Hydra's grammar."""
    return str(QuotedString(text, Quote.double).with_quotes())


def typed(key: str, text: Any, *, multirun: bool = False) -> str:
    """The override to type for a text."""
    plain = f"{key}={text}"
    parsed = read(for_hydra(plain, multirun=multirun)).parsed
    same = parsed is not None and not parsed.is_sweep_override() and parsed.value() == text
    return plain if same else f"{key}={quoted(str(text))}"


def as_typed(override: str) -> str:
    """An override without the quotes that `for_hydra` has put around its value.

    >>> as_typed('study="a=b"'), as_typed('study="a b,c"')
    ('study=a=b', 'study=a b,c')
    """
    parsed = read(override).parsed
    value = parsed.value() if parsed is not None else None
    plain = f"{override.partition('=')[0]}={value}"
    return plain if isinstance(value, str) and for_hydra(plain) == override else override


def command(words: Iterable[str]) -> str:
    """The whole command, quoted for pasting into a shell."""
    return shlex.join(["actbench", *words])


def split(value: str) -> list[str]:
    """The values between commas, but not between those within brackets or quotes.

    >>> split("relu,gelu"), split("[16,32],[8]"), split("'a,b',c")
    (['relu', 'gelu'], ['[16,32]', '[8]'], ["'a,b'", 'c'])
    """
    parts, depth, quote, begin = [], 0, "", 0
    for place, letter in enumerate(value):
        if quote:
            quote = "" if letter == quote and value[place - 1] != "\\" else quote
        elif letter in "'\"" and place == begin:
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append(value[begin:place])
            begin = place + 1
    return [*parts, value[begin:]]


def wrong_function(value: str) -> tuple[str, str] | None:
    """What is wrong with a value that looks like a function of Hydra's grammar, and what would be right."""
    called = _FUNCTION.fullmatch(value.strip())
    if called is None or read(f"x={value}").parsed is not None:
        return None
    name = called[1]
    if name in _ADVICE:
        return "is not how it is written", _ADVICE[name]
    return f"there is no function {name}", "values are written out (a,b,c), or range(1,5), choice(a,b), glob(*elu)"
