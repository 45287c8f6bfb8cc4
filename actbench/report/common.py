"""What all configurations of a block have in common: in short what is as usual, and in full whatever is not.

As usual is what `conf/` of this version says. Of a choice that is not in it (the user's own) every parameter is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from actbench import naming
from actbench.choices import usual_choices, usual_parameters, usual_values
from actbench.settings import GROUPS, Settings

_SPOKEN = (*GROUPS, "model.width", "model.depth", "optimizer.lr", "train.batch_size")  # as usual or not
_NOTHING = {"norm": "none", "clip": "none", "augment": "none", "scheduler": "constant", "upper_activation": "none"}
_IN_TITLE = ("dataset", "train.epochs")


def common(settings: Sequence[Settings], varying: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The words for what is the same in all, and those of its keys whose value is not the default.

    Args:
        settings: of each configuration.
        varying: the keys that tell them apart: those are in their names.
    """
    flats = [one.flat() for one in settings]
    words: list[str] = []
    unusual: list[str] = []
    for key in dict.fromkeys(key for flat in flats for key in (*GROUPS, *flat)):
        if {key, key.partition(".")[0]} & {*_IN_TITLE} or key in varying:
            continue
        group, _, parameter = key.partition(".")
        of_choice = bool(parameter) and group in GROUPS
        held = {flat[group] if of_choice else "": flat[key] for flat in flats if key in flat}
        odd = {name for name, value in held.items() if _is_odd(key, value, settings, name)}
        everywhere = all(key in flat for flat in flats) and len({*map(naming.shown, held.values())}) == 1
        if odd:
            unusual.append(key)
            words += _said(key, held, odd, everywhere)
        elif everywhere and key in _SPOKEN and len(held) == 1 and [*held.values()] != [_NOTHING.get(key)]:
            words += [f"{key}={naming.shown(value)}" for value in held.values()]
    return ("the same in all: " if len(settings) > 1 else "") + " ".join(words), tuple(unusual)


def _said(key: str, held: Mapping[str, Any], odd: set[str], everywhere: bool) -> list[str]:
    """`optimizer.lr=0.01`, or `activation.negative_slope=0.2 (leaky_relu)` where not all have it."""
    if everywhere:
        return [f"{key}={naming.shown(next(iter(held.values())))}"]
    by_value: dict[str, list[str]] = {}
    for name in held:
        if name in odd:
            by_value.setdefault(naming.shown(held[name]), []).append(name)
    return [f"{key}={value}" + (f" ({', '.join(names)})" if any(names) else "") for value, names in by_value.items()]


def _is_odd(key: str, value: Any, settings: Sequence[Settings], name: str) -> bool:
    """Whether a value is another one than where nothing is typed; `name` is the choice whose parameter it is."""
    group, _, parameter = key.partition(".")
    if key in GROUPS:
        return bool(value != usual_choices().get(key))
    if group not in GROUPS or not parameter:
        usual = usual_values()
        return key not in usual or not _same(value, usual[key])
    owner = next(one for one in settings if getattr(one, group).name == name)
    ours = usual_parameters(group, name)
    if ours is None or ours.get("_target_") != getattr(owner, group).target:
        return True
    if parameter not in ours:
        return True
    default = ours[parameter]
    link = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    return not _same(value, owner.flat().get(link[1]) if link else default)


def _same(value: Any, default: Any) -> bool:
    return isinstance(value, bool) == isinstance(default, bool) and bool(value == default)
