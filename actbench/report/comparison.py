"""One answer from a block of configurations."""

from __future__ import annotations

from dataclasses import dataclass, field

from actbench import naming
from actbench.errors import UserError
from actbench.report.configurations import Block
from actbench.report.internals import Inside
from actbench.report.ranking import Ranking, find_baseline, rank
from actbench.report.tuning import Tuned, check_per, tune


@dataclass(frozen=True)
class Comparison:
    """A block with what came of it; `inside` is what the files of its runs tell beyond their results."""

    block: Block
    ranking: Ranking
    tuned: Tuned | None
    remarks: tuple[str, ...]
    inside: Inside = field(default_factory=Inside)

    @property
    def sentences(self) -> list[str]:
        """What can be concluded, and what cannot."""
        tuned = self.tuned.ranking.conclusion if self.tuned else ()
        return [*self.ranking.conclusion, *(f"Tuned: {_within(sentence)}" for sentence in tuned)]


def _within(sentence: str) -> str:
    """After a colon; a name at the beginning stays as it is."""
    first = sentence.partition(" ")[0]
    return sentence[0].lower() + sentence[1:] if first in ("Against", "Nothing", "Seeds", "With") else sentence


def compare(block: Block, *, baseline: str | None = None, per: str | None = None) -> Comparison:
    """Ranks a block.

    Args:
        baseline: words that name one of the configurations (`relu`, `gelu lr=0.003`); by default, and with a remark
            where none answers to them, relu, else the best.
        per: a key to tune for; by default the activation, where something else varies too. `none` for no tuning.

    Raises:
        UserError: `per` does not vary in the block.
    """
    check_per(block, per)
    remarks = list(block.remarks)
    try:
        chosen = find_baseline(block.configurations, baseline)
    except UserError:
        chosen = find_baseline(block.configurations, None)
        remarks.append(f"nothing answers to {baseline} here")
    if chosen and chosen.among > 1:
        one = chosen.configuration
        remarks.append(
            f"the baseline {one.name} is the one of {chosen.among} configurations with the best validation accuracy; "
            f'--baseline "{one.name}" fixes it'
            if naming.activations(one.settings.flat()) == "relu" or baseline
            else f"without relu the best is the baseline; --baseline NAME fixes one of the {chosen.among}"
        )
    ranking = rank(block.configurations, chosen)
    tuned, on_tuning = tune(block, per, baseline)
    return Comparison(block, ranking, tuned, (*remarks, *on_tuning))


def check_baseline(block: Block, words: str | None) -> None:
    """Raises a UserError if no configuration answers to `words`."""
    find_baseline(block.configurations, words)
