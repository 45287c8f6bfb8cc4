"""Everything that is wrong with a command line at once, and the whole command that would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.command import planning
from actbench.command.overrides import for_sweep, key_of, settle
from actbench.command.planning import Job
from actbench.command.quoting import command, for_hydra, parsed, split
from actbench.command.suggestions import Mistake
from actbench.command.typed import Line
from actbench.errors import Problem

_ROUNDS = 5  # what is behind a mistake is seen once that is mended; five levels of that are not typed by anyone


@dataclass(frozen=True)
class Understood:
    """What a line comes to: its jobs, the overrides as Hydra reads them, what gave way to what, and what is wrong.

    `whole` is the command without any of these mistakes, where there is one that is sure.
    """

    jobs: list[Job]
    overrides: list[str]
    replaced: list[tuple[str, str]]
    problems: list[Problem]
    whole: str


def understand(line: Line) -> Understood:
    """Plans what was typed. With mistakes, what can be mended is, so that what is wrong behind it is told as well."""
    found = list(line.problems)
    first = round_ = _Round.of(line.overrides, line.multirun)
    typed, multirun = list(line.overrides), line.multirun
    for _ in range(_ROUNDS):
        told = {(problem.what, problem.where) for problem in found}
        found += [problem for problem in round_.problems if (problem.what, problem.where) not in told]
        mistakes = [p for p in round_.problems if isinstance(p, Mistake) and p.mends]
        if not mistakes:
            break
        again = _mended(typed, mistakes)
        sweep = multirun or any(mistake.sweep for mistake in mistakes)
        if (again, sweep) == (typed, multirun):
            break
        typed, multirun = again, sweep
        round_ = _Round.of(typed, multirun)
    if "--package" in line.shows and not found:
        package, part = (line.shows[line.shows.index(flag) + 1] for flag in ("--package", "--cfg"))
        elsewhere = part != "all" and (part == "hydra") != (package.partition(".")[0] == "hydra")
        if elsewhere or not planning.has_key(first.overrides, package):
            line.mended = False
            found.append(Problem("there is no such key", f"--package {package}", "a group, say: --package optimizer"))
    whole = ""
    if found and line.mended and not round_.problems and not (line.shows and multirun):
        whole = command([*(["-m"] if multirun else []), *line.shows, *typed])
    jobs = round_.jobs if found else first.jobs
    return Understood(jobs, first.overrides, first.replaced, found, whole)


@dataclass(frozen=True)
class _Round:
    jobs: list[Job]
    overrides: list[str]
    replaced: list[tuple[str, str]]
    problems: list[Problem]

    @classmethod
    def of(cls, typed: Sequence[str], multirun: bool) -> _Round:
        settled = settle([for_hydra(override, multirun=multirun) for override in typed])
        overrides = settled.overrides
        if multirun:
            overrides = for_sweep(overrides, planning.sweeps_in(overrides))
        jobs, problems = planning.plan(overrides, multirun=multirun)
        return cls(jobs, overrides, settled.replaced, problems)


def _mended(typed: Sequence[str], mistakes: Sequence[Mistake]) -> list[str]:
    words = list(typed)
    for mistake in mistakes:
        new: list[str] = []
        for word in words:
            new += _replaced(word, mistake) if key_of(word) == mistake.key else [word]
        words = new
    return words


def _replaced(word: str, mistake: Mistake) -> list[str]:
    """What stands in the place of an override."""
    if mistake.words is not None:
        return list(mistake.words)
    head, equals, value = word.partition("=")
    if mistake.rename:
        head = head.replace(mistake.key, mistake.rename).lstrip("+")
    for old, new in mistake.values:
        parts = [new if _same(part, old) else part for part in split(value)]
        value = new if _same(value, old) else ",".join(part for part in parts if part)
    return [f"{head}{equals}{value}"]


def _same(written: str, value: str) -> bool:
    """Whether a value is the one that a message speaks of, which may be written otherwise: 1e3 and 1000."""
    if written.strip() == value:
        return True
    read = parsed(f"x={written}") if written else None
    other = parsed(f"x={value}") if value else None
    return read is not None and other is not None and not read.is_sweep_override() and read.value() == other.value()
