"""`actbench more STUDY`: further seeds for what is undecided in a study, from its folder alone."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from actbench import naming
from actbench.command import (
    arguments,
    composing,
    hydra_settings,
    race,
    race_look,
    search,
    stored,
    task_function,
    training,
)
from actbench.command.extending import depends_on_seed, with_seeds
from actbench.command.override import key_of
from actbench.command.planning import Job
from actbench.command.quoting import as_typed, for_hydra, quoted
from actbench.command.race_look import Look
from actbench.command.race_terms import Terms
from actbench.command.suggestions import enumerated
from actbench.errors import Problem, UserError
from actbench.files import places
from actbench.files.output import telling
from actbench.naming import shown
from actbench.report import runs
from actbench.report.configurations import Block, blocks
from actbench.report.runs import Run
from actbench.report.verdict import MARGIN
from actbench.settings import GROUPS
from actbench.store import decide

_MOST = 40  # seeds of each configuration, where nothing else is said and a third of them are not there yet
_GROWTH = 3
_FIRST = 3  # seeds without which nothing can be said


def main(words: Sequence[str]) -> int:
    """`actbench more` with these words; returns the exit code.

    Raises:
        UserError: the folder is no study, or there is nothing in it that more seeds could settle.
    """
    asked = arguments.more(words)
    with places.also(asked.study / places.KEPT):  # what came from a notebook, once it is trusted
        return _more(asked, words)


def _more(asked: argparse.Namespace, words: Sequence[str]) -> int:
    logging.raiseExceptions = False  # as in `launch`
    found = _runs_of(asked.study)
    block = _only_block(asked.study, found)
    begun = decide.read(asked.study)
    margin = asked.margin or begun.margin or MARGIN
    terms = Terms(margin, asked.test_set or begun.test_set, everyone=asked.all)
    look = race_look.again(asked.study, terms, {run.settings.id for run in found})
    if look is None or not look.contenders:  # or there are results that the last look did not see
        look = race_look.at(asked.study, terms, record=False)
    needless = not asked.all and not look.contenders
    if needless and not asked.overrides:
        return _nothing_to_do(asked.study, block, look, terms)
    composing.register()
    search.register()
    race.register()
    place = _place(asked.study)
    typed = [for_hydra(word) for word in asked.overrides]
    launched = [word for word in typed if hydra_settings.is_hydras(word)]
    with composing.composing():
        if problems := [problem for word in launched if (problem := hydra_settings.typed(word))]:
            raise UserError.of(problems)
    entrants = _entrants(found, place, [word for word in typed if word not in launched])
    if needless:  # what was typed has been checked all the same
        return _nothing_to_do(asked.study, block, look, terms)
    have = max((len(seeds) for seeds in look.seeds.values()), default=0)
    terms = Terms(margin, terms.test_set, asked.max_seeds or max(_MOST, _GROWTH * have), None, asked.all)
    _check_room(terms, have)
    return training.train(entrants, [*place, *launched], ["more", *words], multirun=True, terms=terms, begin=False)


# ---------------------------------------------------------------- what there is


def _runs_of(study: Path) -> list[Run]:
    """The runs of a study; a UserError where the folder is none."""
    if (study / "settings.yaml").exists():
        how = f"its study: actbench more {shlex.quote(str(task_function.relative(study.absolute().parent)))}"
        raise UserError("is the folder of a single run", where=str(study), how=how)
    with telling() as tell:
        found = runs.find([study], of_command=True, tell=tell)
    if found.problems:
        raise UserError.of(found.problems)
    studies = sorted({str(run.folder.parent) for run in found.runs})
    if len(studies) > 1 or Path(studies[0]) != study:
        how = f"one of them: actbench more {shlex.quote(studies[0])}"
        raise UserError("is the folder of no single study", where=str(study), how=how)
    return found.runs


def _only_block(study: Path, found: Sequence[Run]) -> Block:
    compared = blocks(found)
    if len(compared) > 1:
        titles = enumerated([block.title for block in compared])
        how = "the command that trained them, with more seeds: num_seeds=15, say"
        raise UserError(f"has runs that are not compared with each other ({titles})", where=str(study), how=how)
    if len({run.settings.id for run in found}) < 2:
        name = found[0].settings.label
        how = f"others beside it: actbench -m activation=relu,gelu ... study={shlex.quote(study.absolute().name)}"
        raise UserError(f"has one configuration ({name}), and nothing to decide between", where=str(study), how=how)
    return compared[0]


def _nothing_to_do(study: Path, block: Block, look: Look, terms: Terms) -> int:
    """Says why more seeds would settle nothing; the exit code, or a UserError."""
    if look.settled:
        how = f"actbench more {shlex.quote(str(study))} --all trains more seeds all the same"
        print(f"settled already, within {shown(terms.margin)} points: {how}")
        return 0
    names = enumerated([look.names[key] for key in look.undecided])
    images = next((run.summary for one in block.configurations for run in one.runs), None)
    what, how = f"more seeds cannot settle {names}", f"actbench report {shlex.quote(str(study))} says why"
    if look.limited:
        what += ": the test images alone hide such differences"
        how = "a larger --margin, a larger test set, or --test-set fixed, which asks about these images only"
    raise UserError(what if images else "has no results yet", where=str(study), how=how)


def _check_room(terms: Terms, have: int) -> None:
    if have >= terms.max_seeds:
        what = f"there are {have} seeds of a configuration already"
        raise UserError(what, where=f"--max-seeds {terms.max_seeds}", how=f"--max-seeds {2 * have}, say")


# ---------------------------------------------------------------- who takes part


def _entrants(found: Sequence[Run], place: Sequence[str], typed: Sequence[str]) -> list[Job]:
    """A job for each configuration, planned again from one of its runs.

    Raises:
        UserError: with every configuration that is not what it was, or that a changed key would make another one.
    """
    trust = [word for word in typed if key_of(word) == "trust"]
    others = [word for word in typed if key_of(word) != "trust"]
    first = min(run.settings.seed for run in found)
    entrants: list[Job] = []
    problems: list[Problem] = []
    lacking: dict[str, None] = {}  # what was trusted, and is not now
    for run in _one_of_each(found):
        try:
            job = stored.planned_again(run.folder, [*others, *place], trust)
            untrusted = [name for name in run.settings.trust if name not in job.settings.trust]
            lacking |= dict.fromkeys(untrusted)
            if not untrusted:
                _check_same(job, run, others)
            entrants.append(with_seeds(job, first, _FIRST))
        except UserError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if lacking:
        how = f"add {' '.join(naming.trusting([*lacking]))}, if it is yours"
        problems.append(Problem("was trained with code of your own", str(found[0].folder.parent), how))
    if problems:
        raise UserError.of(problems)
    return entrants


def _check_same(job: Job, run: Run, typed: Sequence[str]) -> None:
    """Raises where more seeds would be those of another configuration."""
    if depends_on_seed(job):
        how = "the command that trained it, with more seeds"
        raise UserError("has a setting that depends on the seed", where=str(run.folder), how=how)
    if job.settings.id == run.settings.id:
        return
    changed = [
        group for group in GROUPS if getattr(job.settings, group).content != getattr(run.settings, group).content
    ]
    if changed and job.settings.without_content().id == run.settings.without_content().id:
        what = f"what is your own in it has changed since: {enumerated(changed)}"
        how = "what is trained stays comparable; another study=NAME trains all of it as it is now"
        raise UserError(what, where=str(run.folder), how=how)
    how = "what is changed here may change no result: train.device, say"
    raise UserError("would make another configuration", where=" ".join(map(as_typed, typed)), how=how)


def _place(study: Path) -> list[str]:
    """The overrides by which a command finds the study."""
    near = task_function.relative(study.absolute())
    folder = near if near.name else study.absolute()
    return [f"study={quoted(folder.name)}", f"output_dir={quoted(str(folder.parent))}"]


def _one_of_each(found: Sequence[Run]) -> list[Run]:
    """One run of each configuration, by their names: the one that was planned last, whose keys are the newest."""
    newest = {run.settings.id: run for run in sorted(found, key=runs.trained_at)}
    return sorted(newest.values(), key=lambda run: run.settings.folder)
