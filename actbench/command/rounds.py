"""The rounds of a race: which seeds are trained next, and when it is over.

The first round trains `num_seeds` seeds of every configuration. After each round the results are looked at: a
configuration that is decided drops out, unless an undecided one cannot be told from it, since pairs count over common
seeds. Each look widens all later intervals (`report.sequential`), and a look after one more seed would rarely decide
anything. So the seeds grow by half from look to look: 5, 8, 12, 18, 27, 40. That is six looks up to 40 seeds, and at
most half more than had been enough is trained. Simulated with six configurations of like variance, of which some are
within the margin of each other, steps of 1.5 take about as many trainings as steps of 2 and fewer than steps of 3.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from actbench.command import checking, extending, race_look, race_terms
from actbench.command.begun import Study
from actbench.command.planning import Job
from actbench.command.race_look import Look
from actbench.command.race_terms import Terms
from actbench.command.suggestions import enumerated
from actbench.naming import shown

GROWTH = 1.5


def following(seeds: int, most: int) -> int:
    """How many seeds there shall be at the next look.

    >>> following(5, 40), following(8, 40), following(27, 40), following(40, 40)
    (8, 12, 40, 40)
    """
    return min(most, max(seeds + 1, math.ceil(GROWTH * seeds)))


@dataclass
class Rounds:
    """A race.

    Args:
        entrants: a job for each configuration, whose seeds are those of the first round.
        terms: when it is over.
        tell: prints a line.
        clock: seconds, the same in all processes that race in this study.
        agree: question and answer -> that of the first of these processes to be asked.
    """

    entrants: Sequence[Job]
    terms: Terms
    tell: Callable[[str], None] = print
    clock: Callable[[], float] = time.time
    agree: Callable[[str, str], str] = lambda _question, answer: answer
    _look: Look = field(default_factory=Look)
    _out: set[str] = field(default_factory=set)  # ids that have been said to be out
    _failed: set[str] = field(default_factory=set)
    _began: float = 0.0
    _seconds: float = 0.0
    _trained: int = 0  # seeds, in so many seconds

    def __post_init__(self) -> None:
        self.by_id = {job.settings.id: job for job in self.entrants}
        self.first = self.entrants[0].settings.seed
        self.study = self.entrants[0].folder.parent
        self.number, self.racing = 0, len(self.entrants)  # of the round that is trained: which, and of how many

    def batches(self) -> Iterator[list[Job]]:
        """The jobs of each round; they have ended when the next batch is asked for.

        Raises:
            UserError: what the study holds cannot be read.
            OSError: a look cannot be recorded: the race goes on from the last one when it is typed again.
        """
        race_terms.begin(self.study, self.terms)
        if self.terms.max_minutes is not None:
            self._began = float(self.agree("the race began", repr(self.clock())))
        if done := self.trained():
            self.tell(f"race: {done} seed{'s' if done != 1 else ''} in {self.study} already")
        yield from self._train([*self.by_id], self.entrants[0].settings.num_seeds)
        seen = None if self._trained else race_look.again(self.study, self.terms, {*self.by_id} - self._failed)
        self._look = self._look_at([*self.by_id], self.entrants[0].settings.num_seeds) if seen is None else seen
        everyone, reason = self.terms.everyone, ""
        while True:
            racing = self._racing(everyone)
            self._tell_round(racing)
            if self._look.settled and not everyone:
                reason = "settled"
            elif not racing:
                reason = "failed" if self._failed else "hopeless"
            else:
                number = self._next(racing)
                reason = self._limit(racing, number)
            if reason:
                break
            yield from self._train(racing, number)
            self._look = self._look_at(racing, number)
            self._failed |= {key for key in racing if self._in_a_row(key) < number and not self._diverged(key)}
            everyone = everyone and not self._look.settled
        self._tell_end(reason)

    # ------------------------------------------------------------ what is trained next

    def _train(self, racing: Sequence[str], number: int) -> Iterator[list[Job]]:
        """One batch, in which each of `racing` gets its first `number` seeds; none where they have them."""
        asked = {key: extending.with_seeds(self.by_id[key], self.first, number) for key in racing}
        batch, due, study = [], 0, Study(self.study)
        for job in asked.values():
            parts = extending.parts_of(job, study)
            batch += [part for part in parts.all if checking.is_due(part.settings, part.folder)]
            due += sum(part.settings.num_seeds for part in parts.due)
        if not batch:
            return
        self.number, self.racing = self.number + 1, len(racing)
        began = self.clock()
        yield batch
        self._seconds, self._trained = self._seconds + self.clock() - began, self._trained + due
        study = Study(self.study)  # as it is now
        self._failed |= {key for key, job in asked.items() if extending.parts_of(job, study).due}

    def _look_at(self, racing: Sequence[str], number: int) -> Look:
        """The look after a round, in which each of `racing` was to get its first `number` seeds."""
        asked = {key: range(self.first, self.first + number) for key in racing if key not in self._failed}
        return race_look.at(self.study, self.terms, after=self._look, asked=asked)

    def _racing(self, everyone: bool) -> list[str]:
        """Those that more seeds are trained of: none that failed, and none that diverged, which is avoided anyway."""
        able = [key for key in self.by_id if key not in self._failed and not self._diverged(key)]
        return [key for key in able if everyone or key in self._look.contenders]

    def _diverged(self, key: str) -> bool:
        return self._look.words.get(key) == "diverged"

    def _next(self, racing: Sequence[str]) -> int:
        """How many seeds each shall have: those who lag behind catch up first."""
        have = {key: self._in_a_row(key) for key in self.by_id}
        few = any(self._look.words.get(key) == "too few seeds" for key in racing)
        most = max(have[key] for key in (self.by_id if few else racing))
        if any(have[key] < most for key in racing):
            return min(most, self.terms.max_seeds)
        return following(most, self.terms.max_seeds)

    def _in_a_row(self, key: str) -> int:
        """How many seeds it had at the last look, from the first one on without a gap."""
        seeds, number = {*self._look.seeds.get(key, ())}, 0
        while self.first + number in seeds:
            number += 1
        return number

    def _limit(self, racing: Sequence[str], number: int) -> str:
        """Which of the terms leaves no room for another round; empty where there is room."""
        missing = sum(max(0, number - self._in_a_row(key)) for key in racing)
        if not missing:
            return "max_seeds"
        if self.terms.max_minutes is None:
            return ""
        each = self._seconds / self._trained if self._trained else 0.0  # not known yet
        late = self.clock() - self._began + missing * each > 60 * self.terms.max_minutes
        ends = self.agree(f"the race ends before {number} seeds, after look {self._look.place}", str(late))
        return "max_minutes" if ends == "True" else ""  # one process that goes on alone would take even longer

    # ------------------------------------------------------------ what is said

    def _tell_round(self, racing: Sequence[str]) -> None:
        """One line: how many seeds there are, who is out since the last one and why, and who is left."""
        look, gone = self._look, [key for key in self.by_id if key not in racing and key not in self._out]
        back = [key for key in racing if key in self._out]
        self._out = (self._out | {*gone}) - {*back}
        most = max((len(look.seeds.get(key, ())) for key in self.by_id), default=0)
        said = [f"race: after {most} seed{'s' if most != 1 else ''}"]
        said += [f"out: {', '.join(f'{self._name(key)} ({self._word(key)})' for key in gone)}"] if gone else []
        said += [f"back: {', '.join(map(self._name, back))}"] if back else []
        said += [f"left: {', '.join(map(self._name, racing))}"] if racing else []
        self.tell("; ".join(said))

    def _name(self, key: str) -> str:
        return self._look.names.get(key, self.by_id[key].settings.label)

    def _word(self, key: str) -> str:
        if key in self._failed:
            return "failed"
        word = self._look.words.get(key, "no result")
        return "undecided, and more seeds cannot settle it" if word in race_look.UNDECIDED else word

    def _tell_end(self, reason: str) -> None:
        most, number = self.terms.max_seeds, len(self.by_id)
        of = f"{self.trained()} of {self.most} trainings ({number} configurations, up to {most} seeds each)"
        undecided = enumerated([self._name(key) for key in self._look.undecided if key in self.by_id])
        limit = ", which the test images limit" if self._look.limited else ""
        why = {
            "settled": f"decided after {of}",
            "hopeless": f"ended after {of}: more seeds cannot settle {undecided}{limit}",
            "failed": f"ended after {of}: the runs of {enumerated([*map(self._name, self._failed)])} failed",
            "max_seeds": f"ended after {of}: decide.max_seeds={most} is reached; undecided: {undecided}",
            "max_minutes": (
                f"ended after {of}: another round would take longer than "
                f"decide.max_minutes={shown(self.terms.max_minutes)} (typed again, it goes on for as long); "
                f"undecided: {undecided}"
            ),
        }
        self.tell(f"race: {why[reason]}")

    @property
    def most(self) -> int:
        """As many seeds are trained at most."""
        return len(self.by_id) * self.terms.max_seeds

    def trained(self) -> int:
        """Of the seeds up to `max_seeds`, those that are trained."""
        study = Study(self.study)
        every = {*range(self.first, self.first + self.terms.max_seeds)}
        return sum(len(every & extending.trained(job, study)) for job in self.entrants)
