"""The words of a command line, before Hydra sees them: flags, overrides, and what is neither, with what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actbench.command.override import key_of
from actbench.command.quoting import command, split
from actbench.command.suggestions import brief, choice_meant, enumerated, key_named, names_of, plain_keys, value_meant
from actbench.errors import Problem
from actbench.settings import GROUPS

COMMANDS = ("report", "list", "kernels")
_FLAGS = {
    "-m": "multirun", "--multirun": "multirun", "-r": "run", "--run": "run", "-c": "cfg", "--cfg": "cfg",
    "--resolve": "resolve", "-p": "package", "--package": "package", "-i": "info", "--info": "info",
    "--hydra-help": "hydra-help",
}  # fmt: skip
_ELSEWHERE = {
    "-cn": "--config-name", "-cp": "--config-path", "-cd": "--config-dir", "--config-name": "--config-name",
    "--config-path": "--config-path", "--config-dir": "--config-dir", "--experimental-rerun": "--experimental-rerun",
}  # fmt: skip
_SHOWN = {
    "cfg": ("job", "hydra", "all"),
    "info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
_KNOWN = "the flags are -m, --cfg job, --version and --help"
_VERBS = ("train", "run", "fit", "start", "go", "learn", "exec", "execute", "main", "actbench", "experiment", "trains")
_INSTEAD = {  # flags that people try
    "dry-run": ("--cfg", "job"), "dryrun": ("--cfg", "job"), "print-config": ("--cfg", "job"), "n": ("--cfg", "job"),
    "gpu": ("train.device=cuda",), "cuda": ("train.device=cuda",), "cpu": ("train.device=cpu",),
    "sweep": ("-m",), "multi": ("-m",), "grid": ("-m",), "M": ("-m",),
}  # fmt: skip
_SAID = {
    **dict.fromkeys(("resume", "continue"), "the same command with the same study=NAME goes on"),
    **dict.fromkeys(("force", "overwrite"), "another study=NAME trains it again"),
    **dict.fromkeys(("shell-completion", "sc"), "actbench completion bash|zsh|fish"),
}


@dataclass
class Line:
    """A command line taken apart.

    `overrides` are the words KEY=VALUE in their order, with those that are mended in their places; `shows` are the
    flags by which Hydra shows something, and `problems` what is wrong with single words.
    """

    overrides: list[str] = field(default_factory=list)
    multirun: bool = False
    shows: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mended: bool = True  # every word that is wrong could be replaced
    guessed: set[str] = field(default_factory=set)  # overrides that stand for bare words

    def wrong(self, what: str, where: str, how: str = "", *, instead: Sequence[str] | None = None) -> None:
        """A word that is wrong, and what is typed instead; None where that is not known."""
        self.problems.append(Problem(what, brief(where), how))
        self.mended = self.mended and instead is not None
        for word in instead or ():
            if word == "-m":
                self.multirun = True
            elif word.startswith("-") or word == "job":
                self.shows.append(word)
            else:
                self.overrides.append(word)


def read(words: Sequence[str]) -> Line:
    """Takes a command line apart; what is wrong with it is in its `problems`."""
    line = Line()
    ways: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if not word.isascii() and not _is_utf8(word):
            line.wrong("is not UTF-8", word, "names in UTF-8")
        elif name in _FLAGS:
            _known_flag(line, ways, name, value if equals else None, left)
        elif name in _ELSEWHERE:
            if not equals and left and not _is_word_of_ours(left[0]):
                left.pop(0)
            line.wrong("is not supported", word, "put your own choices into a `conf` folder beside where you type")
        elif word.startswith("-") and not _is_number(word):
            _unknown_flag(line, word, left)
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


def _known_flag(line: Line, ways: list[str], name: str, value: str | None, left: list[str]) -> None:
    flag = _FLAGS[name]
    if flag in ("multirun", "run", "cfg", "info", "shell-completion"):
        ways.append(flag)
    if flag == "multirun":
        line.multirun = True
    elif flag in ("cfg", "package", "info"):
        choices = _SHOWN.get(flag, ())
        if value is None and left and (left[0] in choices or (flag == "package" and "=" not in left[0])):
            value = left.pop(0)
        if flag == "info" and value is None:
            value = "all"
        if value is None or (choices and value not in choices):
            if left and value is None and "=" not in left[0] and not left[0].startswith("-"):
                value = left.pop(0)
            whole = f"--{flag} {value}" if value is not None else f"--{flag}"
            instead = ["--cfg", "job"] if flag == "cfg" else None
            line.wrong(
                f"shows {enumerated(choices or ['a key'], 'or')}",
                whole,
                f"--{flag} {(choices or ['KEY'])[0]}",
                instead=instead,
            )
            return
        line.shows += [f"--{flag}", value]
    elif flag in ("resolve", "hydra-help", "shell-completion"):
        line.shows.append(f"--{flag}")


def _unknown_flag(line: Line, word: str, left: list[str]) -> None:
    name, equals, value = word.lstrip("-").partition("=")
    key = key_named(name)
    negated = key_named(name.removeprefix("no-")) if name.startswith("no-") else ""
    defaults = plain_keys()
    flags = [flag for flag in _FLAGS if flag.startswith("--")]
    if name in _INSTEAD:
        line.wrong("there is no such flag", word, f"did you mean {' '.join(_INSTEAD[name])}?", instead=_INSTEAD[name])
    elif name in _SAID:
        line.wrong("there is no such flag", word, _SAID[name])
    elif key and isinstance(defaults.get(key), bool) and not equals and not (left and left[0] in ("true", "false")):
        line.wrong("is written as KEY=VALUE", word, f"did you mean {key}=true?", instead=[f"{key}=true"])
    elif negated and isinstance(defaults.get(negated), bool):
        line.wrong("is written as KEY=VALUE", word, f"did you mean {negated}=false?", instead=[f"{negated}=false"])
    elif key:
        if not equals and left and not _is_word_of_ours(left[0]):
            value = left.pop(0)
        if not value:
            line.wrong("is written as KEY=VALUE", word, f"{key}=VALUE{_examples(key)}")
            return
        mended = f"{key}={_translated(key, value)}"
        line.wrong(
            "is written as KEY=VALUE",
            f"{word} {value}" if not equals else word,
            f"did you mean {mended}?",
            instead=[mended],
        )
    elif near := difflib.get_close_matches(f"--{name}", flags, n=1, cutoff=0.75):
        line.wrong(
            "there is no such flag",
            word,
            f"did you mean {near[0]}?",
            instead=["-m"] if near[0] == "--multirun" else None,
        )
    else:
        line.wrong("there is no such flag", word, f"{_KNOWN}; everything else is KEY=VALUE")


def _override(line: Line, word: str, left: list[str]) -> None:
    """A word with `=` in it; blanks around `=` and behind commas have made several words of one."""
    whole, parts = word, [word]
    key = word.partition("=")[0]
    if word.startswith("=") and word != "=" and not line.overrides:
        line.wrong("has no key", word, "KEY=VALUE: activation=relu, say")
        return
    if word.endswith("=") and key and left and _is_value(left[0]):
        whole += left[0]
        parts.append(left.pop(0))
    while left and (whole.endswith(",") or left[0].startswith(",")) and "=" not in left[0]:
        whole += left[0]
        parts.append(left.pop(0))
    if len(parts) == 1:
        line.overrides.append(word)
        return
    line.wrong("is one word, without blanks", " ".join(parts), f"did you mean {whole}?", instead=[whole])


def _stray(line: Line, word: str, left: list[str], *, first: bool) -> None:
    """A word that is neither a flag nor KEY=VALUE."""
    if left and left[0].startswith("=") and key_named(word):  # activation = relu
        value = left.pop(0)[1:] or (left.pop(0) if left and _is_value(left[0]) else "")
        mended = f"{key_named(word)}={value}"
        line.wrong("is one word, without blanks", f"{word} = {value}", f"did you mean {mended}?", instead=[mended])
        return
    if word in COMMANDS:
        line.wrong("comes first, and by itself", word, command([word, *_taken(left)]))
        return
    if word in _VERBS and not (word == "experiment" and left and _is_value(left[0])):
        line.wrong("is not needed: actbench trains what is typed", word, instead=[])
        return
    if word in ("sweep", "multirun", "grid", "search", "m"):
        line.wrong("is said by a flag", word, "-m, before what is swept", instead=["-m"])
        return
    if word in ("help", "version", "h"):
        line.wrong("is a flag", word, f"actbench --{'version' if word == 'version' else 'help'}")
        return
    key = key_named(word)
    if key and left and _is_value(left[0]):
        value = _translated(key, left.pop(0))
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
        line.wrong("has no value", word, f"{key}=VALUE{_examples(key)}")
    elif near:
        how = f"did you mean {near[0]}?\n    {command([near[0], *_taken(left)])}"
        line.wrong("is not a command", word, how)
    elif word and Path(word).is_dir():
        line.wrong("is a folder", word, f"actbench report {word}")
    elif _is_number(word):
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


def _choice(line: Line, group: str, word: str) -> None:
    values = [choice_meant(group, value, alike=False) for value in split(word)]
    start = f"{'+' if group == 'sweep' else ''}{group}="
    before = [one for one in line.overrides if line.guessed and one.startswith(start) and one in line.guessed]
    for one in before:  # `relu gelu`: both are meant
        line.overrides.remove(one)
        values = [*one.removeprefix(start).split(","), *values]
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


def _translated(key: str, value: str) -> str:
    default = plain_keys().get(key)
    return ",".join(value_meant(key, part, default) or part for part in split(value))


def _examples(key: str) -> str:
    if key in GROUPS or key == "experiment":
        return f"; actbench list {'activation' if key == 'upper_activation' else key} shows what there is"
    default = plain_keys().get(key)
    return f"; by default it is {str(default).lower()}" if default is not None and "$" not in str(default) else ""


def _is_value(word: str) -> bool:
    """Whether a word may be the value of the key before it."""
    return "=" not in word and (not word.startswith(("-", "~")) or _is_number(word)) and word not in COMMANDS


def _is_word_of_ours(word: str) -> bool:
    """A flag or KEY=VALUE."""
    return word in _FLAGS or ("=" in word and bool(key_of(word))) or word.startswith("--")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other.lower()).ratio() > 0.72


def _is_utf8(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
