"""`model=mynet:Net`: a class or function of the user's own, named on the command line in place of a YAML file.

Its parameters are read from its source (`custom.signatures`), so that nothing of it runs before the command is checked.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from actbench.custom import signatures
from actbench.custom.trust import LIBRARIES
from actbench.errors import Problem

if TYPE_CHECKING:
    from omegaconf import DictConfig

_OWN_WEIGHTS = [
    {"override /init@_global_.init": "own"}
]  # a network of one's own starts as it is, where nothing else is said


def is_there(name: str) -> bool:
    """Whether `module:name` names a class or function that the module's source defines, or may import."""
    target = signatures.target_of(name)
    return target is not None and problem_of(name) is None


def problem_of(name: str, override: str = "") -> Problem | None:
    """What is wrong with `module:name`; None where its module is there, and the name may be in it."""
    where = override or f"model={name}"
    module = signatures.module_of(name)
    if signatures.target_of(name) is None:
        return Problem("is not the name of a class or function in a module", where, "model=mynet:Net, of your mynet.py")
    if module.split(".")[0] in LIBRARIES:
        how = "a function in a module of your own that returns one: model=mynet:make"
        return Problem("is not from a module of your own", where, how)
    file = signatures.file_of(name)
    if file is None:
        how = f"put {module}.py where you type, or install it"
        if module.endswith(".py"):
            how = f"model={module.removesuffix('.py')}:{name.partition(':')[2]}, the module and not its file"
        return Problem(f"there is no module `{module}`", where, how)
    defined, wanted = signatures.defined_in(file), name.partition(":")[2]
    shows = signatures.signature_of(str(signatures.target_of(name))) is not None
    if shows or signatures.mentions(file, wanted.partition(".")[0]):
        return None
    near = difflib.get_close_matches(wanted, defined, n=1)
    how = f"did you mean {module}:{near[0]}?" if near else f"it has {', '.join(defined) or 'none'}"
    return Problem(f"there is no class or function `{wanted}` in {file.name}", where, how)


def parameters(name: str) -> dict[str, Any]:
    """Its parameters with their defaults; one that has to be typed is None."""
    signature = signatures.signature_of(str(signatures.target_of(name)))
    taken = signature.parameters if signature is not None else {}
    return {key: None if value == signatures.REQUIRED else value for key, value in taken.items()}


def values(name: str) -> dict[str, Any]:
    """What a YAML file of it would say; a parameter that has to be typed is None."""
    return {"_target_": signatures.target_of(name), "_partial_": True, **parameters(name)}


def beginning_with(text: str) -> list[str]:
    """`mynet:` -> what may be meant: the classes and functions of the module."""
    module = signatures.module_of(text)
    file = signatures.file_of(f"{module}:x") if signatures.target_of(f"{module}:x") else None
    return [f"{module}:{name}" for name in signatures.defined_in(file)] if file is not None else []


def as_yaml(name: str) -> str:
    """The YAML file of it; a parameter that has to be typed is `???`."""
    import yaml  # not for what completes words

    target = str(signatures.target_of(name))
    signature = signatures.signature_of(target)
    content: dict[str, Any] = {"_target_": target, "_partial_": True}
    if signature is not None:
        content |= signature.parameters
    if signature is None or not signature.takes_components:
        content["defaults"] = _OWN_WEIGHTS
    return f"# {name}\n{yaml.safe_dump(content, sort_keys=False)}"


def add_defaults(config: DictConfig) -> None:
    """Lets a user's own file of a network leave the network's own initialisation, where it chooses no other."""
    signature = signatures.signature_of(str(config.get("_target_")))
    if signature is not None and not signature.takes_components and "defaults" not in config:
        config["defaults"] = _OWN_WEIGHTS
