"""A look at the results of a study between the rounds of a race: the verdict on them, kept in `decide.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from actbench.command.race_terms import Terms
from actbench.errors import Problem
from actbench.report import looks, runs
from actbench.report.configurations import METRIC, Block, Configuration, blocks, in_order
from actbench.report.verdict import Verdict, decide
from actbench.store import decide as stored
from actbench.store.decide import Decide, EarlierLook

Asked = Mapping[str, Collection[int]]
UNDECIDED = ("undecided", "too few seeds")


@dataclass(frozen=True)
class Look:
    """What was seen: by configuration id the name, the word, and the seeds with a result.

    `contenders` are those of which more seeds would settle something; `settled` is whether nobody is undecided,
    `limited` whether somebody is because the test images are too few, and `place` that in `decide.json`.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)
    contenders: frozenset[str] = frozenset()
    settled: bool = False
    limited: bool = False
    place: int = -1

    @property
    def undecided(self) -> list[str]:
        return [name for name, word in self.words.items() if word in UNDECIDED]


def at(
    study: Path, terms: Terms, *, record: bool = True, after: Look | None = None, asked: Asked | None = None
) -> Look:
    """Looks at all results that a study has now, and records that in its `decide.json`.

    Several processes may race in one study: the first one that gets here looks, and the others see what it has seen.

    Args:
        after: the look before.
        asked: configuration id -> the seeds that it was to have by now; what has been looked at since the look before,
            and had them, is seen in place of all that is there now.

    Raises:
        OSError: it cannot be written.
    """
    problems: list[Problem] = []  # which the comparison at the end reports
    with stored.changing(study) if record else nullcontext():
        compared = blocks(runs.find([study]).runs)
        found = looks.studies(compared, problems)
        if not compared or not found:
            return Look()
        block, seen, own = compared[0], found[0], looks.of_block(compared[0], found)
        for place in range((after or Look()).place + 1, len(seen.decide.looks)) if asked else ():
            if _has(seen.decide.looks[place], block, asked or {}):
                return _recorded(block, terms, seen.decide, place)
        recorded = stored.with_look(seen.decide, seen.seeds)
        verdict = _verdict(block, terms, looks.number(own), looks.earlier(own), problems)
        if record and recorded != seen.decide:
            stored.write(study, recorded)
    return _look(verdict, seen.seeds, len(recorded.looks) - 1)


def again(study: Path, terms: Terms, ids: Collection[str]) -> Look | None:
    """The last look that was recorded, as it was; None where there is none at all the configurations `ids`.

    A race that was stopped in the middle of a round goes on from there, as if it had not been: what has been trained
    since is not looked at before the round is over. Whoever diverged may be missing in a look.
    """
    decide_file = stored.read(study)
    compared = blocks(runs.find([study]).runs) if decide_file.looks else []
    if not compared:
        return None
    seen = _recorded(compared[0], terms, decide_file, len(decide_file.looks) - 1)
    return seen if all(key in seen.seeds or seen.words.get(key) == "diverged" for key in ids) else None


def _has(look: Mapping[str, Sequence[int]], block: Block, asked: Asked) -> bool:
    """Whether all seeds that were asked for had been looked at, but for those that diverged."""
    diverged = {one.settings.id: {*one.diverged} for one in block.configurations}
    return all({*seeds} <= {*look.get(key, ()), *diverged.get(key, ())} for key, seeds in asked.items())


def _recorded(block: Block, terms: Terms, decide_file: Decide, place: int) -> Look:
    """A look that was recorded, as it was."""
    seeds, before = decide_file.looks[place], replace(decide_file, looks=decide_file.looks[:place])
    number, earlier = stored.number_of_looks(before, seeds), stored.earlier_looks(before, seeds)
    return _look(_verdict(_as_of(block, seeds), terms, number, earlier, []), seeds, place)


def _verdict(
    block: Block, terms: Terms, number: int, earlier: Sequence[EarlierLook], problems: list[Problem]
) -> Verdict:
    return decide(block, margin=terms.margin, test_set=terms.test_set, look=number, earlier=earlier, problems=problems)


def _look(verdict: Verdict, seeds: Mapping[str, Sequence[int]], place: int) -> Look:
    by_id = {decision.configuration.settings.id: decision for decision in verdict.decisions}
    return Look(
        names={key: decision.name for key, decision in by_id.items()},
        words={key: decision.word for key, decision in by_id.items()},
        seeds=seeds,
        contenders=frozenset(one.settings.id for one in verdict.contenders),
        settled=verdict.settled,
        limited=any(decision.limited_by_images for decision in verdict.decisions),
        place=place,
    )


def _as_of(block: Block, seeds: Mapping[str, Sequence[int]]) -> Block:
    """The block when it had these seeds."""
    last = max((seed for of in seeds.values() for seed in of), default=-1)
    then = [_with(one, {*seeds.get(one.settings.id, ())}, last) for one in block.configurations]
    ordered, _ = in_order([one for one in then if one.n or one.diverged])
    return replace(block, configurations=tuple(ordered))


def _with(configuration: Configuration, seeds: set[int], last: int) -> Configuration:
    values = {
        metric: {seed: value for seed, value in of.items() if seed in seeds}
        for metric, of in {METRIC: {}, **configuration.values}.items()
    }
    diverged = {seed: epoch for seed, epoch in configuration.diverged.items() if seed <= last}
    return replace(configuration, values=values, diverged=diverged)
