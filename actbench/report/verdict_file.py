"""`verdict.json`: the verdict for machines.

{"version": "1.2.0",                 of actbench
 "settled": true,                    nobody is undecided, in any block
 "fail_if": {"condition": "gelu worse than relu by 0.2", "holds": false},
                                     null without --fail-if; holds: null where it cannot be decided
 "blocks": [{                        what may be compared with each other: one dataset, one number of epochs
   "title": "digits, 3 epochs",
   "margin": 0.1,                    points within which configurations are as good as each other
   "level": 0.037,                   probability that any interval of this look misses the truth
   "look": 1,                        which look at these results this is
   "test_set": "new",                whether the intervals are about new test images, or fixed: about these
   "baseline": null,                 name of the baseline, where one was named
   "use": "relu",                    null where none is shown to be best or as good as the best
   "reason": "usual",                why it is this one: cheapest, smallest, baseline, usual, highest mean, only
   "settled": true,
   "sentences": ["Use relu: ..."],
   "configurations": [{              best first
     "name": "relu", "id": "d2...",
     "word": "as good",              best, as good, worse, undecided, diverged, too few seeds
     "accuracy": 97.5,               mean test accuracy in %
     "n": 5, "diverged": 0,          seeds with a result, and that diverged
     "difference": -0.02,            from the best of the others, in points, with the ends of its interval
     "low": -0.08, "high": 0.05,
     "more_seeds": null,             that would probably settle an undecided one
     "limited_by_images": false,     more seeds cannot settle it, since the test images are too few
     "against_baseline": null}]}]}   or {"word", "difference", "low", "high"}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actbench import __version__
from actbench.files.atomic import write_text
from actbench.report.comparison import Comparison
from actbench.report.configurations import METRIC
from actbench.report.verdict import Decision
from actbench.store.summary import finite

FILE = "verdict.json"


def write(folder: Path, comparisons: Sequence[Comparison], fail_if: tuple[str, bool | None] | None) -> None:
    """Writes `verdict.json`.

    Args:
        folder: of the report.
        fail_if: the condition, and whether it holds.

    Raises:
        OSError: the folder cannot be written to.
    """
    content = content_of(comparisons, fail_if)
    write_text(folder / FILE, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def content_of(comparisons: Sequence[Comparison], fail_if: tuple[str, bool | None] | None = None) -> dict[str, Any]:
    """What `verdict.json` holds."""
    return {
        "version": __version__,
        "settled": all(comparison.verdict.settled for comparison in comparisons),
        "fail_if": None if fail_if is None else {"condition": fail_if[0], "holds": fail_if[1]},
        "blocks": [block(comparison) for comparison in comparisons],
    }


def block(comparison: Comparison) -> dict[str, Any]:
    """One of its `blocks`."""
    verdict = comparison.verdict
    return {
        "title": comparison.block.title,
        "margin": verdict.margin,
        "level": verdict.level,
        "look": verdict.look,
        "test_set": verdict.test_set,
        "baseline": verdict.baseline,
        "use": verdict.use.name if verdict.use else None,
        "reason": verdict.reason or None,
        "settled": verdict.settled,
        "sentences": comparison.sentences,
        "configurations": [_configuration(decision) for decision in verdict.decisions],
    }


def _configuration(decision: Decision) -> dict[str, Any]:
    one = decision.configuration
    return {
        "name": one.name,
        "id": one.settings.id,
        "word": decision.word,
        "accuracy": one.estimate(METRIC).mean,
        "n": one.n,
        "diverged": len(one.diverged),
        "difference": decision.difference,
        "low": decision.low,
        "high": decision.high,
        "more_seeds": decision.more_seeds,
        "limited_by_images": decision.limited_by_images,
        "against_baseline": asdict(decision.against_baseline) if decision.against_baseline else None,
    }
