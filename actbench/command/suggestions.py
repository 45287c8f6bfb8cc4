"""Suggestions for a wrong key, choice or value: by other names for it, and by its spelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from yaml import YAMLError

from actbench.choices import choices_of, packaged_conf
from actbench.command import own_models, vocabulary
from actbench.command.override import key_of
from actbench.command.vocabulary import called, plain
from actbench.errors import Problem
from actbench.files.reading import read_yaml
from actbench.naming import shown
from actbench.settings import GROUPS


@dataclass(frozen=True)
class Mistake(Problem):
    """A problem with a typed override that can be corrected automatically.

    `key` is the key whose override is changed: to `rename`, with `values` (old, new) replaced in it; `words` take the
    place of the whole override; `sweep` makes a sweep of the command.
    """

    key: str = ""
    rename: str = ""
    values: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] | None = None
    sweep: bool = False

    @property
    def mends(self) -> bool:
        return bool(self.rename or self.values or self.words is not None or self.sweep)


def group_of_choices(group: str) -> str:
    return "activation" if group == "upper_activation" else group


def names_of(group: str) -> list[str]:
    """The choices of a group, by name."""
    return [choice.name for choice in choices_of(group_of_choices(group))]


@lru_cache(maxsize=256)
def parameters(group: str, name: str) -> tuple[str, ...]:
    """The parameters of a choice, from its YAML file."""
    path = next((choice.path for choice in choices_of(group_of_choices(group)) if choice.name == name), None)
    try:
        content = read_yaml(path) if path else None
    except (OSError, ValueError, YAMLError):
        return ()
    values = content if isinstance(content, dict) else {}
    return tuple(str(key) for key in values if key not in ("_target_", "_partial_"))


def owners(group: str, parameter: str) -> list[str]:
    """The choices of a group that have a parameter."""
    return [name for name in names_of(group) if parameter in parameters(group, name)]


def plain_keys() -> dict[str, Any]:
    """The keys of `config.yaml` that are no groups, with their defaults: `dropout`, `train.epochs`."""
    content = read_yaml(packaged_conf() / "config.yaml")
    keys: dict[str, Any] = {}
    for key, value in content.items():
        if key in ("defaults", "hydra"):
            continue
        inner = {f"{key}.{name}": item for name, item in value.items()} if isinstance(value, dict) else {}
        keys |= inner or {key: value}
    return keys


@lru_cache(maxsize=1)
def _parameters_by_name() -> dict[str, list[str]]:
    """`momentum` -> the groups with a choice that has such a parameter."""
    groups: dict[str, list[str]] = {}
    for group in GROUPS:
        if group != "upper_activation":
            for name in dict.fromkeys(p for choice in names_of(group) for p in parameters(group, choice)):
                groups.setdefault(name, []).append(group)
    return groups


def key_named(word: str) -> str:
    """The key that a word means, with or without its group; an empty string where it means none, or several.

    >>> key_named("lr"), key_named("batch-size"), key_named("activation"), key_named("negative_slope"), key_named("eps")
    ('optimizer.lr', 'train.batch_size', 'activation', 'activation.negative_slope', '')
    """
    known = [*GROUPS, "experiment", *plain_keys()]
    if word in known:
        return word
    short = plain(word)
    same = [key for key in known if plain(key) == short]
    last = [key for key in known if plain(_last(key)) == short]
    meant = same[:1] or [called(vocabulary.KEYS, word)]
    if not meant[0]:
        meant = last
        meant += [f"{g}.{p}" for p, groups in _parameters_by_name().items() for g in groups if plain(p) == short]
        meant += [f"{g}.{p}" for p, groups in _parameters_by_name().items() for g in groups if f"{g}.{p}" == word]
    return meant[0] if len(set(meant)) == 1 else ""


def value_meant(key: str, value: str, default: Any = None) -> str:
    """The value that another word for it stands for: `gpu` is `cuda`; an empty string where none is known."""
    if key in GROUPS or key in ("experiment", "sweep", "search"):
        return choice_meant(key, value)
    table = vocabulary.VALUES.get(key, {})
    if not table and isinstance(default, bool):
        table = vocabulary.SWITCH
    if table and (name := called(table, value) or next((n for n in table if plain(n) == plain(value)), "")):
        return name
    near = difflib.get_close_matches(value.lower(), table, n=1, cutoff=0.7)
    return near[0] if near else ""


def choice_meant(group: str, value: str, *, alike: bool = True) -> str:
    """The choice that a word means: by another spelling, by what the field calls it, or (`alike`) by a slip."""
    names = names_of(group)
    short = plain(value)
    table = vocabulary.CHOICES.get(group_of_choices(group), {})
    known = {plain(name): name for name in names}
    if short in known:
        return known[short]
    if (name := called(table, value)) in names:
        return name
    if not alike or len(short) < 3 or vocabulary.said_of(group, value):
        return ""
    near = difflib.get_close_matches(short, known, n=1, cutoff=0.72)
    within = sorted((name for name in known if short in name or (len(name) > 3 and name in short)), key=len)
    near = near or within[:1] or difflib.get_close_matches(short, known, n=1)
    return known[near[0]] if near else ""


def unknown_choice(group: str, value: str, override: str) -> Problem:
    """The problem of a choice that does not exist."""
    if group == "model" and ":" in value:
        return own_models.problem_of(value, brief(override)) or Problem("cannot be chosen here", brief(override))
    what = f"there is no {group} called {brief(value)}"
    if group == "model" and own_models.is_there(name := ":".join(value.rsplit(".", 1))):
        return Problem(what, brief(override), f"did you mean model={name}?")
    if value.startswith("{"):
        return Problem("a choice is a name", brief(override), f"its parameters are typed one by one: {group}.KEY=VALUE")
    absent = vocabulary.said_of(group_of_choices(group), value)
    if absent:
        return Problem(what, brief(override), absent)
    if len(parts := [part for part in re.split(r"[\s+|/;&]+", value) if part]) > 1 and {*parts} <= {*names_of(group)}:
        whole = f"{group}={','.join(parts)}"
        return Mistake(what, override, f"several are a sweep: -m {whole}", key=group, words=(whole,), sweep=True)
    if exact := choice_meant(group, value, alike=False):
        return Mistake(what, override, f"did you mean {exact}?", key=group, values=((value, exact),))
    elsewhere = [g for g in GROUPS if g not in (group, "upper_activation") and value in names_of(g)]
    if len(elsewhere) == 1 and value != "none":
        how = f"did you mean {elsewhere[0]}={value}?"
        return Mistake(what, override, how, key=group, rename=elsewhere[0])
    if meant := choice_meant(group, value):
        return Mistake(what, override, f"did you mean {meant}?", key=group, values=((value, meant),))
    names = names_of(group)
    how = f"there are {enumerated(names)}" if len(names) <= 12 else f"actbench list {group_of_choices(group)} shows all"
    return Problem(what, brief(override), how)


def unknown_key(override: str, known: Sequence[str], typed: Sequence[str] = ()) -> Problem:
    """The problem of a key that does not exist.

    Args:
        known: all keys that there are, with what else is typed.
        typed: all overrides of the command.
    """
    key, _, value = override.lstrip("+~").partition("=")
    group, _, parameter = key.partition(".")
    having = owners(group, parameter) if group in GROUPS and parameter else []
    if having:
        return _of_others(override, having)
    meant = key_named(key)
    if not meant and group in (*GROUPS, "train"):
        meant = called(vocabulary.KEYS, parameter)
        meant = meant if meant.startswith(f"{group}.") else ""
    if not meant and group in GROUPS and not any(name.startswith(f"{group}.") for name in known):
        inner = dict.fromkeys(f"{group}.{p}" for name in names_of(group) for p in parameters(group, name))
        meant = nearest_key(key, inner)[0]
    if meant and meant not in known and not meant.startswith("hydra"):
        group, _, parameter = meant.partition(".")
        having = owners(group, parameter)
        if len(having) == 1 and group not in map(key_of, typed):
            words = (f"{group}={having[0]}", f"{meant}={value}")
            return Mistake("no such key", override, f"did you mean {' '.join(words)}?", key=key, words=words)
        how = f"{meant} is a key of {enumerated(having)}" if having else f"did you mean {meant}={value}?"
        return Problem("no such key", override, how)
    if not meant:
        meant, how = nearest_key(key, known)
        if not meant:
            return Problem("no such key", override, how or _several(key, value) or "actbench --help shows all keys")
    translated = ",".join(value_meant(meant, v, plain_keys().get(meant)) or v for v in value.split(","))
    how = f"did you mean {meant}={translated}?" if value else f"did you mean {meant}?"
    values = ((value, translated),) if translated != value else ()
    return Mistake("no such key", override, how, key=key, rename=meant, values=values)


def _several(key: str, value: str) -> str:
    """Where a bare parameter is one of several groups: all of them, by their whole key."""
    groups = _parameters_by_name().get(key.rpartition(".")[2], [])
    whole = [f"{group}.{key}={value} ({group}={'|'.join(owners(group, key))})" for group in groups]
    return f"did you mean {' or '.join(whole)}?" if whole and "." not in key else ""


def _of_others(override: str, having: list[str]) -> Problem:
    """A parameter of choices that were not chosen."""
    key, _, value = override.lstrip("+~").partition("=")
    group = key.partition(".")[0]
    what = f"is a key of {having[0]} alone" if len(having) == 1 else f"is a key of {enumerated(having)}"
    return Problem(what, override, f"leave it out, or choose one that has it: {group}={having[0]} {key}={value}")


def nearest_key(word: str, known: Iterable[str]) -> tuple[str, str]:
    """The key that was meant, by its spelling, or in its place a sentence on what there is.

    A key that has the word in it, one that is spelt alike, or one that is right but for its group:

    >>> nearest_key("seeds", ["seed", "num_seeds"])[0], nearest_key("seeed", ["seed", "num_seeds"])[0]
    ('num_seeds', 'seed')
    """
    known = list(known)
    group, _, last = word.rpartition(".")  # the group is right, where there is one: the rest is what was misspelt
    having = [name for name in known if last == _last(name) or (len(last) > 2 and last in _last(name))]
    having.sort(key=lambda name: (name.rpartition(".")[0] != group, len(name)))
    in_place = [name for name in having if name.rpartition(".")[0] == group]
    siblings = {_last(name): name for name in known if group and name.rpartition(".")[0] == group}
    alike = [siblings[near] for near in difflib.get_close_matches(last, siblings, n=1)]
    if not siblings:
        alike = difflib.get_close_matches(word, [name for name in known if name != group], n=1)
    near = in_place or alike or having
    if not near and siblings:
        return "", f"{group} has {', '.join(siblings)}"
    return (near[0], "") if near else ("", "")


def nearest(word: str, known: Iterable[str]) -> str:
    """The same as a question."""
    meant, how = nearest_key(word, known)
    return f"did you mean {meant}?" if meant else how


def wrong_value(key: str, value: Any, expected: str) -> Problem:
    """The problem of a value that its key cannot have."""
    text = shown(value)
    where, what = brief(f"{key}={text}"), f"must be {expected}"
    default = plain_keys().get(key)
    meant = value_meant(key, text, default)
    if not meant and isinstance(value, float) and value.is_integer() and "whole number" in expected:
        meant = str(int(value))
    if meant and (meant != text or isinstance(value, float)):
        return Mistake(what, where, f"did you mean {key}={meant}?", key=key, values=((text, meant),))
    return Problem(what, where, vocabulary.HINTS.get(key, ""))


def enumerated(words: Sequence[str], link: str = "and") -> str:
    """`a, b and c`."""
    return f"{', '.join(words[:-1])} {link} {words[-1]}" if len(words) > 1 else "".join(words)


def counted(number: int, noun: str) -> str:
    """`1 line`, `2 lines`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def brief(text: str, most: int = 100) -> str:
    """A text in one line, cut where it is long."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _last(key: str) -> str:
    return key.rpartition(".")[2]
