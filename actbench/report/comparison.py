"""The comparison of a block of configurations: ranking, tuning, and what was measured inside."""

from __future__ import annotations

from dataclasses import dataclass, field

from actbench import naming
from actbench.errors import UserError
from actbench.report.configurations import Block
from actbench.report.diagnostics import Diagnostics
from actbench.report.ranking import Baseline, Ranking, find_baseline, rank
from actbench.report.tuning import Tuned, check_per, tune


@dataclass(frozen=True)
class Comparison:
    """A block with its ranking and tuning; `diagnostics` is what was measured inside the networks of its runs."""

    block: Block
    ranking: Ranking
    tuned: Tuned | None
    remarks: tuple[str, ...]
    diagnostics: Diagnostics = field(default_factory=Diagnostics)

    @property
    def sentences(self) -> list[str]:
        """What can be concluded and what cannot, one sentence each."""
        tuned = self.tuned.ranking.conclusion if self.tuned else ()
        return [*self.ranking.conclusion, *(f"Tuned: {_after_colon(sentence)}" for sentence in tuned)]


def _after_colon(sentence: str) -> str:
    """With a small letter; a name at the beginning stays as it is."""
    first = sentence.partition(" ")[0]
    return sentence[0].lower() + sentence[1:] if first in ("Compared", "Nothing", "Seeds") else sentence


def compare(block: Block, *, baseline: str | None = None, per: str | None = None) -> Comparison:
    """Ranks a block.

    Args:
        baseline: the name of a configuration, or words of it (`relu`, `gelu lr=0.003`). By default, and with a remark
            where nothing matches, relu is the baseline, else the best.
        per: the key to tune for, by default the activation where something else varies too; `none` for no tuning.

    Raises:
        UserError: `per` does not vary in the block.
    """
    check_per(block, per)
    remarks = list(block.remarks)
    try:
        chosen = find_baseline(block.configurations, baseline)
    except UserError:
        chosen = find_baseline(block.configurations, None)
        remarks.append(f"no configuration here matches --baseline {baseline}")
    if chosen and chosen.among > 1:
        remarks.append(_on_choice(chosen, baseline))
    ranking = rank(block.configurations, chosen)
    tuned, tuning_remarks = tune(block, per, baseline)
    return Comparison(block, ranking, tuned, (*remarks, *tuning_remarks))


def _on_choice(chosen: Baseline, asked: str | None) -> str:
    """A remark on a baseline that was chosen among several."""
    name = chosen.configuration.name
    if asked or naming.activations(chosen.configuration.settings.flat()) == "relu":
        return (
            f"the baseline {name} has the best validation accuracy of {chosen.among} matching configurations; "
            f'--baseline "{name}" fixes it'
        )
    return f"there is no relu here, so the best is the baseline; --baseline NAME fixes one of the {chosen.among}"


def check_baseline(block: Block, name: str | None) -> None:
    """Raises a UserError if no configuration matches `name`."""
    find_baseline(block.configurations, name)
