"""One override of a command line: KEY=VALUE, with Hydra's signs (+, ++, ~). Each word is parsed once in a process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


@dataclass(frozen=True)
class TypedOverride:
    """A word of a command line. Every word has a key and a value; `parsed` is None where Hydra cannot read it.

    >>> word = read("+optimizer.lr=0.1,0.2")
    >>> word.sign, word.key, word.value, word.is_sweep
    ('+', 'optimizer.lr', '0.1,0.2', True)
    """

    text: str

    @property
    def head(self) -> str:
        """The part before `=`, with its sign."""
        return self.text.partition("=")[0]

    @property
    def sign(self) -> str:
        """`+`, `++` or `~`; mostly an empty string."""
        return self.head[: len(self.head) - len(self.key)]

    @property
    def key(self) -> str:
        """What the override changes: the part before `=`, without a sign."""
        return self.head.lstrip("+~")

    @property
    def value(self) -> str:
        """The text behind `=`."""
        return self.text.partition("=")[2]

    @cached_property
    def parsed(self) -> Override | None:
        """Hydra's parsed override; None where Hydra cannot read it."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        try:
            return OverridesParser.create().parse_override(self.text)
        except (HydraException, ValueError, TypeError, RecursionError):
            return None

    @property
    def is_sweep(self) -> bool:
        """Whether it has several values."""
        return self.parsed is not None and self.parsed.is_sweep_override()


@lru_cache(maxsize=65536)
def read(text: str) -> TypedOverride:
    """The override of a word; the same object for the same word, so that none is parsed twice."""
    return TypedOverride(text)


def key_of(text: str) -> str:
    """The key of a word.

    >>> key_of("++optimizer.lr=0.1")
    'optimizer.lr'
    """
    return read(text).key
