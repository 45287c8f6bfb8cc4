"""Overrides of the same key: a typed key narrows a preset, and a key that is typed twice is a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actbench.choices import Listed, choices_of
from actbench.command import configurations
from actbench.command.override import TypedOverride, read
from actbench.command.suggestions import brief
from actbench.errors import Problem
from actbench.settings import GROUPS


def without_repeats(words: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """One word for each key, the last one, and a problem for each key that was typed with several values.

    With a choice that is typed again go the parameters that were typed for the earlier one.
    """
    overrides = [read(word) for word in words]
    places: dict[str, list[int]] = {}  # where each key is given
    for place, override in enumerate(overrides):
        if not override.sign:
            places.setdefault(override.key, []).append(place)
    kept = []
    for place, override in enumerate(overrides):
        group = places.get(override.key.partition(".")[0], [])
        rivals = [*places.get(override.key, []), *(group if len(group) > 1 else [])]
        if override.sign or max(rivals, default=place) <= place:
            kept.append(override.text)
    problems = []
    for key, repeated in places.items():
        values = dict.fromkeys(overrides[place].text for place in repeated)
        if len(values) > 1:
            what = f"is typed {_times(len(values))}: {' and '.join(map(brief, values))}"
            problems.append(Problem(what, key, f"one {key}=VALUE"))
    return kept, problems


def _times(number: int) -> str:
    return "twice" if number == 2 else f"{number} times"


def narrow(overrides: Sequence[TypedOverride]) -> tuple[list[TypedOverride], list[tuple[str, str]]]:
    """A preset sweep of which a key is typed as well becomes the rest of its keys.

    Returns:
        The overrides, and what each preset gave way to: `+sweep=deep`, `its rest, clip=norm,none`.
    """
    typed = {override.key for override in overrides}
    for place, override in enumerate(overrides):
        preset = _preset_of(override)
        params = _swept_by(preset) if preset else {}
        rest = [f"{key}={value}" for key, value in params.items() if key not in typed]
        if len(rest) < len(params):
            by = f"its rest, {' '.join(rest)}" if rest else "what is typed"
            return [*overrides[:place], *map(read, rest), *overrides[place + 1 :]], [(override.text, by)]
    return list(overrides), []


def for_sweep(overrides: Sequence[TypedOverride]) -> list[TypedOverride]:
    """The overrides of a sweep, in which the parameters of a swept group are swept as well, over their one value.

    Hydra first composes what is not swept by itself, and of the group's default such a parameter may be no key. Groups
    are also swept by presets and by experiments:

    >>> typed = map(read, ["activation=prelu,swish", "activation.num_parameters=units", "seed=3"])
    >>> [override.text for override in for_sweep([*typed])]
    ['activation=prelu,swish', 'activation.num_parameters=choice(units)', 'seed=3']
    """
    swept = {o.key for o in overrides if o.is_sweep} | configurations.chosen_by(configurations.presets_of(overrides))
    swept |= {read(word).key for word in of_presets(overrides)}

    def as_swept(override: TypedOverride) -> TypedOverride:
        group, _, parameter = override.key.partition(".")
        if not parameter or not {group, "experiment"} & swept or group not in GROUPS or override.is_sweep:
            return override
        return read(f"{override.head}=choice({override.value})")

    return [as_swept(override) for override in overrides]


def of_presets(overrides: Sequence[TypedOverride]) -> list[str]:
    """What the chosen presets sweep, as words: `clip=norm,none`."""
    presets = configurations.presets_of(overrides)
    return [f"{key}={value}" for preset in presets for key, value in _swept_by(preset).items()]


def _preset_of(override: TypedOverride) -> Listed | None:
    if not override.text.startswith("+sweep="):
        return None
    return next((choice for choice in choices_of("sweep") if choice.name == override.value), None)


def _swept_by(preset: Listed) -> dict[str, Any]:
    """Key -> the values that a preset sweeps; nothing of a preset that does more than that."""
    content = configurations.contents(preset)
    for key in ("hydra", "sweeper", "params"):
        content = content[key] if isinstance(content, dict) and [*content] == [key] else None
    return content if isinstance(content, dict) else {}
