"""Names of configurations, made of the settings in which they differ, as they are typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from actbench.settings import CONTENT, GROUPS, Settings

TERMS = ("dataset", "train.epochs")  # they say on which terms something is compared, not what


def shown(value: Any) -> str:
    """A value as it would be typed.

    >>> shown(0.003), shown([16, 32]), shown(None), shown(True)
    ('0.003', '[16,32]', 'null', 'true')
    """
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(shown, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def distinct(settings: Sequence[Settings]) -> list[Settings]:
    """Those with a choice, or a value beside the choices, that none before them has: they tell all that varies.

    Many settings share their choices: of ten thousand at as many learning rates a few hundred are left.
    """
    seen: set[Any] = set()
    kept = []
    for item in settings:
        own = {*zip(_PLACES, map(id, _choices(item)), strict=True), _rest(item)}
        if not own <= seen:
            seen |= own
            kept.append(item)
    return kept


_PLACES = range(len(GROUPS) + 1)
_choices = attrgetter(*GROUPS, "train")
_rest = attrgetter("dropout", "dropout_kind", "sites", "weights", "weights_content", "split")  # of `flat_rest`


def varying(settings: Sequence[Settings]) -> list[str]:
    """The keys whose values differ, in the order of `Settings.flat`.

    A parameter of a choice counts only where the same choice occurs with several values of it: that gelu has no
    `negative_slope` adds nothing to `activation=gelu`.
    """
    values: dict[str, dict[Any, set[str]]] = {}
    for item in distinct(settings):
        for group in GROUPS:
            of_choice = item.flat_of(group)
            for key, value in of_choice.items():
                choice = None if key == group else of_choice[group]
                values.setdefault(key, {}).setdefault(choice, set()).add(shown(value))
        for key, value in item.flat_rest().items():
            values.setdefault(key, {}).setdefault(None, set()).add(shown(value))
    return [
        key
        for key, by_choice in values.items()
        if key.partition(".")[0] not in TERMS
        and key not in TERMS
        and any(len(texts) > 1 for texts in by_choice.values())
    ]


def names(settings: Sequence[Settings], keys: Sequence[str] | None = None) -> list[str]:
    """A name for each, of what differs between them alone: `gelu lr=0.003`; the activation where nothing does.

    The `id` is added where that does not tell two apart. `keys` are those that vary, if they are known.
    """
    plain = fragments(settings, varying(settings) if keys is None else keys)
    plain = [name or activations_of(item) for name, item in zip(plain, settings, strict=True)]
    times = Counter(plain)
    return [name if times[name] == 1 else f"{name} {item.id}" for name, item in zip(plain, settings, strict=True)]


def by_id(settings: Sequence[Settings]) -> dict[str, str]:
    """The name of each configuration, by its `id`; runs that differ in their seeds alone are one configuration."""
    configurations = {one.id: one for one in settings}
    return dict(zip(configurations, names([*configurations.values()]), strict=True))


def fragments(settings: Sequence[Settings], keys: Sequence[str]) -> list[str]:
    """The part of each name that `keys` make."""
    wanted = dict.fromkeys(key.partition(".")[0] for key in (*keys, *_ACTIVATIONS))
    groups = [group for group in wanted if group in GROUPS]
    choices, plain = attrgetter(*groups), len(groups) < len(wanted)
    known: dict[Any, str] = {}  # many settings share these choices
    found = []
    for item in settings:
        of = (*map(id, choices(item)), *((_rest(item), id(item.train)) if plain else ()))
        if of not in known:
            flat = item.flat_rest() if plain else {}
            for group in groups:
                flat |= item.flat_of(group)
            known[of] = _name(flat, keys)
        found.append(known[of])
    return found


def _name(flat: dict[str, Any], keys: Sequence[str]) -> str:
    contents = [key for key in keys if key in flat and key.endswith(f".{CONTENT}")]
    words = [activations(flat)] if not _OF_ACTIVATIONS.isdisjoint(keys) else []
    words += [_version(key, flat[key]) for key in contents]
    rest = tuple(key for key in keys if key in flat and key not in _ACTIVATIONS and key not in contents)
    return " ".join([*words, *(f"{short}={shown(flat[key])}" for key, short in zip(rest, _short(rest), strict=True))])


_ACTIVATIONS = ("activation", "upper_activation")
_OF_ACTIVATIONS = {*_ACTIVATIONS, *(f"{key}.{CONTENT}" for key in _ACTIVATIONS)}


def _version(key: str, version: str) -> str:
    """`(code 3f2a)`: which of several states of the user's own module; of another group than activation, with it."""
    group = key.partition(".")[0]
    return f"(code {version})" if group == "activation" else f"({group} code {version})"


def activations(flat: dict[str, Any]) -> str:
    """`relu`, or `relu+gelu` with another activation above."""
    upper = flat["upper_activation"]
    return flat["activation"] if upper == "none" else f"{flat['activation']}+{upper}"


def activations_of(settings: Settings) -> str:
    """The same of settings."""
    return activations({group: getattr(settings, group).name for group in _ACTIVATIONS})


@lru_cache(maxsize=256)
def _short(keys: tuple[str, ...]) -> list[str]:
    """Without the group, where that is clear: `lr`; but `norm.momentum` beside `optimizer.momentum`."""
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)]


def typed(settings: Settings, overrides: Iterable[str], *, varied: bool = False) -> str:
    """A run by what was typed for it: its activation, and the overrides but for the dataset and what changes no result.

    The number of epochs, too, says on which terms a run is compared, not what it is: it is in the name only where the
    overrides are those that a sweep varies (`varied`), which are enough.
    """
    flat = settings.flat()
    keys = dict.fromkeys(override.partition("=")[0].lstrip("+~") for override in overrides)
    kept = [key for key in keys if key in flat and (varied or key not in TERMS)]
    return _name(flat, ["activation", *(key for key in kept if key.partition(".")[0] != "dataset")])


def trusting(packages: Sequence[str]) -> list[str]:
    """The word of a command by which these packages of the user's are trusted; no word for none.

    >>> trusting(["mynet"]), trusting(["a", "b"]), trusting([])
    (['trust=mynet'], ['trust=[a,b]'], [])
    """
    if not packages:
        return []
    return [f"trust={packages[0]}" if len(packages) == 1 else f"trust=[{','.join(packages)}]"]
