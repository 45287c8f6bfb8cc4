"""Parameters that some of the swept choices have and others do not: each applies to the choices that have it.

`-m activation=relu,leaky_relu activation.negative_slope=0.01,0.2` is three runs, since relu has no such parameter. A
parameter that none of the choices has stays where it is, and is reported as a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actbench.command.override import TypedOverride, read
from actbench.command.suggestions import enumerated, names_of, parameters
from actbench.errors import Problem
from actbench.settings import GROUPS

if TYPE_CHECKING:
    from actbench.command.planning import Job

Given = tuple[Hashable, TypedOverride]  # what an override of a job was typed as, and the override
_FEW = 4  # choices that are named
_CHOOSING = ("experiment", "sweep")  # whose files choose in groups


def applied(
    jobs: Iterable[Sequence[Given]], usual: Callable[[Sequence[TypedOverride]], Mapping[str, Any]]
) -> list[list[TypedOverride]]:
    """The overrides of each job without the parameters that its choices do not have; jobs that are then equal are one.

    Args:
        jobs: what was typed for each, in which nothing is left out yet.
        usual: with an experiment and a preset, or without any, group -> the choice where none is typed.
    """
    jobs = list(jobs)
    keys: dict[Hashable, str] = {}
    met: dict[Hashable, dict[str, None]] = {}  # a typed parameter -> the choices of its group in its jobs
    for job in jobs:
        for source, override in job:
            if is_parameter(override):
                keys[source] = override.key
                met.setdefault(source, {})[_choice(job, override, usual)] = None
    foreign = {source: without for source, names in met.items() if (without := _lacking(keys[source], [*names]))}
    if not foreign:
        return [[override for _, override in job] for job in jobs]
    kept = (
        tuple(o for source, o in job if source not in foreign or _choice(job, o, usual) not in foreign[source])
        for job in jobs
    )
    return [[*job] for job in dict.fromkeys(kept)]


def is_parameter(override: TypedOverride) -> bool:
    """Whether an override is a parameter of a choice, typed without a sign: `activation.negative_slope=0.2`."""
    group, dot, _ = override.key.partition(".")
    return bool(dot) and group in GROUPS and not override.sign


def _choice(
    job: Sequence[Given], override: TypedOverride, usual: Callable[[Sequence[TypedOverride]], Mapping[str, Any]]
) -> str:
    """The job's choice in the group of a parameter."""
    group = override.key.partition(".")[0]
    typed = [other for _, other in job if other.key == group]
    return _value(typed[-1]) if typed else str(usual([o for _, o in job if o.key in _CHOOSING]).get(group, ""))


def _value(override: TypedOverride) -> str:
    """Without quotes."""
    return str(override.parsed.value()) if override.parsed is not None else override.value


def _lacking(key: str, names: Sequence[str]) -> set[str]:
    """Those of some choices that lack a parameter which others of them have; empty where none or all have it.

    A choice that there is not may be a slip for one that has it.
    """
    group, _, parameter = key.partition(".")
    if len(names) < 2:
        return set()
    known = {*names_of(group), "none"}
    having = {n for n in names if n not in known or parameter.partition(".")[0] in parameters(group, n)}
    return {*names} - having if having else set()


def remarks(jobs: Sequence[Job], typed: Iterable[str]) -> list[str]:
    """A sentence for each typed parameter that applies to some of the jobs alone.

    Args:
        typed: words, such as `activation.negative_slope=0.01,0.2`.
    """
    sentences = []
    for override in map(read, typed):
        if not is_parameter(override):
            continue
        group = override.key.partition(".")[0]
        names: dict[bool, dict[str, None]] = {True: {}, False: {}}
        for job in jobs:
            has = any(read(text).key == override.key for text in job.overrides)
            names[has][getattr(job.settings, group).name] = None
        having, lacking = [*names[True]], [*names[False]]
        if having and lacking:
            others = enumerated(lacking) if len(lacking) <= _FEW else f"the {len(lacking)} others"
            verb = "has" if len(lacking) == 1 else "have"
            sentences.append(
                f"{override.text} applies to {enumerated(having)} alone: {others} {verb} no such parameter"
            )
    return sentences


def in_a_search(overrides: Sequence[TypedOverride], values: Mapping[str, Sequence[TypedOverride]]) -> list[Problem]:
    """The problems of parameters that only some of the choices have among which a search chooses.

    Args:
        overrides: all of the command.
        values: key -> what it may become.
    """
    problems = []
    for override in filter(is_parameter, overrides):
        group = override.key.partition(".")[0]
        names = [_value(choice) for choice in values.get(group, ())]
        if lacking := _lacking(override.key, names):
            having = [name for name in names if name not in lacking]
            what = f"{enumerated(sorted(lacking))} {'has' if len(lacking) == 1 else 'have'} no such parameter"
            how = f"a search needs parameters that all choices have: one search with {group}={','.join(having)}"
            problems.append(Problem(what, override.text, how))
    return problems
