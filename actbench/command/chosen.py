"""The choices that a partly typed command asks for, and their parameters. Reads the files of `conf/`, and source."""

from __future__ import annotations

import re
from collections.abc import Sequence

from actbench.choices import Listed, choices_of, parameters_of, usual_choices
from actbench.command import own_models
from actbench.command.rules import in_words
from actbench.naming import shown


def parameters(words: Sequence[str], group: str) -> list[tuple[str, str]]:
    """The parameters that one of the chosen choices of a group has, with what is said of them."""
    if group == "model" and (named := [name for name in _names(words, group) if own_models.is_there(name)]):
        return [(key, shown(value)) for name in named for key, value in own_models.parameters(name).items()]
    by_name = {item.name: item for choice in reversed(chosen(words, group)) for item in parameters_of(choice)}
    return [
        (name, " ".join(filter(None, [item.default, in_words(item.comment, item.default)])))
        for name, item in by_name.items()
    ]


def chosen(words: Sequence[str], group: str) -> list[Listed]:
    """The choices of a group that a command line asks for: typed, of its preset or experiment, or the default."""
    known = {choice.name: choice for choice in choices_of("activation" if group == "upper_activation" else group)}
    names = _names(words, group)
    return [known[name] for name in names if name in known]


def _names(words: Sequence[str], group: str) -> list[str]:
    for word in reversed(words):
        if word.startswith(f"{group}="):
            return word.partition("=")[2].split(",")
    for word in words:
        key, _, preset = word.partition("=")
        kind, pattern = {
            "+sweep": ("sweep", rf"^ +{group}: (.*)$"),
            "experiment": ("experiment", rf"^ +- override /{group}: (.*)$"),
        }.get(key, ("", ""))
        for choice in choices_of(kind) if kind else ():
            if choice.name != preset:
                continue
            text = choice.path.read_text(encoding="utf-8")
            listed = re.findall(rf"^ *- (?:.* )?{group}=([\w,]+)", text, re.MULTILINE) if kind == "sweep" else []
            if match := re.search(pattern, text, re.MULTILINE):
                listed = [match[1].strip()]
            if listed:
                return ",".join(listed).split(",")
    if group == "upper_activation" and _names(words, "model") == ["hybrid"]:
        return ["gelu"]
    return [usual_choices().get(group, "")]
