"""`actbench KEY=VALUE ...`: plans the runs, checks all of them, trains, and compares the runs of a sweep."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from actbench.command import (
    auto,
    checking,
    composing,
    conditional,
    correcting,
    duplicate_runs,
    earlier,
    extending,
    launchers,
    override,
    race,
    race_terms,
    repeated_keys,
    search,
    search_check,
    showing,
    slurm,
    training,
    trusting,
    typed,
)
from actbench.command.correcting import Understood
from actbench.command.expanding import SWEEPS
from actbench.command.extending import Extended
from actbench.command.line import CommandLine
from actbench.command.planning import Job
from actbench.command.race_terms import Terms
from actbench.errors import Problem


@dataclass(frozen=True)
class Launch:
    """What a command trains: the arguments of `training.train`, and what is to be said before."""

    jobs: list[Job]
    overrides: list[str]
    multirun: bool
    terms: Terms | None
    remarks: list[str]


def launch(words: Sequence[str]) -> int:
    """Trains what is typed, or shows what Hydra's flags ask for (`--cfg job`); returns the exit code.

    Args:
        words: the command line, without the program's name.

    Raises:
        UserError: the command is wrong, with all its problems; nothing has been written then.
    """
    logging.raiseExceptions = False  # what Hydra logs goes to a pipe that perhaps nobody reads any more
    line, understood = read(words)
    for preset, rest in understood.narrowed:
        print(f"{preset}: replaced by {rest}", file=sys.stderr)
    if line.shows:
        checking.check([], understood.problems, understood.whole)
        showing.show(line.shows, understood.overrides)
        return 0
    found = prepare(line, understood, words)
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    return training.train(found.jobs, found.overrides, words, multirun=found.multirun, terms=found.terms)


def read(words: Sequence[str]) -> tuple[CommandLine, Understood]:
    """What was typed, sorted and understood."""
    line = typed.read(words)
    line.overrides = trusting.with_trust(line.overrides)
    composing.register()
    search.register()  # for a command that lacks nothing but its -m, too
    race.register()
    return line, correcting.understand(line)


def prepare(line: CommandLine, understood: Understood, words: Sequence[str], *, mended: bool = True) -> Launch:
    """Checks all that was understood, and takes out what the study holds already.

    Args:
        words: that were read.
        mended: whether the corrected command is told with the last problem, where it is known.

    Raises:
        UserError: with all problems; nothing has been written then.
    """
    jobs, problems = understood.jobs, list(understood.problems)
    if not problems:
        jobs = auto.resolve(jobs)
        problems += duplicate_runs.shared([(job.overrides, job.folder) for job in jobs])
    product = not line.multirun or (jobs and jobs[0].config.hydra.runtime.choices["hydra/sweeper"] in SWEEPS)
    terms = race_terms.of(jobs[0].config) if line.multirun and product and not problems else None
    if terms is not None:
        problems += race_terms.against_study(jobs[0].folder.parent, jobs, terms)
    if jobs and not problems:
        problems += _of_the_launcher(line, jobs[0], terms)
    extended = Extended(jobs)
    if product and not problems:
        extended = extending.without_seeds_on_disk(jobs)
    problems += earlier.contradictions(extended.jobs, words)
    if not product:
        problems += search_check.check(understood.overrides, None if problems else jobs[0])
    checking.check(extended.jobs, problems, understood.whole if mended else "")
    swept = repeated_keys.of_presets([*map(override.read, line.overrides)])
    remarks = conditional.remarks(jobs, [*line.overrides, *swept])
    if product:  # the settings of trials are not known yet
        remarks = [*remarks, *earlier.remarks(extended.jobs, words)]
    if terms is None:
        jobs, remarks = extended.jobs, [*remarks, *extended.remarks]
    else:  # which does not show again what is complete
        remarks += [sentence for job in extended.jobs for sentence in earlier.lacking(job.settings, job.folder)]
    return Launch([*jobs], understood.overrides, line.multirun, terms, [*dict.fromkeys(remarks)])


def _of_the_launcher(line: CommandLine, job: Job, terms: Terms | None) -> list[Problem]:
    """What is wrong with where the jobs are to run, as far as it is known before any of them starts."""
    queued = line.multirun and slurm.is_chosen(job.config)
    if line.detach and not queued:
        return [Problem("leaves jobs to Slurm, and this command has none", "--detach", "-m ... hydra/launcher=slurm")]
    if line.detach and (terms is not None or job.config.hydra.runtime.choices["hydra/sweeper"] not in SWEEPS):
        what = "cannot leave: what is trained next depends on the results so far"
        return [Problem(what, "--detach", "leave it out; the same command goes on whenever it is typed")]
    return launchers.problems(job.config) if line.multirun else []
