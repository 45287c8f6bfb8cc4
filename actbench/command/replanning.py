"""Plans a stored run again, from its folder alone: for more of its seeds, or with something changed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from yaml import YAMLError

from actbench.command import auto, hydra_settings, planning, quoting, task_function
from actbench.command.auto import Decision
from actbench.command.override import key_of
from actbench.command.planning import Job
from actbench.errors import UserError
from actbench.files.reading import read_yaml
from actbench.naming import shown
from actbench.settings import CONTENT, GROUPS, Settings
from actbench.store import reader

_OVERRIDES = Path(".hydra", "overrides.yaml")
_OF_THE_COMMAND = (
    "seed",
    "num_seeds",
    "study",
    "output_dir",
    "trust",
    auto.NOTE,
)  # which are known otherwise, or asked
_HOW = "what is in it stays comparable; another study=NAME trains its configuration as it is now"


def planned_again(run: Path, changed: Sequence[str] = (), *, trust: Sequence[str] = ()) -> Job:
    """The job of a stored run, in its study and with its seeds.

    Args:
        run: its folder.
        changed: overrides that take the place of those of the same key, or of the parameters of a choice.
        trust: packages whose code may be run. What is stored does not count: the folder may be a stranger's.

    Raises:
        UserError: what it was trained with is not known, not trusted, or not what it was: a default, a file of `conf`
            or code has changed since.
    """
    stored = reader.settings_of(run)
    if lacking := [package for package in stored.trust if package not in trust]:
        raise UserError(
            "was trained with code of your own", where=str(run), how=f"add trust={','.join(lacking)}, if it is yours"
        )
    job = _job(run, stored, changed, trust)
    if job.settings.id != stored.id:
        as_it_was = _job(run, stored, (), trust) if changed else job
        if as_it_was.settings.id != stored.id:
            what = "; ".join(_differences(stored, as_it_was.settings))
            raise UserError(f"would be another configuration today: {what}", where=str(run), how=_HOW)
    return job


def place_of(study: Path) -> list[str]:
    """The overrides by which a command finds a study again."""
    near = task_function.relative(study.absolute())
    folder = near if near.name else study.absolute()
    return [
        quoting.for_hydra(quoting.typed("study", folder.name)),
        quoting.for_hydra(quoting.typed("output_dir", str(folder.parent))),
    ]


def _job(run: Path, stored: Settings, changed: Sequence[str], trust: Sequence[str]) -> Job:
    new = {key_of(override) for override in changed}
    chosen = new & {*GROUPS, "experiment"}
    kept = [
        override
        for override in _overrides(run)
        if not (key_of(override) in new or key_of(override).partition(".")[0] in chosen or _is_of_the_command(override))
    ]
    own = [*place_of(run.parent), f"seed={stored.seed}", f"num_seeds={stored.num_seeds}"]
    own += [f"trust=[{','.join(trust)}]"] if trust else []
    job, problems = planning.plan_as_is([*kept, *changed, *(o for o in own if key_of(o) not in new)])
    if problems or job is None:
        raise UserError.of(problems)
    if job.automatic:
        job = auto.decided(job, Decision(stored.dataset.name, stored.dataset_note))
    return job


def _overrides(run: Path) -> list[str]:
    """What the run was asked for; a UserError where that is not known."""
    try:
        content = read_yaml(run / _OVERRIDES)
        if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
            raise ValueError("it is no list of overrides")
    except (OSError, ValueError, YAMLError) as error:
        what = f"cannot be planned again: {_OVERRIDES} is missing or damaged ({' '.join(str(error).split())})"
        raise UserError(what, where=str(run), how="the command that trained it, with more seeds") from error
    return content


def _is_of_the_command(override: str) -> bool:
    key = key_of(override)
    return key in _OF_THE_COMMAND or key.startswith("decide.") or hydra_settings.is_hydras(override)


def _differences(then: Settings, now: Settings) -> Iterator[str]:
    """What is not as it was, key by key."""
    old, new = then.flat(), now.flat()
    for key in dict.fromkeys([*old, *new]):
        group, _, parameter = key.partition(".")
        if old.get(key) == new.get(key):
            continue
        if parameter == CONTENT:
            yield f"the {'data' if group == 'dataset' else 'code'} of {group}={old[group]} changed"
        else:
            yield f"{shlex.quote(f'{key}={shown(new.get(key))}')}, and it was {shown(old.get(key))}"
    if old == new:
        yield "something that it is built from has another name"
