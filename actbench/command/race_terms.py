"""The keys `decide.*`: the terms of a race, and what of a command or a study does not go with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from actbench.command import quoting
from actbench.command.expanding import SWEEPS
from actbench.command.extending import depends_on_seed
from actbench.command.override import key_of
from actbench.command.planning import Job
from actbench.command.suggestions import enumerated
from actbench.errors import Problem, UserError
from actbench.naming import shown
from actbench.settings import Settings
from actbench.store import decide, reader
from actbench.store.decide import TestSet

_TWO = "two configurations or more: activation=relu,gelu, say"


@dataclass(frozen=True)
class Terms:
    """When a race ends: what `conf/config.yaml` says of the keys `decide.*`.

    With `everyone`, all take part in every round.
    """

    margin: float
    test_set: TestSet = "new"
    max_seeds: int = 40
    max_minutes: float | None = None
    everyone: bool = False


def of(config: DictConfig) -> Terms | None:
    """The terms in a composed configuration; None where it asks for no race."""
    asked: Mapping[str, Any] = config.decide
    if asked["margin"] is None:
        return None
    minutes = asked["max_minutes"]
    return Terms(
        float(asked["margin"]), asked["test_set"], asked["max_seeds"], None if minutes is None else float(minutes)
    )


def typed(overrides: Sequence[str]) -> list[str]:
    """The overrides that are about a race."""
    return [override for override in overrides if key_of(override).startswith("decide.")]


# ---------------------------------------------------------------- what does not go with a race


def check(jobs: Sequence[Job], overrides: Sequence[str]) -> list[Problem]:
    """What is wrong with the race that a sweep asks for; nothing where it asks for none.

    Args:
        jobs: all of the sweep; of a search one as an example.
        overrides: what was typed.
    """
    if not jobs:
        return []
    config = jobs[0].config
    terms, asked = of(config), [quoting.as_typed(override) for override in typed(overrides)]
    if config.hydra.runtime.choices["hydra/sweeper"] not in SWEEPS:
        how = "leave it out, or race the values themselves: a,b,c"
        return [Problem("does not go with a search, which looks for the best by itself", where, how) for where in asked]
    if terms is None:
        racing = config.hydra.runtime.choices["hydra/sweeper"] == "race"
        asked = ["hydra/sweeper=race", *asked] if racing else asked
        return [Problem("has no effect without decide.margin", where, "decide.margin=0.1, say") for where in asked]
    return list(_of_race(jobs, terms, overrides))


def _of_race(jobs: Sequence[Job], terms: Terms, overrides: Sequence[str]) -> Iterator[Problem]:
    margin = f"decide.margin={shown(terms.margin)}"
    by_id: dict[str, list[Job]] = {}
    for job in jobs:
        by_id.setdefault(job.settings.id, []).append(job)
    for key in ("seed", "num_seeds"):
        if len({getattr(job.settings, key) for job in jobs}) > 1:
            where = next((quoting.as_typed(o) for o in overrides if key_of(o) == key), key)
            how = "one value: num_seeds=5 is what the first round trains of each, and more are added where needed"
            yield Problem("cannot be swept in a race, which adds seeds by itself", where, how)
            return
    if len(by_id) < 2:
        yield Problem("a race is between several configurations, and this is one", margin, _TWO)
    if jobs[0].settings.num_seeds > terms.max_seeds:
        how = f"decide.max_seeds={jobs[0].settings.num_seeds}, or fewer seeds in the first round"
        yield Problem(
            f"is more than decide.max_seeds={terms.max_seeds}", f"num_seeds={jobs[0].settings.num_seeds}", how
        )
    if len({job.settings.protocol() for job in jobs}) > 1:
        key = "train.epochs" if len({job.settings.train.epochs for job in jobs}) > 1 else "dataset"
        how = "a race for each, with a study of its own"
        yield Problem("cannot be swept in a race, which compares on equal terms", key, how)
    if any(map(depends_on_seed, jobs)):
        how = "a plain value, or a sweep without decide.margin"
        yield Problem("a setting depends on the seed, so that no two seeds are one configuration", "${seed}", how)


def against_study(study: Path, jobs: Sequence[Job], terms: Terms) -> list[Problem]:
    """Why a race cannot go on in a study: it has runs of another protocol, or was begun on other terms."""
    problems = []
    other = f"another study=NAME begins a race of its own; actbench report {study} compares what is there"
    mine = jobs[0].settings.protocol()
    for folder in sorted(path.parent for path in study.glob("*/settings.yaml")):
        theirs = _settings(folder)
        if theirs is not None and theirs.protocol() != mine:
            what = f"has runs on other terms ({_said(theirs)}), which a race on {_said(jobs[0].settings)} is no part of"
            problems.append(Problem(what, str(folder), other))
            break
    try:
        stored = decide.read(study)
    except UserError as error:
        return [*problems, *error.problems]
    if stored.margin is None:
        return problems
    for key in ("margin", "test_set"):
        begun, asked = shown(getattr(stored, key)), shown(getattr(terms, key))
        if begun != asked:
            changed = f"actbench more {study} --{key.replace('_', '-')} {asked}"
            how = f"decide.{key}={begun} goes on with it; {changed} changes it; another study=NAME begins another race"
            problems.append(
                Problem(f"the race in {study} was begun with decide.{key}={begun}", f"decide.{key}={asked}", how)
            )
    return problems


def begin(study: Path, terms: Terms) -> None:
    """Writes the terms into the study's `decide.json`."""
    study.mkdir(parents=True, exist_ok=True)
    with decide.changing(study):
        stored = decide.read(study)
        asked = replace(stored, margin=terms.margin, test_set=terms.test_set)
        if asked != stored:
            decide.write(study, asked)


def _settings(folder: Path) -> Settings | None:
    try:
        return reader.settings_of(folder)
    except UserError:
        return None  # which is reported where the folder is used


def _said(settings: Settings) -> str:
    changed = [f"{key}={shown(value)}" for key, value in settings.data_params.items() if value is not None]
    return enumerated([settings.dataset.name, *changed, f"train.epochs={settings.train.epochs}"])
