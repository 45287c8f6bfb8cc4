"""A look at the results of a study between the rounds of a race: the verdict on them, kept in `decide.json`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actbench.command.race_terms import Terms
from actbench.errors import Problem
from actbench.report import looks, runs
from actbench.report.configurations import METRIC, Block, Configuration, blocks, in_order
from actbench.report.verdict import Verdict, decide
from actbench.store import decide as stored
from actbench.store.decide import EarlierLook

UNDECIDED = ("undecided", "too few seeds")


@dataclass(frozen=True)
class Look:
    """What was seen: by configuration id the name, the word, and the seeds with a result.

    `contenders` are those of which more seeds would settle something; `settled` is whether nobody is undecided,
    `limited` whether somebody is because the test images are too few.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, Sequence[int]] = field(default_factory=dict)
    contenders: frozenset[str] = frozenset()
    settled: bool = False
    limited: bool = False

    @property
    def undecided(self) -> list[str]:
        return [name for name, word in self.words.items() if word in UNDECIDED]


def at(study: Path, terms: Terms, *, record: bool = True) -> Look:
    """Looks at all results that a study has now, and records that in its `decide.json`.

    Raises:
        OSError: it cannot be written.
    """
    problems: list[Problem] = []  # which the comparison at the end reports
    compared = blocks(runs.find([study]).runs)
    found = looks.studies(compared, problems)
    if not compared or not found:
        return Look()
    block, seen, own = compared[0], found[0], looks.of_block(compared[0], found)
    verdict = _verdict(block, terms, looks.number(own), looks.earlier(own), problems)
    recorded = stored.with_look(seen.decide, seen.seeds)
    if record and recorded != seen.decide:
        stored.write(study, recorded)
    return _look(verdict, seen.seeds)


def again(study: Path, terms: Terms, ids: Collection[str]) -> Look | None:
    """The last look that was recorded, as it was; None where there is none at all the configurations `ids`.

    A race that was stopped in the middle of a round goes on from there, as if it had not been: what has been trained
    since is not looked at before the round is over. Whoever diverged may be missing in a look.
    """
    decide_file = stored.read(study)
    compared = blocks(runs.find([study]).runs) if decide_file.looks else []
    if not compared:
        return None
    seeds = decide_file.looks[-1]
    block = _as_of(compared[0], seeds)
    number, before = stored.number_of_looks(decide_file, seeds), stored.earlier_looks(decide_file, seeds)
    seen = _look(_verdict(block, terms, number, before, []), seeds)
    return seen if all(key in seeds or seen.words.get(key) == "diverged" for key in ids) else None


def _verdict(
    block: Block, terms: Terms, number: int, earlier: Sequence[EarlierLook], problems: list[Problem]
) -> Verdict:
    return decide(block, margin=terms.margin, test_set=terms.test_set, look=number, earlier=earlier, problems=problems)


def _look(verdict: Verdict, seeds: Mapping[str, Sequence[int]]) -> Look:
    by_id = {decision.configuration.settings.id: decision for decision in verdict.decisions}
    return Look(
        names={key: decision.name for key, decision in by_id.items()},
        words={key: decision.word for key, decision in by_id.items()},
        seeds=seeds,
        contenders=frozenset(one.settings.id for one in verdict.contenders),
        settled=verdict.settled,
        limited=any(decision.limited_by_images for decision in verdict.decisions),
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
