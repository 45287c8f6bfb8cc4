"""The command that trains more seeds of a study, whole, quoted for a shell."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import UserError
from actbench.naming import trusting
from actbench.report.configurations import Configuration
from actbench.report.simultaneous import MIN_SEEDS
from actbench.store import decide as stored
from actbench.store import reader
from actbench.store.decide import Decide

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict
    from actbench.settings import Settings

_SHOWN = 3  # studies, where the configurations are in several
_USUAL, _GROWTH = 40, 3  # `actbench more` stops at 40 seeds, or at three times what there is


def study_of(folder: Path) -> Path:
    """The folder of the study in which a run's folder is."""
    above, _, name = str(folder).rpartition(os.sep)
    if above and name != "..":
        return _path(above)
    return folder.parent if name not in (".", "..") else Path(os.path.normpath(folder / ".."))


_path = lru_cache(maxsize=256)(Path)  # many runs are in one study


def more(verdict: Verdict, configurations: Sequence[Configuration], seeds: int = 0, *, everyone: bool = False) -> str:
    """`actbench more STUDY` for each study in which some configurations are, with what it would not do by itself.

    A study that `actbench more` would refuse is trained on by its own command, with more seeds.

    Args:
        seeds: how many more are needed of each.
        everyone: all configurations, not only the undecided ones.
    """
    studies = dict.fromkeys(study_of(run.folder) for one in configurations for run in one.counting)
    there = max((one.n for one in configurations), default=0)
    commands, alone = [], []
    for study in list(studies)[:_SHOWN]:
        if not _takes_more(verdict, study):
            number = f"num_seeds={max(there + seeds, MIN_SEEDS)}" if seeds or there < MIN_SEEDS else "more seeds"
            alone.append(f"the command that trained {study}, with {number}")
            continue
        words = ["actbench", "more", str(study), *(["--all"] if everyone else []), *_terms(verdict, study)]
        words += trusting(_trusted(verdict, study))
        if there + seeds > max(_USUAL, _GROWTH * there):
            words += ["--max-seeds", str(there + seeds)]
        commands.append(f"`{shlex.join(words)}`")
    return " and ".join([*commands, *alone]) or "more seeds"


def _trusted(verdict: Verdict, study: Path) -> list[str]:
    """The packages of the user's own that its runs were trained with, which have to be typed again."""
    runs = [run for decision in verdict.decisions for run in decision.configuration.runs]
    return [*dict.fromkeys(name for run in runs if study_of(run.folder) == study for name in run.settings.trust)]


def _takes_more(verdict: Verdict, study: Path) -> bool:
    """Whether a study has several configurations, all of which may be compared with each other."""
    names, ids = set(), set()
    shared: dict[tuple[int, int], Settings] = {}  # many runs share their choices
    for run in (*verdict.beside, *(run for decision in verdict.decisions for run in decision.configuration.runs)):
        if study_of(run.folder) is study or study_of(run.folder) == study:
            names.add(run.folder.name)
            ids.add(run.settings.id)
            shared[id(run.settings.dataset), run.settings.train.epochs] = run.settings
    protocols = {settings.protocol() for settings in shared.values()}
    with contextlib.suppress(OSError):
        for name in os.listdir(study):
            if len(protocols) > 1:
                return False
            if name not in names and (study / name / "settings.yaml").exists():  # of another block, or not asked for
                with contextlib.suppress(UserError):
                    settings = reader.settings_of(study / name)
                    ids.add(settings.id)
                    protocols.add(settings.protocol())
    return len(ids) > 1 and len(protocols) == 1


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
