"""What was typed, before anything is made of it: overrides of which none contradicts another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from actbench.choices import Listed, choices_of
from actbench.errors import UserError
from actbench.stored import read_yaml


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


def _narrow(overrides: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A preset of which a key is typed as well becomes the rest of its keys."""
    for place, override in enumerate(overrides):
        if not override.startswith("+sweep="):
            continue
        preset = next((c for c in choices_of("sweep") if override == f"+sweep={c.name}"), None)
        params = {} if preset is None else _swept_by(preset)
        typed = {key_of(o) for o in overrides}
        rest = [f"{key}={value}" for key, value in params.items() if key not in typed]
        if len(rest) < len(params):
            by = f"its rest, {' '.join(rest)}" if rest else "what is typed"
            return [*overrides[:place], *rest, *overrides[place + 1 :]], [(override, by)]
    return overrides, []


def _swept_by(preset: Listed) -> dict[str, Any]:
    """Key -> the values that a preset sweeps; nothing of one that does more than that."""
    try:
        content = read_yaml(preset.path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"is not YAML: {' '.join(str(error).split())}", where=str(preset.path)) from error
    for key in ("hydra", "sweeper", "params"):
        content = content[key] if isinstance(content, dict) and [*content] == [key] else None
    return content if isinstance(content, dict) else {}
