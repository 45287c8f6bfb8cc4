"""Resolves a `_target_`: it must be of its group's kind, defined where it says, and trusted before it is imported.

A `conf` folder may come from someone else, so a name is first checked as text. From torch and torchvision, it may name
classes of the right kind in a few modules; from actbench, what its own `conf` names in the same group; anything else
has to be trusted by `trust=` on the command line.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from actbench.choices import packaged_conf
from actbench.custom.importing import import_module
from actbench.custom.trust import LIBRARIES, is_own, is_trusted
from actbench.errors import Problem, UserError, a_type_of, in_a_line, printable
from actbench.files.reading import read_yaml
from actbench.settings import Choice


@dataclass(frozen=True)
class Kind:
    """The kind of target that a group accepts.

    Args:
        what: its description.
        base: the class that a target's class must inherit from, `module:name`; empty where a function will do as well.
        homes: modules of torch and torchvision in which it may be found; their submodules too.
        defined: modules that must define it, or prefixes of them that end in a dot.
        only_class: whether a function that returns one is not enough.
    """

    what: str
    base: str = ""
    homes: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    only_class: bool = False


_ACTIVATION = Kind(
    "an activation, a class of torch.nn.Module",
    "torch.nn:Module",
    ("torch.nn", "torchvision.ops"),
    (
        "torch.nn.modules.activation",
        "torch.nn.modules.dropout",
        "torch.nn.modules.normalization",
        "torch.nn.modules.linear:Identity",
        "torchvision.ops.",
    ),
)
KINDS: dict[str, Kind] = {
    "activation": _ACTIVATION,
    "upper_activation": _ACTIVATION,
    "optimizer": Kind(
        "an optimizer, a class of torch.optim.Optimizer",
        "torch.optim:Optimizer",
        ("torch.optim",),
        ("torch.optim.",),
        only_class=True,
    ),
    "scheduler": Kind(
        "a scheduler, a class of torch.optim.lr_scheduler.LRScheduler",
        "torch.optim.lr_scheduler:LRScheduler",
        ("torch.optim",),
        ("torch.optim.lr_scheduler", "torch.optim.swa_utils"),
    ),
    "init": Kind("an init, a function (weight, *, gain, generator)"),
    "model": Kind("a model, a class of torch.nn.Module or a function that returns one"),
    "norm": Kind("a norm, a function (units, *, spatial)"),
    "clip": Kind("a way of clipping, a function (gradients)"),
    "augment": Kind("an augmentation, a function (x, *, generators, background)"),
    "dataset": Kind("a dataset, a function that returns actbench.datasets.Splits or a torch Dataset"),
    "measure": Kind("a measurement, a class with row, when and measure(moment)", only_class=True),
}


def resolve(group: str, choice: Choice, trust: Sequence[str]) -> Callable[..., Any]:
    """The class or function that a choice names, which can be called with its parameters.

    Raises:
        UserError: it is not trusted, not of the group's kind, not defined where it is said to be, or not there; or a
            parameter is more than a plain value. Nothing was imported or called then that is not trusted.
    """
    where = f"{group}={printable(choice.name)}" if choice.name else group
    problems = not_plain(group, choice)
    if problems:
        raise UserError.of(problems)
    target = choice.target
    if not isinstance(target, str) or not _DOTTED.fullmatch(target):
        raise UserError(f"`_target_: {_shown(target)}` is not the dotted name of a class or function", where=where)
    kind = KINDS[group]
    top = target.split(".")[0]
    if top == "actbench":
        return _ours(group, kind, target, where)
    if top in LIBRARIES:
        return _of_a_library(kind, target, where)
    if not is_trusted(target, trust):
        raise UserError(
            f"`_target_: {target}` is from a package that is not trusted, and nothing of it was imported",
            where=where,
            how=f"trust={top} if it is yours",
        )
    return _own(kind, target, tuple(trust), where)


_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+", re.ASCII)


def _shown(value: Any) -> str:
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= 80 else f"{text[:77]}..."


# ---------------------------------------------------------------- parameters


def not_plain(group: str, choice: Choice) -> list[Problem]:
    """A problem for each parameter that is more than a number, word, switch, null, or a list or mapping of these."""
    problems = []
    for key, value in choice.params.items():
        where = f"{group}.{_shown(key)}"
        if not isinstance(key, str) or _SPECIAL.fullmatch(key):
            problems.append(Problem("is a word that Hydra would obey: a parameter is a plain value", where, _PLAINLY))
        elif reason := _more_than_plain(value, 0):
            problems.append(Problem(f"{reason}: a parameter is a plain value", where, _PLAINLY))
    return problems


_PLAINLY = "a number, a word, true, false, null, or a list of these"
_SPECIAL = re.compile(r"_.*_")  # _target_, _partial_, _args_, _convert_, _recursive_, and what Hydra may come to know


def _more_than_plain(value: Any, depth: int) -> str:
    if depth > 8:
        return "is nested too deeply"
    if value is None or isinstance(value, (bool, int, float, str)):
        return "is an interpolation" if isinstance(value, str) and "${" in value else ""
    if isinstance(value, (list, tuple)):
        return next(filter(None, (_more_than_plain(item, depth + 1) for item in value)), "")
    if isinstance(value, dict):
        special = [key for key in value if not isinstance(key, str) or _SPECIAL.fullmatch(key)]
        if special:
            return f"has a `{_shown(special[0])}` in it"
        return next(filter(None, (_more_than_plain(item, depth + 1) for item in value.values())), "")
    return f"is {a_type_of(value)}"


# ---------------------------------------------------------------- where a target may come from


@lru_cache(maxsize=1)
def registered() -> dict[str, frozenset[str]]:
    """Group -> the targets of actbench that our own `conf` has in it: what is added there can be named elsewhere."""
    targets: dict[str, set[str]] = {group: set() for group in KINDS}
    for group in KINDS:
        for path in (packaged_conf() / group).glob("*.yaml"):
            target = str(read_yaml(path).get("_target_"))
            if target.startswith("actbench."):
                targets[group].add(target)
    targets["upper_activation"] = targets["activation"]
    return {group: frozenset(names) for group, names in targets.items()}


def _ours(group: str, kind: Kind, target: str, where: str) -> Callable[..., Any]:
    allowed = registered()[group]
    if target not in allowed:
        raise UserError(
            f"`_target_: {target}` is not {kind.what}, of those that actbench has",
            where=where,
            how=" or ".join([", ".join(sorted(allowed)), _yourself(kind)] if allowed else [_yourself(kind)]),
        )
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _of_a_library(kind: Kind, target: str, where: str) -> Callable[..., Any]:
    """A class of torch or torchvision; only modules that these two have imported themselves are looked into."""
    path, _, name = target.rpartition(".")
    refused = UserError(f"`_target_: {target}` is not {kind.what}", where=where, how=_how(kind))
    home = next((home for home in kind.homes if path == home or path.startswith(f"{home}.")), None)
    if home is None or name.startswith("_"):
        raise refused
    importlib.import_module(home)
    target_class = vars(sys.modules[path]).get(name) if path in sys.modules else None
    if target_class is None:
        raise UserError(f"`_target_: {target}`: there is no `{name}` in {path}", where=where, how=_how(kind))
    if not (
        inspect.isclass(target_class) and _inherits(target_class, kind) and _defined_in(target_class, kind.defined)
    ):
        raise refused
    return target_class


def _inherits(target_class: type, kind: Kind) -> bool:
    """Whether a class is of the kind, and not the base itself."""
    module, _, name = kind.base.partition(":")
    base = getattr(importlib.import_module(module), name)
    return issubclass(target_class, base) and target_class is not base


def _defined_in(target_class: type, defined: Sequence[str]) -> bool:
    at = target_class.__module__
    return any(
        at == place or f"{at}:{target_class.__name__}" == place or (place.endswith(".") and at.startswith(place))
        for place in defined
    )


def _how(kind: Kind) -> str:
    if not kind.homes:
        return _yourself(kind)
    places = " or ".join(f"{home}.NAME" for home in kind.homes)
    return f"{places}, such as {_EXAMPLES[kind.base]}; {_yourself(kind)}"


_EXAMPLES = {
    "torch.nn:Module": "torch.nn.ELU",
    "torch.optim:Optimizer": "torch.optim.Adam",
    "torch.optim.lr_scheduler:LRScheduler": "torch.optim.lr_scheduler.StepLR",
}


def _yourself(kind: Kind) -> str:
    return f"`_target_: my_module.NAME`, {kind.what.partition(', ')[2]} in your my_module.py, with trust=my_module"


# ---------------------------------------------------------------- the user's own


def _own(kind: Kind, target: str, trust: tuple[str, ...], where: str) -> Callable[..., Any]:
    module, names = import_module(target, trust, where)
    reached: Any = module
    for name in names:
        inner = _attribute(reached, name, where, target)
        if inner is None:
            what = f"there is no `{name}` in {getattr(reached, '__name__', target)}"
            raise UserError(f"`_target_: {target}`: {what}", where=where, how="the name of a class or function")
        reached = inner
        if not (inspect.isclass(reached) or inspect.isroutine(reached)):
            kind_of = "a module" if inspect.ismodule(reached) else f"of type {type(reached).__name__}"
            raise UserError(
                f"`_target_: {target}`: `{name}` is {kind_of}, not a class or function",
                where=where,
                how=f"name {kind.what} that is defined in {module.__name__}",
            )
        at = str(getattr(reached, "__module__", None))
        if not is_trusted(at, trust):
            raise UserError(
                f"`_target_: {target}` is defined in `{at}`, which is not trusted",
                where=where,
                how=f"define it in {module.__name__}, or, if that is yours, trust=[{','.join([*trust, at])}]"
                if is_own(at)
                else f"name {kind.what} that is defined in {module.__name__}",
            )
    if not names:
        raise UserError(f"`_target_: {target}` is a module", where=where, how=f"{target}.NAME of {kind.what}")
    if kind.base and (inspect.isclass(reached) and not _inherits(reached, kind)):
        raise UserError(f"`_target_: {target}` is not {kind.what}", where=where, how="let it inherit from that class")
    if kind.only_class and not inspect.isclass(reached):
        raise UserError(f"`_target_: {target}` is not {kind.what}, but a function", where=where, how="name the class")
    return reached


def _attribute(owner: Any, name: str, where: str, target: str) -> Any:
    try:
        return getattr(owner, name, None)
    except (Exception, SystemExit) as error:  # a module's own __getattr__
        raise UserError(f"`_target_: {target}` cannot be looked up: {in_a_line(error)}", where=where) from error
