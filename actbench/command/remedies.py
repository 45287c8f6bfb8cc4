"""`actbench try RUN`: trains each remedy that a run's diagnosis offers, with its seeds, and says what each one did.

The remedies train in a study of their own beside that of the run, whose folder is only read.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actbench.command import (
    arguments,
    checking,
    composing,
    cures,
    hydra_settings,
    remedies_shown,
    starting,
    stored,
    task_function,
)
from actbench.command.complaints import FAILED, complain
from actbench.command.cures import Offered, code_of
from actbench.command.override import key_of, read
from actbench.command.planning import Job
from actbench.command.quoting import command, for_hydra
from actbench.command.running import Command
from actbench.command.suggestions import counted, enumerated
from actbench.custom.trust import is_own
from actbench.errors import Problem, UserError
from actbench.files import places
from actbench.files.output import PersistentConsole
from actbench.naming import trusting
from actbench.report import command as report
from actbench.report import runs, terminal
from actbench.report.runs import Run
from actbench.settings import GROUPS

# What may be typed beside RUN: it changes how a run is computed, not what.
_TYPED = (
    "trust", "train.device", "train.threads", "train.eval_batch_size", "train.execution", "train.memory_format",
    "train.engine", "tensorboard",
)  # fmt: skip
_SEEDS = ("seed", "num_seeds")


@dataclass
class Plan:
    """The jobs of the remedies, and why the others are not tried."""

    jobs: dict[Offered, Job] = field(default_factory=dict)
    not_tried: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def main(argv: Sequence[str]) -> int:
    """`actbench try` with its words; returns the exit code.

    Raises:
        UserError: there is nothing to try, or it cannot be tried; nothing has been written then.
    """
    asked = arguments.remedies(argv)
    composing.register()
    launcher, typed = _overrides(asked.overrides)
    run = run_of(asked.run)
    with places.also(run.folder.parent / places.KEPT):  # what came from a notebook, once it is trusted
        return _try(run, asked, launcher, typed, argv)


def _try(
    run: Run, asked: argparse.Namespace, launcher: Sequence[str], typed: Sequence[str], argv: Sequence[str]
) -> int:  # fmt: skip
    _check_trust(run, typed)
    codes, remedies = chosen(run, asked)
    study = _study(run.folder)
    place = [for_hydra(f"study={study.name}"), for_hydra(f"output_dir={study.parent}")]
    plan = _plan(run, remedies, place, typed)
    if not plan.jobs:
        raise UserError.of(plan.problems or [Problem(why, remedy) for remedy, why in plan.not_tried.items()])
    console = PersistentConsole("training continues", highlight=False)
    remedies_shown.begin(console, run, codes, [*plan.jobs], plan.not_tried, study)
    _train([*plan.jobs.values()], [*stored.planned_again(run.folder, place, typed).overrides, *launcher], argv)
    trials, test_set = cures.judged(run.folder, {remedy: job.folder for remedy, job in plan.jobs.items()})
    outcome = remedies_shown.Outcome(run, codes, cures.ranked(trials, codes), plan.not_tried, test_set, study, typed)
    remedies_shown.write(outcome)
    code = _report(study, run, console)
    remedies_shown.end(console, outcome)
    return max(code, FAILED if any(trial.summary is None for trial in trials) else 0)


def _overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What was typed beside RUN: of the launcher, and of the runs."""
    launcher = [word for word in words if hydra_settings.is_for_sweeps(word)]
    with composing.composing():
        problems = [problem for word in launcher if (problem := hydra_settings.typed(word))]
    rest = [word for word in words if word not in launcher]
    for word in rest:
        if "=" not in word:
            problems.append(Problem("is not KEY=VALUE", word, "one run at a time: actbench try --help"))
        elif key_of(word) not in _TYPED or read(word).is_sweep:
            how = f"the others are as they were in the run; may be typed: {', '.join(_TYPED)}, and those of a launcher"
            problems.append(Problem("cannot be typed here", word, how))
    if problems:
        raise UserError.of(problems)
    return launcher, [for_hydra(word) for word in rest]


def _check_trust(run: Run, typed: Sequence[str]) -> None:
    """Raises where a run has the user's own code, and what is trusted was not typed again."""
    own = any(is_own(getattr(run.settings, group).target) for group in GROUPS)
    if own and run.settings.trust and not any(key_of(word) == "trust" for word in typed):
        what = "runs code of your own, and what is trusted has to be typed again"
        how = command(["try", str(run.folder), *trusting(run.settings.trust)])
        raise UserError(what, where=str(run.folder), how=how)


# ---------------------------------------------------------------- which run, which remedies


