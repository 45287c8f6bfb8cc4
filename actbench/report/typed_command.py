"""The command that trained a run, from its `environment.json`, as a whole command that can be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from actbench.files import places
from actbench.report import runs
from actbench.report.more_command import study_of
from actbench.report.runs import Run

NOT_TRAINING = ("try", "more")  # find the study by themselves


def going_on(unfinished: Iterable[Run]) -> str:
    """The one command that trained some runs, which goes on with them; empty where there are several or none."""
    words = words_of(unfinished)
    return shlex.join(["actbench", *words]) if words else ""


def words_of(trained: Iterable[Run]) -> Sequence[str]:
    """The words behind `actbench` of the one command that trained some runs; nothing of several, or of none."""
    commands = {tuple(_typed(run)) for run in trained}
    return commands.pop() if len(commands) == 1 else ()


def with_another(run: Run, activation: str) -> str:
    """The command of a single run with another activation, in the same study; empty where it was a sweep."""
    words = _typed(run)
    if not words or words[0] in NOT_TRAINING or {"-m", "--multirun"} & {*words}:
        return ""
    kept = [word for word in words if not word.startswith(("activation=", "activation."))]
    return shlex.join(["actbench", f"activation={activation}", *kept])


def rest_of_sweep(run: Run) -> str:
    """The command of a sweep over several values, which trains what is missing of it; empty where it was none."""
    words = _typed(run)
    several = any(
        "," in word.partition("=")[2] for word in words if not word.startswith(("num_seeds", "study", "hydra"))
    )
    return shlex.join(["actbench", *words]) if {"-m", "--multirun"} & {*words} and several else ""


def _typed(run: Run) -> Sequence[str]:
    """The words behind `actbench`, with the study's name; nothing where they are not recorded, or are of elsewhere."""
    if (study_of(run.folder) / places.KEPT).is_dir():  # trained from Python: no command line has what it was given
        return ()
    argv = runs.environment(run).get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        return ()
    words, name = argv[1:], study_of(run.folder).resolve().name
    if words[:1] and words[0] in NOT_TRAINING:
        return words
    named = [word.partition("=")[2] for word in words if word.startswith("study=")]
    if not named:
        return [*words, f"study={name}"]
    return words if named[-1].strip("'\"") == name else ()  # else the study was renamed
