"""The flags of a command line, and suggestions for flags that do not exist."""

from __future__ import annotations

import difflib

from actbench.command.line import FLAGS, CommandLine, examples, is_flag_or_override, translated
from actbench.command.suggestions import enumerated, key_named, plain_keys

_SHOWN = {
    "cfg": ("job", "hydra", "all"),
    "info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
_KNOWN = "the flags are -m, --detach, --cfg job, --version and --help"
_INSTEAD = {  # flags that people try
    "dry-run": ("--cfg", "job"), "dryrun": ("--cfg", "job"), "print-config": ("--cfg", "job"), "n": ("--cfg", "job"),
    "gpu": ("train.device=cuda",), "cuda": ("train.device=cuda",), "cpu": ("train.device=cpu",),
    "no-wait": ("--detach",), "background": ("--detach",),
    "sweep": ("-m",), "multi": ("-m",), "grid": ("-m",), "M": ("-m",),
}  # fmt: skip
_SAID = {
    **dict.fromkeys(("resume", "continue"), "the same command with the same study=NAME goes on"),
    **dict.fromkeys(("force", "overwrite"), "another study=NAME trains it again"),
    **dict.fromkeys(("shell-completion", "sc"), "actbench completion bash|zsh|fish"),
}


def known_flag(line: CommandLine, ways: list[str], name: str, value: str | None, left: list[str]) -> None:
    flag = FLAGS[name]
    if flag in ("multirun", "run", "cfg", "info", "shell-completion"):
        ways.append(flag)
    if flag == "multirun":
        line.multirun = True
    elif flag == "detach":
        line.detach = True
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


def unknown_flag(line: CommandLine, word: str, left: list[str]) -> None:
    name, equals, value = word.lstrip("-").partition("=")
    key = key_named(name)
    negated = key_named(name.removeprefix("no-")) if name.startswith("no-") else ""
    defaults = plain_keys()
    flags = [flag for flag in FLAGS if flag.startswith("--")]
    if name in _INSTEAD:
        line.wrong("there is no such flag", word, f"did you mean {' '.join(_INSTEAD[name])}?", instead=_INSTEAD[name])
    elif name in _SAID:
        line.wrong("there is no such flag", word, _SAID[name])
    elif key and isinstance(defaults.get(key), bool) and not equals and not (left and left[0] in ("true", "false")):
        line.wrong("is written as KEY=VALUE", word, f"did you mean {key}=true?", instead=[f"{key}=true"])
    elif negated and isinstance(defaults.get(negated), bool):
        line.wrong("is written as KEY=VALUE", word, f"did you mean {negated}=false?", instead=[f"{negated}=false"])
    elif key:
        if not equals and left and not is_flag_or_override(left[0]):
            value = left.pop(0)
        if not value:
            line.wrong("is written as KEY=VALUE", word, f"{key}=VALUE{examples(key)}")
            return
        mended = f"{key}={translated(key, value)}"
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
