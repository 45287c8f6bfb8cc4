"""Plans a command line; if it is wrong, finds all its problems and the corrected command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actbench.command import planning, race_terms
from actbench.command.line import CommandLine
from actbench.command.override import key_of, read
from actbench.command.planning import Compositions, Job
from actbench.command.quoting import command, for_hydra, split
from actbench.command.repeated_keys import for_sweep, narrow, without_repeats
from actbench.command.suggestions import Mistake
from actbench.errors import Problem

_ROUNDS = 5  # correcting a mistake may reveal another one behind it: more levels than anyone types


@dataclass(frozen=True)
class Understood:
    """A command line understood: its jobs, the overrides as Hydra reads them, narrowed presets, and its problems.

    `whole` is the corrected command, if every mistake has a certain correction; otherwise empty.
    """

    jobs: list[Job]
    overrides: list[str]
    narrowed: list[tuple[str, str]]
    problems: list[Problem]
    whole: str


def understand(line: CommandLine) -> Understood:
    """Plans what was typed. Mistakes are corrected where possible, so that problems behind them are found as well."""
    problems = list(line.problems)
    typed, multirun = _single(line.overrides, problems), line.multirun
    known: Compositions = {}
    first = round_ = _Round.of(typed, multirun, known)
    for _ in range(_ROUNDS):
        _add(problems, round_.problems)
        mistakes = [p for p in round_.problems if isinstance(p, Mistake) and p.mends]
        if not mistakes:
            break
        again = _single(_mended(typed, mistakes), problems)
        sweep = multirun or any(mistake.sweep for mistake in mistakes)
        if (again, sweep) == (typed, multirun):
            break
        typed, multirun = again, sweep
        round_ = _Round.of(typed, multirun, known)
    if "--package" in line.shows and not problems:
        package, part = (line.shows[line.shows.index(flag) + 1] for flag in ("--package", "--cfg"))
        elsewhere = part != "all" and (part == "hydra") != (package.partition(".")[0] == "hydra")
        if elsewhere or not planning.has_key(first.overrides, package):
            line.mended = False
            how = "a group, say: --package optimizer"
            problems.append(Problem("there is no such key", f"--package {package}", how))
    whole = ""
    if problems and line.mended and not round_.problems and not (line.shows and multirun):
        whole = command([*(["-m"] if multirun else []), *line.shows, *typed])
    jobs = round_.jobs if problems else first.jobs
    return Understood(jobs, first.overrides, first.narrowed, problems, whole)


def _single(words: Sequence[str], problems: list[Problem]) -> list[str]:
    """The words, each key once; a key that is typed several times is added to the problems."""
    kept, repeated = without_repeats(words)
    _add(problems, repeated)
    return kept


def _add(problems: list[Problem], more: Sequence[Problem]) -> None:
    known = {(problem.what, problem.where) for problem in problems}
    problems += [problem for problem in more if (problem.what, problem.where) not in known]


@dataclass(frozen=True)
class _Round:
    jobs: list[Job]
    overrides: list[str]
    narrowed: list[tuple[str, str]]
    problems: list[Problem]

    @classmethod
    def of(cls, typed: Sequence[str], multirun: bool, known: Compositions) -> _Round:
        overrides, narrowed = narrow([read(for_hydra(word, multirun=multirun)) for word in typed])
        if multirun:
            overrides = for_sweep(overrides)
        texts = [override.text for override in overrides]
        jobs, problems = planning.plan(texts, multirun=multirun, known=known)
        if multirun and not problems:
            problems = race_terms.check(jobs, texts)
        return cls(jobs, texts, narrowed, problems)


def _mended(typed: Sequence[str], mistakes: Sequence[Mistake]) -> list[str]:
    words = list(typed)
    for mistake in mistakes:
        new: list[str] = []
        for word in words:
            new += _replaced(word, mistake) if key_of(word) == mistake.key else [word]
        words = new
    return words


def _replaced(word: str, mistake: Mistake) -> list[str]:
    """The words that replace a wrong override."""
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
    """Whether two values are the same, possibly written differently, such as 1e3 and 1000."""
    if written.strip() == value:
        return True
    first = read(f"x={written}").parsed if written else None
    second = read(f"x={value}").parsed if value else None
    if first is None or second is None or first.is_sweep_override():
        return False
    return bool(first.value() == second.value())
