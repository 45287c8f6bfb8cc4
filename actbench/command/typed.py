"""Sorts the words of a command line into flags and overrides; for any other word, suggests what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from actbench.command.flags import known_flag, unknown_flag
from actbench.command.line import (
    COMMANDS,
    FLAGS,
    CommandLine,
    examples,
    is_flag_or_override,
    is_number,
    is_value,
    translated,
)
from actbench.command.quoting import command, split
from actbench.command.suggestions import choice_meant, enumerated, key_named, names_of
from actbench.settings import GROUPS

_ELSEWHERE = {
    "-cn": "--config-name", "-cp": "--config-path", "-cd": "--config-dir", "--config-name": "--config-name",
    "--config-path": "--config-path", "--config-dir": "--config-dir", "--experimental-rerun": "--experimental-rerun",
}  # fmt: skip
_VERBS = ("train", "run", "fit", "start", "go", "learn", "exec", "execute", "main", "actbench", "experiment", "trains")


def read(words: Sequence[str]) -> CommandLine:
    """Reads the words of a command line; what is wrong with them is in its `problems`."""
    line = CommandLine()
    ways: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if not word.isascii() and not _is_utf8(word):
            line.wrong("is not UTF-8", word, "names in UTF-8")
        elif name in FLAGS:
            known_flag(line, ways, name, value if equals else None, left)
        elif name in _ELSEWHERE:
            if not equals and left and not is_flag_or_override(left[0]):
                left.pop(0)
            line.wrong("is not supported", word, "put your own choices into a `conf` folder beside where you type")
        elif word.startswith("-") and not is_number(word):
            unknown_flag(line, word, left)
        elif equals or word.startswith("~"):
            _override(line, word, left)
        else:
            _stray(line, word, left, first=len(left) + 1 == len(words))
    beside = [flag for flag in ("--resolve", "--package") if flag in line.shows]
    if beside and "cfg" not in ways:
        line.wrong("goes with --cfg", ", ".join(beside), command(["--cfg", "job", *line.shows]))
    if len(set(ways)) > 1:
        line.wrong("exclude each other", ", ".join(f"--{way}" for way in dict.fromkeys(ways)), "leave all but one out")
    return line


def _override(line: CommandLine, word: str, left: list[str]) -> None:
    """A word with `=` in it, joined with the next words where blanks around `=` or after commas have split it."""
    whole, parts = word, [word]
    key = word.partition("=")[0]
    if word.startswith("=") and word != "=" and not line.overrides:
        line.wrong("has no key", word, "KEY=VALUE: activation=relu, say")
        return
    if word.endswith("=") and key and left and is_value(left[0]):
        whole += left[0]
        parts.append(left.pop(0))
    while left and (whole.endswith(",") or left[0].startswith(",")) and "=" not in left[0]:
        whole += left[0]
        parts.append(left.pop(0))
    if len(parts) == 1 and not _list_of_seeds(line, word):
        line.overrides.append(word)
    if len(parts) == 1:
        return
    line.wrong("is one word, without blanks", " ".join(parts), f"did you mean {whole}?", instead=[whole])


def _list_of_seeds(line: CommandLine, word: str) -> bool:
    """Whether a word is `seeds=0,1,2`, which is typed as the first seed and their number."""
    key, _, value = word.partition("=")
    numbers = value.strip("[]").split(",")
    is_list = len(numbers) > 1 and all(number.isdecimal() and len(number) < 10 for number in numbers)
    if not is_list or key == "num_seeds" or key_named(key) != "num_seeds":
        return False
    seeds = sorted({int(number) for number in numbers})
    instead = [f"seed={seeds[0]}", f"num_seeds={len(seeds)}"]
    if seeds != [*range(seeds[0], seeds[0] + len(seeds))]:
        instead = ["-m", f"seed={','.join(map(str, seeds))}", "num_seeds=1"]
    how = f"did you mean {' '.join(instead)}?"
    line.wrong("is written as the first seed and their number", word, how, instead=instead)
    return True


def _stray(line: CommandLine, word: str, left: list[str], *, first: bool) -> None:
    """A word that is neither a flag nor KEY=VALUE."""
    if left and left[0].startswith("=") and key_named(word):  # activation = relu
        value = left.pop(0)[1:] or (left.pop(0) if left and is_value(left[0]) else "")
        mended = f"{key_named(word)}={value}"
        line.wrong("is one word, without blanks", f"{word} = {value}", f"did you mean {mended}?", instead=[mended])
        return
    if word in COMMANDS:
        line.wrong("comes first, and by itself", word, command([word, *_taken(left)]))
        return
    if word in _VERBS and not (word == "experiment" and left and is_value(left[0])):
        line.wrong("is not needed: actbench trains what is typed", word, instead=[])
        return
    if word in ("sweep", "multirun", "grid", "search", "m"):
        line.wrong("is written as a flag", word, "-m, before what is swept", instead=["-m"])
        return
    if word in ("help", "version", "h"):
        line.wrong("is a flag", word, f"actbench --{'version' if word == 'version' else 'help'}")
        return
    key = key_named(word)
    if key and left and is_value(left[0]):
        value = translated(key, left.pop(0))
        line.wrong(
            "is written as KEY=VALUE", f"{word} {value}", f"did you mean {key}={value}?", instead=[f"{key}={value}"]
        )
        return
    near = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.7) if first else []
    groups = _groups_of(word) if not near else []
    if len(groups) == 1:
        _choice(line, groups[0], word)
    elif groups:
        line.wrong(
            "is written as GROUP=CHOICE", word, f"did you mean {enumerated([f'{g}={word}' for g in groups], 'or')}?"
        )
    elif key:
        line.wrong("has no value", word, f"{key}=VALUE{examples(key)}")
    elif near:
        how = f"did you mean {near[0]}?\n    {command([near[0], *_taken(left)])}"
        line.wrong("is not a command", word, how)
    elif word and Path(word).is_dir():
        line.wrong("is a folder", word, f"actbench report {word}")
    elif is_number(word):
        line.wrong("is a value without its key", word, "KEY=VALUE: optimizer.lr=0.01, say")
    else:
        like = [
            (g, c)
            for g in ("activation", "optimizer", "dataset", "experiment")
            if (c := choice_meant(g, word)) and _alike(c, word)
        ]
        how = "actbench activation=relu, say; actbench --help shows more"
        if like:
            how = f"did you mean {'='.join(like[0])}?"
        line.wrong(
            "is neither KEY=VALUE nor a command" if word else "is an empty word",
            word or "''",
            how,
            instead=["=".join(like[0])] if like else None,
        )


def _taken(left: list[str]) -> list[str]:
    """The words that are those of another command."""
    words = [word for word in left if "=" not in word]
    left[:] = [word for word in left if "=" in word]
    return words


def _choice(line: CommandLine, group: str, word: str) -> None:
    values = [choice_meant(group, value, alike=False) for value in split(word)]
    start = f"{'+' if group == 'sweep' else ''}{group}="
    before = [word for word in line.overrides if word.startswith(start) and word in line.guessed]
    for earlier in before:  # `relu gelu`: both are meant
        line.overrides.remove(earlier)
        values = [*earlier.removeprefix(start).split(","), *values]
    mended = start + ",".join(values)
    flags = ["-m"] if len(values) > 1 or group == "sweep" else []
    line.guessed.add(mended)
    line.wrong("is written as KEY=VALUE", word, f"did you mean {' '.join([*flags, mended])}?", instead=[*flags, mended])


def _groups_of(word: str) -> list[str]:
    """The groups in which all values of a word are choices, by their names or by what else they are called."""
    groups = [g for g in (*GROUPS, "experiment", "sweep") if g != "upper_activation"]
    named = [g for g in groups if all(value in names_of(g) for value in split(word))]
    if named:
        return named
    return [g for g in groups if all(len(v) > 2 and choice_meant(g, v, alike=False) for v in split(word))]


def _alike(name: str, word: str) -> bool:
    return difflib.SequenceMatcher(None, name, word.lower()).ratio() > 0.72


def _is_utf8(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
