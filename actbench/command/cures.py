"""What a remedy did: which findings of the run it cured, which are new, and what the accuracy became.

The accuracy is compared with that of the original, seed by seed, with the simultaneous intervals of the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actbench.errors import UserError
from actbench.records import Finding, RunSummary
from actbench.report.sequential import level
from actbench.report.simultaneous import differences
from actbench.store import correctness, reader

METRIC = "test_accuracy"
Word = Literal["better", "worse", "undecided", "diverged", "too few seeds", "no result"]


@dataclass(frozen=True)
class Offered:
    """A remedy: overrides, and the codes of the findings that offer it."""

    overrides: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """A remedy that was tried.

    `cured` maps each finding of the original to whether it is gone, which none is where a seed diverged; None where the
    run has no result. `new` are findings that the original does not have. The accuracy is that of the remedy minus that
    of the original in percentage points, with its interval; None where fewer than three seeds have both.
    """

    remedy: Offered
    folder: Path
    summary: RunSummary | None
    cured: Mapping[str, bool] | None
    new: tuple[str, ...]
    word: Word
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    def cures(self, codes: Sequence[str]) -> bool:
        """Whether it cured all of some findings."""
        return self.cured is not None and all(self.cured[code] for code in codes)

    @property
    def diverged(self) -> int:
        """How many of its seeds diverged."""
        return len(self.summary.diverged) if self.summary is not None else 0

    @property
    def worse(self) -> bool:
        """Whether it cost accuracy, or the result of a seed or of all."""
        return self.word in ("worse", "diverged", "no result")


def code_of(finding: Finding) -> str:
    """The name of a finding; its symptom in the files of versions that had no codes."""
    return finding.code or finding.symptom


def offered(findings: Sequence[Finding]) -> list[Offered]:
    """The remedies of some findings in their order, each once."""
    codes: dict[str, list[str]] = {}
    for finding in findings:
        for remedy in finding.remedies:
            codes.setdefault(" ".join(remedy.split()), []).append(code_of(finding))
    return [Offered(remedy, tuple(dict.fromkeys(of))) for remedy, of in codes.items()]


def judged(original: Path, tried: Mapping[Offered, Path]) -> tuple[list[Trial], Literal["new", "fixed"]]:
    """What each remedy did, in the order of `tried`, and which test set the intervals are about.

    Args:
        original: the folder of the run that has the findings.
        tried: the folder of each remedy's run.

    Raises:
        UserError: a file of theirs cannot be read.
    """
    before = reader.completed(original)
    assert before is not None  # it was chosen for its findings
    after = {remedy: reader.completed(folder) for remedy, folder in tried.items()}
    seeds = sorted(before.seeds)
    summaries = [before, *(summary for summary in after.values())]
    accuracies = np.array([_accuracies(summary, seeds) for summary in summaries])  # (k, n)
    correct = _correct([original, *tried.values()], accuracies, seeds)
    known = differences(accuracies, correct, level=level(1))
    codes = [code_of(finding) for finding in before.findings or ()]
    trials = []
    for place, (remedy, folder) in enumerate(tried.items(), start=1):
        summary = after[remedy]
        mean, half = (float(values[place, 0]) for values in (known.mean, known.half))
        told = np.isfinite(mean) and np.isfinite(half)
        found = None if summary is None else {code_of(finding) for finding in summary.findings or ()}
        trials.append(
            Trial(
                remedy, folder, summary,
                cured=_cured(summary, codes),
                new=tuple(sorted((found or set()) - {*codes})),
                word=_word(before, summary, mean, half),
                difference=mean if np.isfinite(mean) else None,
                low=mean - half if told else None,
                high=mean + half if told else None,
            )
        )  # fmt: skip
    return trials, "fixed" if correct is None else "new"


def _cured(summary: RunSummary | None, codes: Sequence[str]) -> dict[str, bool] | None:
    """Whether each finding is gone. What a seed that diverged would have shown nobody knows: it cures nothing."""
    if summary is None:
        return None
    found = {code_of(finding) for finding in summary.findings or ()}
    return {code: not summary.diverged and code not in found for code in codes}


def _word(before: RunSummary, summary: RunSummary | None, mean: float, half: float) -> Word:
    if summary is None or summary.status != "completed":
        return "no result"
    if len(summary.diverged) > len(before.diverged):  # the others do not say what a new seed would do
        return "diverged"
    if not np.isfinite(mean):
        return "too few seeds"
    return "better" if mean > half else "worse" if mean < -half else "undecided"


def _accuracies(summary: RunSummary | None, seeds: Sequence[int]) -> list[float]:
    metric = summary.metrics.get(METRIC) if summary is not None else None
    values = dict(zip(summary.seeds, metric.values, strict=True)) if summary is not None and metric else {}
    return [np.nan if (value := values.get(seed)) is None else value for seed in seeds]


def _correct(folders: Sequence[Path], accuracies: Any, seeds: Sequence[int]) -> NDArray[np.bool_] | None:
    """(k, n, m): which test images each seed classified correctly; None where not all runs say so."""
    stored = []
    for folder in folders:
        try:
            stored.append(correctness.read(folder))
        except UserError:  # which the report tells
            stored.append({})
    there = np.isfinite(accuracies)
    sizes = {len(bits) for of in stored for bits in of.values()}
    wanted = [(run, seed) for run in range(len(folders)) for place, seed in enumerate(seeds) if there[run, place]]
    if len(sizes) != 1 or any(seed not in stored[run] for run, seed in wanted):
        return None
    nothing = np.zeros(sizes.pop(), dtype=bool)
    return np.array([[of.get(seed, nothing) for seed in seeds] for of in stored])


def ranked(trials: Sequence[Trial], codes: Sequence[str]) -> list[Trial]:
    """Best first: those that cured the findings and did not cost accuracy; then by what the accuracy became."""

    def key(trial: Trial) -> tuple[int, float]:
        if trial.cured is None or trial.diverged:
            return (5 if trial.cured is None else 4), float(trial.diverged)
        group = (1 if trial.new else 0) if trial.cures(codes) and not trial.worse else 2 if trial.cures(codes) else 3
        return group, -(trial.difference if trial.difference is not None else -np.inf)

    return sorted(trials, key=key)


def best_of(trials: Sequence[Trial], codes: Sequence[str]) -> Trial | None:
    """The remedy to use: the first that cured and is not worse; one that brought no new finding, if there is one."""
    return next((trial for trial in ranked(trials, codes) if trial.cures(codes) and not trial.worse), None)
