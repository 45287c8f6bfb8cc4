"""The settings that all configurations of a block share, in words: the main ones, and every one that is not a default.

The defaults are those of this version's `conf/`. Of a choice that is not in it (the user's own), all
parameters are named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actbench import naming
from actbench.choices import usual_choices, usual_parameters, usual_values
from actbench.settings import GROUPS, Settings

_MAIN = (*GROUPS, "model.width", "model.depth", "optimizer.lr", "train.batch_size")  # named even at their defaults
_NOTHING = {"norm": "none", "clip": "none", "augment": "none", "scheduler": "constant", "upper_activation": "none"}
_IN_TITLE = ("dataset", "train.epochs")


def shared_settings(settings: Sequence[Settings], varying: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The shared settings in words, and those of the keys that do not have their default value.

    Args:
        settings: of each configuration.
        varying: the keys that tell the configurations apart; they are in their names.
    """
    lead = "shared by all: " if len(settings) > 1 else ""
    settings = naming.distinct(settings)
    flats = [of_one.flat() for of_one in settings]
    words: list[str] = []
    unusual: list[str] = []
    for key in dict.fromkeys(key for flat in flats for key in (*GROUPS, *flat)):
        group, _, parameter = key.partition(".")
        if {key, group} & {*_IN_TITLE} or key in varying:
            continue
        of_choice = bool(parameter) and group in GROUPS
        value_of = {flat[group] if of_choice else "": flat[key] for flat in flats if key in flat}  # by choice
        not_default = {choice for choice, value in value_of.items() if not _is_default(key, value, settings, choice)}
        everywhere = all(key in flat for flat in flats) and len({*map(naming.shown, value_of.values())}) == 1
        if not_default:
            unusual.append(key)
            words += _described(key, value_of, not_default, everywhere)
        elif everywhere and key in _MAIN and len(value_of) == 1 and [*value_of.values()] != [_NOTHING.get(key)]:
            words += [f"{key}={naming.shown(value)}" for value in value_of.values()]
    return lead + " ".join(words), tuple(unusual)


def _described(key: str, value_of: Mapping[str, Any], not_default: set[str], everywhere: bool) -> list[str]:
    """`optimizer.lr=0.01`, or `activation.negative_slope=0.2 (leaky_relu)` where not all have it."""
    if everywhere:
        return [f"{key}={naming.shown(next(iter(value_of.values())))}"]
    choices_of: dict[str, list[str]] = {}
    for choice in value_of:
        if choice in not_default:
            choices_of.setdefault(naming.shown(value_of[choice]), []).append(choice)
    return [
        f"{key}={value}" + (f" ({', '.join(choices)})" if any(choices) else "") for value, choices in choices_of.items()
    ]


def _is_default(key: str, value: Any, settings: Sequence[Settings], choice: str) -> bool:
    """Whether a value is the one that holds where nothing is typed; `choice` is the one whose parameter it is."""
    group, _, parameter = key.partition(".")
    if key in GROUPS:
        return bool(value == usual_choices().get(key))
    if group not in GROUPS or not parameter:
        defaults = usual_values()
        return key in defaults and _same(value, defaults[key])
    owner = next(of_one for of_one in settings if getattr(of_one, group).name == choice)
    ours = usual_parameters(group, choice)
    if ours is None or ours.get("_target_") != getattr(owner, group).target or parameter not in ours:
        return False
    default = ours[parameter]
    link = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    return _same(value, owner.flat().get(link[1]) if link else default)


def _same(value: Any, default: Any) -> bool:
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)
