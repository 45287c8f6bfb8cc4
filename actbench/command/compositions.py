"""What the plans of a command and their jobs share: compositions, each of which takes Hydra a tenth of a second."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from actbench.command import explaining
from actbench.command.override import TypedOverride

Compositions = dict[tuple[str, ...], DictConfig | Exception]  # by overrides; an exception where Hydra refused them


def plain_values(params: Sequence[TypedOverride], overrides: Sequence[TypedOverride]) -> set[str]:
    """The swept keys that choose no file, and are neither above nor below the key of another override."""
    swept = [override for override in [*params, *overrides] if override.is_sweep]
    keys = {override.key for override in [*params, *overrides]} - {*explaining.CHOSEN}

    def is_plain(override: TypedOverride) -> bool:
        key = override.key
        related = (f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.") for other in keys - {key})
        return not override.sign and key not in explaining.CHOSEN and not {*"/@:"} & {*key} and not any(related)

    return {override.key for override in swept if is_plain(override)}
