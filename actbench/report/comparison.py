"""The comparison of a block of configurations: the verdict, the tuning, and what was measured inside."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from actbench.errors import Problem, UserError
from actbench.report.asking import without_going_on
from actbench.report.baseline import Baseline, find_baseline
from actbench.report.configurations import Block
from actbench.report.diagnostics import Diagnostics
from actbench.report.tuning import Tuned, check_per, tune
from actbench.report.verdict import MARGIN, Verdict, decide
from actbench.store.decide import EarlierLook, TestSet


@dataclass(frozen=True)
class Terms:
    """What is asked of a block.

    `margin` and `test_set` are those of `verdict.decide`, `baseline` is the name of a configuration, or words of it
    (`relu`, `gelu lr=0.003`), `per` the key to tune for: by default the activation where something else varies too,
    `none` for no tuning, `look` and `earlier` those of `verdict.decide`.
    """

    margin: float = MARGIN
    test_set: TestSet = "new"
    baseline: str | None = None
    per: str | None = None
    look: int = 1
    earlier: tuple[EarlierLook, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A block with its verdict and tuning; `diagnostics` is what was measured inside the networks of its runs."""

    block: Block
    verdict: Verdict
    baseline: Baseline | None
    tuned: Tuned | None
    remarks: tuple[str, ...]
    diagnostics: Diagnostics = field(default_factory=Diagnostics)

    def told(self) -> Comparison:
        """The same, whose sentences leave out the command that goes on with unfinished runs."""
        left = tuple(map(without_going_on, self.verdict.sentences))
        return replace(self, verdict=replace(self.verdict, sentences=left))

    @property
    def sentences(self) -> list[str]:
        """The verdict in sentences, with that on tuned configurations."""
        tuned = self.tuned.verdict.sentences if self.tuned else ()
        return [*self.verdict.sentences, *(f"Tuned: {_after_colon(sentence)}" for sentence in tuned)]


def _after_colon(sentence: str) -> str:
    """With a small letter; a name at the beginning stays as it is."""
    first = sentence.partition(" ")[0]
    return sentence[0].lower() + sentence[1:] if first in _FIRST_WORDS else sentence


_FIRST_WORDS = ("Use", "Avoid", "Compared", "Not", "Nothing", "Undecided:", "More", "To")


def compare(block: Block, terms: Terms | None = None, problems: list[Problem] | None = None) -> Comparison:
    """Judges a block; files that cannot be read are added to `problems`.

    Raises:
        UserError: `per` does not vary in the block.
    """
    terms, problems = terms or Terms(), problems if problems is not None else []
    check_per(block, terms.per)
    remarks = list(block.remarks)
    baseline = None
    if terms.baseline is not None:
        try:
            baseline = find_baseline(block.configurations, terms.baseline)
        except UserError:
            remarks.append(f"no configuration here matches --baseline {terms.baseline}")
    if baseline and baseline.among > 1:
        name = baseline.configuration.name
        remarks.append(
            f"the baseline {name} has the best validation accuracy of {baseline.among} matching configurations; "
            f'--baseline "{name}" fixes it'
        )
    verdict = decide(
        block, margin=terms.margin, test_set=terms.test_set, look=terms.look, earlier=terms.earlier, problems=problems,
        baseline=baseline.configuration if baseline else None,
    )  # fmt: skip
    tuned, tuning_remarks = tune(block, terms.per, baseline.configuration if baseline else None, verdict, problems)
    return Comparison(block, verdict, baseline, tuned, (*remarks, *verdict.remarks, *tuning_remarks))


def check_baseline(block: Block, name: str | None) -> None:
    """Raises a UserError if no configuration matches `name`."""
    if name is not None:
        find_baseline(block.configurations, name)
