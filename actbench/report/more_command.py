"""The command that trains more seeds of a study, whole, quoted for a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import UserError
from actbench.report.configurations import Configuration
from actbench.report.simultaneous import MIN_SEEDS
from actbench.store import decide as stored
from actbench.store.decide import Decide

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict

_SHOWN = 3  # studies, where the configurations are in several
_USUAL, _GROWTH = 40, 3  # `actbench more` stops at 40 seeds, or at three times what there is


def study_of(folder: Path) -> Path:
    """The folder of the study in which a run's folder is."""
    return folder.parent if folder.name not in ("", "..") else Path(os.path.normpath(folder / ".."))


def more(verdict: Verdict, configurations: Sequence[Configuration], seeds: int = 0, *, everyone: bool = False) -> str:
    """`actbench more STUDY` for each study in which some configurations are, with what it would not do by itself.

    A study of a single configuration is trained on by its own command, with more seeds.

    Args:
        seeds: how many more are needed of each.
        everyone: all configurations, not only the undecided ones.
    """
    studies = dict.fromkeys(study_of(run.folder) for one in configurations for run in one.counting)
    there = max((one.n for one in configurations), default=0)
    commands, alone = [], []
    for study in list(studies)[:_SHOWN]:
        if _is_alone(verdict, study):
            alone.append(f"the command that trained {study}, with num_seeds={max(there + seeds, MIN_SEEDS)}")
            continue
        words = ["actbench", "more", str(study), *(["--all"] if everyone else []), *_terms(verdict, study)]
        if there + seeds > max(_USUAL, _GROWTH * there):
            words += ["--max-seeds", str(there + seeds)]
        commands.append(f"`{shlex.join(words)}`")
    return " and ".join([*commands, *alone]) or "more seeds"


def _is_alone(verdict: Verdict, study: Path) -> bool:
    """Whether the study has a single configuration, among which `actbench more` could decide nothing."""
    compared = [decision.configuration for decision in verdict.decisions]
    return len([one for one in compared if any(study_of(run.folder) == study for run in one.runs)]) == 1


def _terms(verdict: Verdict, study: Path) -> list[str]:
    """What differs from the study's own terms, which need not be typed."""
    from actbench.report.verdict import MARGIN

    try:
        own = stored.read(study)
    except UserError:
        own = Decide()
    words = [] if verdict.margin == (own.margin or MARGIN) else ["--margin", f"{verdict.margin:g}"]
    if verdict.test_set != own.test_set and not verdict.lacks_images:
        words += ["--test-set", verdict.test_set]
    return words
