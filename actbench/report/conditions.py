"""`--fail-if`: a condition on the verdict, for which `actbench report` exits with a code of its own.

A condition is one or several of these, joined by `or`:

    undecided                         something is undecided or has too few seeds (also: not settled)
    diverged                          seeds diverged in some configuration
    NAME WORD                         best, as good, worse, undecided, diverged: `relu worse`; best includes as good
    NAME worse than NAME [by X]       worse by more than X percentage points (default: 0); also: better than

`is` may stand before, and `not` in front of WORD, worse and better. NAME is a configuration's name or some words of it
(`gelu`, `gelu lr=0.003`), as for `--baseline`. A comparison with `by` is judged by the interval of the difference, so
that it can also be open: then neither it nor its opposite is shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actbench.errors import UserError

if TYPE_CHECKING:
    from actbench.report.configurations import Configuration
    from actbench.report.verdict import Verdict

HOLDS, OPEN = 3, 4  # exit codes: the condition holds; the data cannot decide whether it does
FORMS = 'one of: "undecided", "diverged", "NAME not best", "NAME worse than NAME by 0.2", also joined by "or"'

_COMPARED = re.compile(
    r"(?P<first>\S.*?)\s+(?:is\s+)?(?P<no>not\s+)?(?P<how>worse|better)\s+than\s+(?P<second>\S.*?)"
    r"(?:\s+by\s+(?P<by>\S+)(?:\s+points?)?)?"
)
_WORD = re.compile(r"(?P<first>\S.*?)\s+(?:is\s+)?(?P<no>not\s+)?(?P<word>best|as good|worse|undecided|diverged)")
_OF_ALL = {"undecided": "undecided", "not settled": "undecided", "diverged": "diverged"}

Outcome = bool | None  # None: the data cannot decide


@dataclass(frozen=True)
class Term:
    """One condition. `second` is empty where it is not about two configurations, `first` where it is about all."""

    text: str
    first: str = ""
    word: str = ""
    second: str = ""
    by: float = 0.0
    negated: bool = False


@dataclass(frozen=True)
class Condition:
    """What was typed: it holds if any of its terms does."""

    text: str
    terms: tuple[Term, ...]


def parse(text: str) -> Condition:
    """Reads a condition.

    Raises:
        UserError: it cannot be read.
    """
    parts = re.split(r"\s+or\s+", " ".join(text.split()))
    return Condition(text, tuple(_term(part, text) for part in parts))


def _term(part: str, text: str) -> Term:
    where = f"--fail-if {text!r}"
    if part in _OF_ALL:
        return Term(part, word=_OF_ALL[part])
    compared, word = _COMPARED.fullmatch(part), _WORD.fullmatch(part)
    if compared:
        by = _number(compared["by"])
        if by is None:
            raise UserError(f"`by {compared['by']}` is not a number of 0 or more", where=where, how="by 0.2, say")
        return Term(part, compared["first"], compared["how"], compared["second"], by, bool(compared["no"]))
    if word:
        return Term(part, word["first"], word["word"], negated=bool(word["no"]))
    raise UserError("cannot be read" if part == text else f"cannot be read at {part!r}", where=where, how=FORMS)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or 0.0)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


# ---------------------------------------------------------------- judged


def judge(condition: Condition, verdicts: Sequence[Verdict]) -> Outcome:
    """Whether it holds in any of the verdicts that have its configurations; None where that is open.

    Raises:
        UserError: a name matches no configuration, or several; or there are fewer than two configurations.
    """
    if max((len(verdict.decisions) for verdict in verdicts), default=0) < 2:
        what = "there are fewer than two configurations with results to compare"
        raise UserError(what, where=f"--fail-if {condition.text!r}", how="actbench -m activation=relu,gelu trains two")
    outcomes: list[Outcome] = []
    for term in condition.terms:
        outcomes += _outcomes(term, verdicts, f"--fail-if {condition.text!r}")
    return True if True in outcomes else None if None in outcomes else False


def _outcomes(term: Term, verdicts: Sequence[Verdict], where: str) -> list[Outcome]:
    outcomes: list[Outcome] = []
    mistakes: list[UserError] = []
    for verdict in verdicts:
        try:
            outcomes.append(_outcome(term, verdict, where))
        except UserError as error:
            mistakes.append(error)
    if not outcomes:
        raise mistakes[0]  # one verdict that has the configurations is enough
    return outcomes


def _outcome(term: Term, verdict: Verdict, where: str) -> Outcome:
    if not term.first:
        if term.word == "diverged":
            return bool(verdict.with_word("diverged"))
        return not verdict.settled
    first = _named(term.first, verdict, where)
    found = _compared(term, first, _named(term.second, verdict, where), verdict) if term.second else None
    if not term.second:
        found = _has_word(term.word, first, verdict)
    return found if found is None else found != term.negated


def _has_word(word: str, configuration: Configuration, verdict: Verdict) -> Outcome:
    decision = verdict.of(configuration)
    assert decision is not None
    if word in ("undecided", "diverged"):
        also = ("undecided", "too few seeds") if word == "undecided" else ("diverged",)
        return decision.word in also
    if decision.word in ("undecided", "too few seeds"):
        return None
    return decision.word in (("best", "as good") if word == "best" else ("worse", "diverged")
                             if word == "worse" else (word,))  # fmt: skip


def _compared(term: Term, first: Configuration, second: Configuration, verdict: Verdict) -> Outcome:
    """Whether first is better (or worse) than second by more than `by` points, as far as the interval shows."""
    interval = verdict.between(first, second)
    if interval is None:
        return None
    _, low, high = interval
    if term.word == "worse":
        low, high = -high, -low
    return True if low > term.by else False if high <= term.by else None


def _named(name: str, verdict: Verdict, where: str) -> Configuration:
    from actbench.report.baseline import matching, suggestion

    configurations = [decision.configuration for decision in verdict.decisions]
    found = matching(configurations, name)
    names = [configuration.name for configuration in found or configurations]
    if not found:
        how = suggestion(name, names)
        raise UserError(f"there is no configuration {name!r} with results", where=where, how=how)
    if len(found) > 1:
        from actbench.report.formatting import listed

        raise UserError(f"{name!r} matches several configurations", where=where, how=f"one of: {listed(names)}")
    return found[0]


def told(condition: Condition, outcome: Outcome) -> str:
    """What came of a condition, and the exit code, in a line."""
    answer, code = {
        True: ("holds", HOLDS), False: ("does not hold", 0), None: ("cannot be decided with these runs", OPEN),
    }[outcome]  # fmt: skip
    return f"--fail-if {condition.text!r}: {answer} (exit code {code})"


def exit_code(outcome: Outcome) -> int:
    """0 where the condition is shown not to hold, `HOLDS` where it holds, `OPEN` where neither is shown."""
    return HOLDS if outcome else OPEN if outcome is None else 0
