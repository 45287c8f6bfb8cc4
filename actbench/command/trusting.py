"""Who types a module's name trusts it: `trust=mynet` is added to `model=mynet:Net`, and to nothing that a file says."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.command.override import read
from actbench.command.quoting import split
from actbench.custom import signatures
from actbench.custom.trust import is_trusted
from actbench.naming import trusting


def with_trust(overrides: Sequence[str]) -> list[str]:
    """What was typed, with the modules that `model=module:name` names among those that are trusted."""
    typed = [read(word) for word in overrides]
    named = [
        signatures.module_of(value)
        for override in typed
        if override.key == "model" and not override.sign
        for value in split(override.value)
        if signatures.target_of(value) is not None
    ]
    trusted = [name for o in typed if o.key == "trust" for name in split(o.value.strip("[]")) if name != "null"]
    more = [name for name in dict.fromkeys(named) if not is_trusted(name, trusted)]
    if not more:
        return list(overrides)
    return [*(o.text for o in typed if o.key != "trust"), *trusting([*dict.fromkeys([*trusted, *more])])]