def run_of(path: Path) -> Run:
    """The run that has findings: at a path, or the only one below it.

    Raises:
        UserError: there is none, or several.
    """
    found = runs.find([path])
    one = len(found.runs) + len(found.problems) == 1
    if one and found.problems:
        raise UserError.of(found.problems)
    if one and not found.runs[0].complete:
        how = "the command that trained it goes on with it"
        raise UserError(f"has no result ({runs.state(found.runs[0])})", where=str(path), how=how)
    if one and found.runs[0].summary is not None and found.runs[0].summary.findings is None:
        what = "was not diagnosed: an earlier version of actbench trained it"
        raise UserError(what, where=str(path), how="train it again under another study=NAME")
    having = [run for run in found.runs if run.complete and run.summary is not None and run.summary.findings]
    if not having:
        what = "has no findings: there is nothing to cure"
        if not one:
            what = f"none of its {counted(len(found.runs), 'run')} has findings: there is nothing to cure"
        raise UserError(what, where=str(path), how=f"actbench report {shlex.quote(str(path))} compares what there is")
    if len(having) > 1:
        commands = "\n    ".join(f"actbench try {shlex.quote(str(run.folder))}    {_codes(run)}" for run in having)
        raise UserError(
            f"{len(having)} of its runs have findings", where=str(path), how=f"one of them:\n    {commands}"
        )
    return having[0]


def _codes(run: Run) -> str:
    assert run.summary is not None
    return f"# {', '.join(code_of(finding) for finding in run.summary.findings or ())}"


def chosen(run: Run, asked: argparse.Namespace) -> tuple[list[str], list[Offered]]:
    """The codes of the findings that are asked for, and their remedies.

    Raises:
        UserError: the run has no such finding, or no such remedy is offered.
    """
    assert run.summary is not None
    findings = list(run.summary.findings or ())
    codes = [code_of(finding) for finding in findings]
    if asked.finding is not None and asked.finding not in codes:
        near = difflib.get_close_matches(asked.finding, codes, n=1)
        how = f"did you mean {near[0]}?" if near else f"it has {enumerated(codes)}"
        raise UserError("the run has no such finding", where=f"--finding {asked.finding}", how=how)
    if asked.finding is not None:
        findings = [finding for finding in findings if code_of(finding) == asked.finding]
    remedies = cures.offered(findings)
    names = [remedy.overrides for remedy in remedies]
    wanted = [" ".join(word.split()) for word in asked.only or ()]
    problems = [
        Problem("is not offered for this run", f"--only '{word}'", _offered(word, names))
        for word in wanted
        if word not in names
    ]
    if problems:
        raise UserError.of(problems)
    if not remedies:
        which = enumerated([code_of(finding) for finding in findings])
        raise UserError(f"no remedy is offered for {which}", where=str(run.folder), how=_causes(run))
    kept = [remedy for remedy in remedies if remedy.overrides in wanted] if wanted else remedies
    return [code_of(finding) for finding in findings], kept


def _offered(word: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"


def _causes(run: Run) -> str:
    assert run.summary is not None
    return " ".join(finding.cause for finding in run.summary.findings or ())


# ---------------------------------------------------------------- their jobs


def _study(run_folder: Path) -> Path:
    """The folder of the study in which the remedies train: beside that of the run."""
    absolute = Path(os.path.abspath(run_folder))
    name = re.sub(r"[^\w.=,+ -]", "_", f"{absolute.parent.name}-try-{absolute.name}")
    return task_function.relative(absolute.parent.parent / name)


def _plan(run: Run, remedies: Sequence[Offered], place: Sequence[str], typed: Sequence[str]) -> Plan:
    """Plans and checks each remedy by itself, so that one that cannot be built stops no other."""
    stored.planned_again(run.folder, place, typed)  # what is wrong with all of them
    plan = Plan()
    for remedy in remedies:
        if why := _unfit(remedy):
            plan.not_tried[remedy.overrides] = why
            continue
        try:
            job = stored.planned_again(run.folder, [*remedy.overrides.split(), *place], typed)
            why = _needless(job, run, plan)
            if not why:
                checking.check([job], [])
                plan.jobs[remedy] = job
        except UserError as error:
            plan.problems += [problem for problem in error.problems if problem not in plan.problems]
            why = "; ".join(f"{problem.where}: {problem.what}".removeprefix(": ") for problem in error.problems)
        if why:
            plan.not_tried[remedy.overrides] = why
    return plan


def _unfit(remedy: Offered) -> str:
    words = remedy.overrides.split()
    if not all("=" in word and read(word).parsed is not None for word in words):
        return "is not a setting that can be typed"
    if any(key_of(word) in _SEEDS for word in words):
        return "changes the seeds, so that nothing could be compared in pairs"
    return ""


def _needless(job: Job, run: Run, plan: Plan) -> str:
    if job.settings.without_content().id == run.settings.without_content().id:
        return "changes how it is computed, not what"
    same = [remedy.overrides for remedy, other in plan.jobs.items() if other.folder == job.folder]
    return f"is the same run as {same[0]}" if same else ""


def _train(jobs: Sequence[Job], overrides: Sequence[str], argv: Sequence[str]) -> None:
    running = Command(["try", *argv])
    try:
        starting.start(jobs, overrides, running, multirun=True)
    finally:
        if running.to_go_on:  # a signal has stopped it
            print(running.to_go_on, file=sys.stderr)


def _report(study: Path, run: Run, console: PersistentConsole) -> int:
    """Writes the comparison of the remedies with the run; returns the exit code."""
    try:
        made = report.make_report([study, run.folder])
        made.listed.clear()  # the other one is that of the run, which is only read
        report.write(made, study / "report", elsewhere="output_dir=FOLDER")
        terminal.show_files(study / "report", console)
        return complain(UserError.of(made.problems)) if made.problems else 0
    except UserError as error:
        return complain(error)
