"""Plans a stored run again, from the overrides in its folder, with some of them changed.

The folder may come from a stranger: of its overrides only those are taken that say what a run has. What is trusted and
where files are written has to be typed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yaml import YAMLError

from actbench.command import auto, next_commands, planning
from actbench.command.override import key_of
from actbench.command.planning import Job
from actbench.command.quoting import quoted
from actbench.command.suggestions import brief, enumerated
from actbench.errors import Problem, UserError
from actbench.files.reading import read_yaml
from actbench.identity import DECAY
from actbench.settings import Settings, is_torchs
from actbench.store import reader
from actbench.store.plausible import check_stays, reason

_NOT_TAKEN = ("trust", "study", "output_dir", "sweep", "search", "hydra", "decide")
_TRAINED_ANEW = "train what you want to compare anew, with the command of today"


def planned_again(run_folder: Path, changed: Sequence[str], trust: Sequence[str] = ()) -> Job:
    """The job that trains a stored run again with some overrides changed.

    Where a choice is changed, the parameters that were typed for it are left out. With nothing changed it is the same
    configuration, which is checked.

    Args:
        run_folder: with `settings.yaml` and `environment.json`.
        changed: overrides as they are typed, such as `activation=prelu` or `study=other`.
        trust: overrides of what has to be typed again: `trust=mine`.

    Raises:
        UserError: the folder does not say enough, its command gives another configuration by now, or what is changed
            is wrong.
    """
    stored = reader.settings_of(run_folder)
    taken = [*_with_dataset(overrides_of(run_folder), stored), *_decay(stored)]
    again = _job([*taken, f"study={quoted(stored.study)}", *trust], run_folder, stored)
    _check_same(again.settings, stored, run_folder)
    return _job(next_commands.replaced([*taken, *trust], changed), run_folder, stored)


def overrides_of(run_folder: Path) -> list[str]:
    """The overrides of a stored run that say what it has, in Hydra's grammar.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    path, content = run_folder / "environment.json", reader.environment(run_folder).get("overrides")
    if content is None:
        path = run_folder / ".hydra" / "overrides.yaml"  # where earlier versions had them
        content = _of_an_earlier_version(path)
    if content is not None and not (isinstance(content, list) and all(isinstance(word, str) for word in content)):
        raise UserError("is not a list of overrides", where=str(path), how=_TRAINED_ANEW)
    words = [word for word in content or () if key_of(word).replace("/", ".").partition(".")[0] not in _NOT_TAKEN]
    looked_up = [word for word in words if "${" in word and ":" in word.partition("${")[2]]
    if looked_up:
        what = f"`{brief(looked_up[0])}` would look something up outside the configuration"
        raise UserError(what, where=str(path), how=_TRAINED_ANEW)
    return words


def _of_an_earlier_version(path: Path) -> Any:
    try:
        check_stays(path)
        return read_yaml(path)
    except FileNotFoundError as error:
        what = "has no `overrides`, so that the run cannot be planned again"
        where = path.parent.with_name("environment.json")
        raise UserError(what, where=str(where), how=_TRAINED_ANEW) from error
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"cannot be read ({reason(error)})", where=str(path), how=_TRAINED_ANEW) from error


def _with_dataset(overrides: Sequence[str], stored: Settings) -> list[str]:
    """The overrides without the dataset that `dataset=auto` stood for, if it did: `_job` puts it in with its note."""
    kept = [word for word in overrides if word != f"dataset={auto.NAME}" and key_of(word) != auto.NOTE]
    return [word for word in kept if key_of(word) != "dataset"] if stored.dataset_note else kept


def _decay(stored: Settings) -> list[str]:
    """What weight decay was for before there was a choice."""
    params = stored.optimizer.params
    earlier = is_torchs(stored.optimizer) and params.get("weight_decay") and DECAY not in params
    return [f"optimizer.{DECAY}=all"] if earlier else []


def _job(overrides: Sequence[str], run_folder: Path, stored: Settings) -> Job:
    """The only job of some overrides."""
    jobs, problems = planning.plan([*overrides], multirun=False)
    if problems:
        raise UserError.of(Problem(p.what, p.where or str(run_folder), p.how) for p in problems)
    decision = auto.Decision(stored.dataset.name, stored.dataset_note)
    return auto.decided(jobs[0], decision) if jobs[0].automatic else jobs[0]


def _check_same(again: Settings, stored: Settings, run_folder: Path) -> None:
    """Raises where the stored command gives another configuration than it gave then."""
    now, then = again.without_content(), stored.without_content()
    if now.id == then.id:
        return
    values, earlier = now.flat(), then.flat()
    differing = [key for key in dict.fromkeys([*values, *earlier]) if values.get(key) != earlier.get(key)]
    what = f"its command gives another configuration by now, in {enumerated(differing or ['what it builds'])}"
    raise UserError(what, where=str(run_folder), how=_TRAINED_ANEW)
