"""What was typed, before anything is made of it: overrides of which none contradicts another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from actbench.choices import Listed, choices_of
from actbench.custom import conf_files
from actbench.files.reading import parse_yaml


def key_of(override: str) -> str:
    """What an override changes: the part before `=`."""
    return override.partition("=")[0].lstrip("+~")


@dataclass(frozen=True)
class Settled:
    """Overrides of which none contradicts another; `replaced` says what gave way to what."""

    overrides: list[str]
    replaced: list[tuple[str, str]]


def settle(overrides: Sequence[str]) -> Settled:
    """What is typed later wins, so that a remedy can be pasted behind a command and a preset sweep be narrowed.

    With a choice go the parameters that were typed for it; of a preset stays what is not typed beside it.
    """
    overrides, replaced = _narrow(list(overrides))
    places: dict[str, list[int]] = {}  # where each key is given
    for place, override in enumerate(overrides):
        if not override.startswith(("+", "~")):
            places.setdefault(key_of(override), []).append(place)
    kept = []
    for place, override in enumerate(overrides):
        key = key_of(override)
        group = places.get(key.partition(".")[0], [])
        rivals = [*places.get(key, []), *(group if len(group) > 1 else [])]
        last = max(rivals, default=place)
        if override.startswith(("+", "~")) or last <= place:
            kept.append(override)
        else:
            replaced.append((override, overrides[last]))
    return Settled(kept, replaced)


def for_sweep(overrides: Sequence[str], sweeps: Collection[str]) -> list[str]:
    """The overrides of a sweep, in which the parameters of a swept group are swept as well, over their one value.

    Hydra first composes what is not swept by itself, and of the group's default such a parameter may be no key:

    >>> for_sweep(["activation=prelu,swish", "activation.num_parameters=units", "seed=3"], ["activation=prelu,swish"])
    ['activation=prelu,swish', 'activation.num_parameters=choice(units)', 'seed=3']

    Args:
        overrides: what was typed.
        sweeps: those of them that have several values.
    """
    preset = next((found for o in overrides if (found := _preset_of(o))), None)
    swept = {*map(key_of, sweeps), *(_swept_by(preset) if preset else ())}

    def made(override: str) -> str:
        key, _, value = override.partition("=")
        group, _, parameter = key.partition(".")
        is_one = parameter and group in swept and override not in sweeps
        return f"{key}=choice({value})" if is_one else override

    return [made(override) for override in overrides]


def _preset_of(override: str) -> Listed | None:
    return next((choice for choice in choices_of("sweep") if override == f"+sweep={choice.name}"), None)


def _narrow(overrides: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A preset of which a key is typed as well becomes the rest of its keys."""
    for place, override in enumerate(overrides):
        preset = _preset_of(override) if override.startswith("+sweep=") else None
        params = _swept_by(preset) if preset else {}
        typed = {key_of(o) for o in overrides}
        rest = [f"{key}={value}" for key, value in params.items() if key not in typed]
        if len(rest) < len(params):
            by = f"its rest, {' '.join(rest)}" if rest else "what is typed"
            return [*overrides[:place], *rest, *overrides[place + 1 :]], [(override, by)]
    return overrides, []


def _swept_by(preset: Listed) -> dict[str, Any]:
    """Key -> the values that a preset sweeps; nothing of one that does more than that."""
    content = parse_yaml(conf_files.load(preset.path, f"sweep/{preset.name}"))
    for key in ("hydra", "sweeper", "params"):
        content = content[key] if isinstance(content, dict) and [*content] == [key] else None
    return content if isinstance(content, dict) else {}
