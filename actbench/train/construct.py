"""Calls the targets that YAML files name, and turns any error in them into one clear message."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from actbench.custom.isolation import isolated
from actbench.custom.targets import resolve
from actbench.custom.tracebacks import blamed, explain, place
from actbench.custom.trust import is_own
from actbench.errors import UserError, in_a_line
from actbench.settings import Choice, Settings


def constructor_of(group: str, choice: Choice, trust: Sequence[str]) -> partial[Any]:
    """The class or function that the choice names, bound to its parameters and not yet called.

    Raises:
        UserError: the target is missing, not trusted, or not of the kind that the group accepts.
    """
    with isolated() if is_own(choice.target) else nullcontext():  # it may be imported only now, and only once
        return partial(resolve(group, choice, trust), **copy.deepcopy(choice.params))  # the callee may change a list


def optional_constructor(group: str, choice: Choice, trust: Sequence[str]) -> partial[Any] | None:
    """The same, or None for the choice `none`, which has no target."""
    return None if choice.target is None else constructor_of(group, choice, trust)


def with_fresh_parameters(constructor: partial[Any]) -> Callable[..., Any]:
    """The constructor as a function that may be called several times: each call gets its own copy of the parameters."""

    def call(*arguments: Any, **more: Any) -> Any:
        return constructor.func(*arguments, **{**copy.deepcopy(constructor.keywords), **more})

    return call


def construct(
    group: str, constructor: Callable[[], Any], choice: Choice | None = None, trust: Sequence[str] = ()
) -> Any:
    """What `constructor` returns. Any exception of it is reported as a mistake in the group's choice.

    Raises:
        UserError: it failed, because of a parameter or in the user's own code.
    """
    try:
        return constructor()
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if choice is not None and is_own(choice.target):
            where = f"{group}={choice.name}"
            raise UserError(explain(error, trust), where=where, how=f"fix {choice.target} or its parameters") from error
        if "allocate memory" in str(error):
            raise UserError("there is not enough memory for it", where=group, how="fewer or smaller layers") from error
        expected = isinstance(error, (TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError))
        what = first_line(error) if expected else in_a_line(error)
        raise UserError(what, where=group, how=f"actbench list {group}") from error


def blame(error: BaseException, settings: Settings, where: str, how: str = "") -> UserError:
    """The error as a message about the choice whose code raised it, with the line of the user's code.

    Args:
        error: of any kind.
        settings: of the run.
        where: what is to blame if no choice of the user's own can be found.
        how: how to mend it, in that case.
    """
    if not place(error, settings.trust):
        return UserError(first_line(error), where=where, how=how)
    return UserError(explain(error, settings.trust), where=blamed(error, settings) or where, how="fix it there")


def first_line(error: BaseException) -> str:
    """The first line of the error's message, or its type where it has none."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
