"""Classes and functions that were given as objects: by what names a command knows them."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

from actbench.choices import builds, choices_of
from actbench.custom import signatures
from actbench.errors import UserError


def is_definition(value: Any) -> bool:
    """Whether it is a class or function whose source can be looked for."""
    return inspect.isclass(value) or inspect.isfunction(value)


def free(name: str, group: str, text: str) -> str:
    """The name for a choice: no other one has it, and no earlier version of it, whose runs could not go on."""
    taken = [listed.path for listed in choices_of(group) if listed.name.lower() == name.lower()]
    digest = hashlib.sha256(text.encode()).hexdigest()
    return name if all(_is_kept(path) and path.read_text() == text for path in taken) else f"{name}_{digest[:4]}"


def _is_kept(path: Path) -> bool:
    from actbench.files.places import KEPT

    return path.parts[-4:-2] == (KEPT, "conf")


def named(one: Any) -> str | None:
    """The choice of ours that a class or function of torch is."""
    home = str(getattr(one, "__module__", None) or "torch")
    if home.partition(".")[0] != "torch":
        return None
    ours = {builds(listed): listed.name for listed in choices_of("activation") if not listed.own}
    if inspect.isclass(one):
        return ours.get(f"torch.nn.{one.__name__}")
    return one.__name__ if one.__name__ in ours.values() else None


def takes_a_tensor(function: Any) -> bool:
    """Whether it is a function of a tensor, and not one that returns a new module: it has to be given something."""
    if inspect.isbuiltin(function):
        return True
    parameters = [*inspect.signature(function).parameters.values()]
    return any(
        one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters
    )


def defaults(target: str, where: str) -> dict[str, Any]:
    """The parameters of a class, which become keys; those without a default it cannot have."""
    found = signatures.signature_of(target)
    parameters = dict(found.parameters) if found is not None else {}
    if lacking := [name for name, value in parameters.items() if value == signatures.REQUIRED]:
        how = "give it a default: each layer has one of its own, which is made with the defaults"
        raise UserError(f"needs {', '.join(lacking)} to be made", where=where, how=how)
    return parameters
