"""`CommandLine`: the words of a command line, sorted; and tests for single words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from actbench.command.override import key_of
from actbench.command.quoting import split
from actbench.command.suggestions import brief, plain_keys, value_meant
from actbench.errors import Problem
from actbench.settings import GROUPS

COMMANDS = ("report", "open", "more", "try", "list", "kernels")
FLAGS = {
    "-m": "multirun", "--multirun": "multirun", "-r": "run", "--run": "run", "-c": "cfg", "--cfg": "cfg",
    "--resolve": "resolve", "-p": "package", "--package": "package", "-i": "info", "--info": "info",
    "--hydra-help": "hydra-help", "--detach": "detach",
}  # fmt: skip


@dataclass
class CommandLine:
    """The words of a command line, sorted.

    `overrides` are the words KEY=VALUE in their order, wrong ones replaced by their corrections; `shows` are the flags
    by which Hydra shows something, and `problems` are those of single words.
    """

    overrides: list[str] = field(default_factory=list)
    multirun: bool = False
    detach: bool = False
    shows: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mended: bool = True  # whether every wrong word could be corrected
    guessed: set[str] = field(default_factory=set)  # overrides that stand for bare words

    def wrong(self, what: str, where: str, how: str = "", *, instead: Sequence[str] | None = None) -> None:
        """Adds a problem with a word. `instead` are the words that replace it; None where they are not known."""
        self.problems.append(Problem(what, brief(where), how))
        self.mended = self.mended and instead is not None
        for word in instead or ():
            if word == "-m":
                self.multirun = True
            elif word.startswith("-") or word == "job":
                self.shows.append(word)
            else:
                self.overrides.append(word)


def is_value(word: str) -> bool:
    """Whether a word may be the value of the key before it."""
    return "=" not in word and (not word.startswith(("-", "~")) or is_number(word)) and word not in COMMANDS


def is_flag_or_override(word: str) -> bool:
    """A flag or KEY=VALUE."""
    return word in FLAGS or ("=" in word and bool(key_of(word))) or word.startswith("--")


def is_number(word: str) -> bool:
    """Whether a word is a number: `-1` is no flag."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def translated(key: str, value: str) -> str:
    """A value in the words that its key knows: `gpu` is `cuda`."""
    default = plain_keys().get(key)
    return ",".join(value_meant(key, part, default) or part for part in split(value))


def examples(key: str) -> str:
    """The end of a message: where to find the values of a key."""
    if key in GROUPS or key == "experiment":
        return f"; actbench list {'activation' if key == 'upper_activation' else key} shows what there is"
    default = plain_keys().get(key)
    return f"; by default it is {str(default).lower()}" if default is not None and "$" not in str(default) else ""
