"""The verdict of a comparison as plain values: what `verdict.json` holds, with types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Word = Literal["best", "as good", "worse", "undecided", "diverged", "too few seeds"]


@dataclass(frozen=True)
class Interval:
    """A difference of test accuracies in percentage points, with the ends of its simultaneous interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """What is known of one configuration.

    Attributes:
        name: of the configuration, of what varies: `gelu`, `gelu lr=0.003`.
        id: ten hexadecimal digits, by which it is found in every file.
        word: `best`, `as good` as the best within the margin, `worse`, `undecided`, `diverged` or `too few seeds`.
        accuracy: mean test accuracy in %; None where no seed has one.
        n: seeds with a result.
        diverged: seeds that diverged.
        interval: its accuracy minus that of the best of the others; None where nothing can be said.
        more_seeds: how many would probably settle an undecided one; None where none would, or it is settled.
    """

    name: str
    id: str
    word: Word
    accuracy: float | None
    n: int
    diverged: int
    interval: Interval | None
    more_seeds: int | None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Decision:
        """One of the `configurations` of `verdict.json`."""
        ends = (content["difference"], content["low"], content["high"])
        interval = None if None in ends else Interval(*ends)
        keys = ("name", "id", "word", "accuracy", "n", "diverged", "more_seeds")
        return cls(interval=interval, **{key: content[key] for key in keys})


@dataclass(frozen=True)
class Verdict:
    """What to use, what to avoid and what is not decided; as text, the sentences that the command ends with.

    Attributes:
        use: the name of the configuration to use; None where none is shown to be best or as good as the best.
        reason: why it is this one, of several that are as good; None where none is to be used.
        settled: whether nobody is undecided.
        margin: percentage points within which configurations are as good as each other.
        level: the probability that any of the intervals misses the truth, over all looks at the results this one.
        sentences: the verdict in words.
        decisions: about each configuration, best first.
    """

    use: str | None
    reason: str | None
    settled: bool
    margin: float
    level: float
    sentences: tuple[str, ...]
    decisions: tuple[Decision, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Verdict:
        """One of the `blocks` of `verdict.json`."""
        keys = ("use", "reason", "settled", "margin", "level")
        decisions = tuple(map(Decision.of, content["configurations"]))
        return cls(**{key: content[key] for key in keys}, sentences=tuple(content["sentences"]), decisions=decisions)

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def __getitem__(self, name: str) -> Decision:
        """The decision about the configuration of a name; a KeyError with the names where there is none."""
        found = next((decision for decision in self.decisions if decision.name == name), None)
        if found is None:
            raise KeyError(f"{name}: there are {', '.join(decision.name for decision in self.decisions)}")
        return found
