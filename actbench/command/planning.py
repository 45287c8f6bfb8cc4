"""From overrides to the runs that they ask for; or to everything that is wrong with them, at once."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from actbench.choices import choices_of, packaged_conf
from actbench.command import doors, sharing
from actbench.command.composing import _without_hydra, to_settings
from actbench.command.overrides import key_of
from actbench.command.quoting import as_typed, parsed, split, wrong_function
from actbench.command.suggestions import (
    Mistake,
    brief,
    group_of_choices,
    names_of,
    nearest_key,
    unknown_choice,
    unknown_key,
)
from actbench.errors import Problem, UserError, in_words
from actbench.settings import GROUPS, Settings

_COMPOSING = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    RecursionError,
)  # what a wrong override makes Hydra raise
_SWEEP = "-m makes one of them"
_CHOSEN = (*GROUPS, "experiment", "sweep")  # keys whose values are files


@dataclass(frozen=True)
class Job:
    """One run that a command line asks for."""

    overrides: tuple[str, ...]
    settings: Settings
    folder: Path


def sweeps_in(overrides: Sequence[str]) -> set[str]:
    """Those that have several values."""
    return {o for o in overrides if (read := parsed(o)) is not None and read.is_sweep_override()}


def plan(overrides: Sequence[str], *, multirun: bool) -> tuple[list[Job], list[Problem]]:
    """Every run that the command line asks for, and what is wrong with it.

    Where something is wrong, the job is given as it would be without that, so that what else is wrong can be found.

    Args:
        overrides: in Hydra's grammar (`quoting.for_hydra`).
    """
    with (
        warnings.catch_warnings(),
        initialize_config_dir(str(packaged_conf()), version_base="1.3", job_name="actbench"),
    ):
        warnings.simplefilter("ignore")  # of Hydra, about files that are refused in our words
        planning = _Planning(list(overrides), multirun)
        jobs = planning.jobs()
    places = {key_of(override): place for place, override in reversed(list(enumerate(overrides)))}
    problems = sorted(planning.problems, key=lambda p: places.get(key_of(p.where), len(places)))
    return jobs, problems


def has_key(overrides: Sequence[str], key: str) -> bool:
    """Whether the configuration that the overrides give has a key, which may be of Hydra's own."""
    with initialize_config_dir(str(packaged_conf()), version_base="1.3", job_name="actbench"):
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
    return key in (*_flat_keys(config), "_global_")


@dataclass
class _Planning:
    """The problems found so far, and the overrides that are wrong and are left out of what is looked at next."""

    overrides: list[str]
    multirun: bool
    problems: list[Problem] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    chosen: dict[str, list[str]] = field(default_factory=dict)  # group -> its choices in all jobs
    known: dict[tuple[str, ...], DictConfig] = field(default_factory=dict)  # what was composed, which takes its time

    def jobs(self) -> list[Job]:
        if self._found(doors.in_the_way()):
            return []
        kept = [override for override in self.overrides if not self._found(_by_itself(override, self.overrides))]
        asked = self._expand(kept)
        for job in asked:
            for override in job:
                if key_of(override) in GROUPS:
                    names = self.chosen.setdefault(key_of(override), [])
                    names += [] if (name := override.partition("=")[2]) in names else [name]
        jobs = []
        for number, overrides in enumerate(asked):
            made = self._job(overrides, number)
            if made is not None:
                jobs.append(made)
        if self.multirun and not self.problems:
            self._found(sharing.shared([(job.overrides, job.folder) for job in jobs]))
        return jobs

    def _config(self, *overrides: str) -> DictConfig:
        """The configuration with Hydra's own part; nobody changes it."""
        if overrides not in self.known:
            self.known[overrides] = compose("config", overrides=list(overrides), return_hydra_config=True)
        return self.known[overrides]

    def _found(self, problems: Iterable[Problem]) -> bool:
        """Adds what was not told before (what to do about it may differ by job); whether there was anything."""
        problems = list(problems)
        told = {(problem.what, problem.where) for problem in self.problems}
        self.problems += [problem for problem in problems if (problem.what, problem.where) not in told]
        return bool(problems)

    # ------------------------------------------------------------ one command line -> overrides of each job

    def _expand(self, overrides: list[str]) -> list[list[str]]:
        """The overrides of each job. What a sweeper chooses as it goes (unlike Hydra's basic one) is not known here."""
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        read = parser.parse_overrides(overrides)
        sweeps = [o for o in read if o.is_sweep_override()]
        fixed = [str(o.input_line) for o in read if not o.is_sweep_override()]
        if not self.multirun:
            self._found(_needs_sweep(o) for o in sweeps)
            self._found(
                Mistake("is nothing without -m", o, "-m makes a sweep", key=key_of(o), sweep=True)
                for o in fixed
                if doors.is_for_sweeps(o)
            )
        sweeper, params = self._sweeper(fixed)
        hydras = [o for o in fixed if doors.is_hydras(o)]
        twice = [o for o in overrides if key_of(o) in {key_of(param) for param in params}]
        if self._found(Problem("is swept by the preset already", o, "leave one of the two out") for o in twice):
            params = []
        if not self.multirun and params:
            preset = next((o for o in overrides if key_of(o) == "sweep"), "hydra.sweeper.params")
            self._found([Mistake("several values need a sweep", preset, _SWEEP, sweep=True)])
        lists = []
        for override in [*parser.parse_overrides(params), *read]:
            line = str(override.input_line)
            if line in hydras:
                continue
            lists.append(self._values(override, sweeper) if override.is_sweep_override() else [line])
        if "BasicSweeper" not in sweeper:
            return [fixed]
        return [[*hydras, *job] for job in itertools.product(*lists)]

    def _sweeper(self, fixed: list[str]) -> tuple[str, list[str]]:
        """The sweeper's class, and what a preset sweeps, as overrides."""
        good = fixed
        try:
            sweeper = self._config(*fixed).hydra.sweeper
        except _COMPOSING:
            good = []
            for override in fixed:
                with contextlib.suppress(*_COMPOSING):
                    sweeper = self._config(*good, override).hydra.sweeper
                    good.append(override)
            sweeper = self._config(*good).hydra.sweeper
        params = sweeper.get("params") or {}
        return str(sweeper["_target_"]), [
            f"{key}={value}" for key, value in params.items() if not doors.is_hydras(str(key))
        ]

    def _values(self, override: Override, sweeper: str) -> list[str]:
        """The overrides that a swept one stands for."""
        key, line = override.get_key_element(), str(override.input_line)
        own = f"{key}={override.get_value_string()}"
        if not override.is_discrete_sweep():
            if "BasicSweeper" in sweeper and self.multirun:
                how = "hydra/sweeper=optuna hydra.sweeper.n_trials=20, or the values themselves: a,b,c"
                self._found([Problem("needs a search", line, how)])
            return []
        try:
            values = list(itertools.islice(override.sweep_string_iterator(), 100_000))
        except (HydraException, ValueError, TypeError) as error:
            self._found([Problem(in_words(error), own)])
            return []
        if not values and self._found([sharing.empty(override)]):
            return []
        if self.multirun:
            self._found(sharing.needless(key_of(line), values, line, self.overrides))
        if key_of(line) in sharing.NOT_COMPARED:
            values = values[:1]
        return [f"{key}={value}" for value in dict.fromkeys(values)]

    # ------------------------------------------------------------ overrides of a job -> its settings

    def _job(self, overrides: Sequence[str], number: int) -> Job | None:
        """The job, without what is wrong with it; None where nothing is left of it."""
        for _ in range(3):
            overrides = [o for o in overrides if o not in self.wrong]
            try:
                return self._compose(overrides, number)
            except UserError as error:
                self._found(error.problems)
                self._blame(overrides, error.problems)
        return None

    def _blame(self, overrides: Sequence[str], problems: Sequence[Problem]) -> None:
        keys = {key_of(problem.where) for problem in problems}
        keys |= {problem.key for problem in problems if isinstance(problem, Mistake)}
        self.wrong |= {override for override in overrides if key_of(override) in keys}

    def _compose(self, overrides: Sequence[str], number: int) -> Job:
        numbered = [f"hydra.job.num={number}", f"++hydra.job.id={number}"] if self.multirun else []
        try:
            config = self._config(*overrides, *numbered)
        except _COMPOSING as error:
            raise UserError.of(self._diagnose(overrides) or [Problem(in_words(error))]) from error
        found = doors.for_typing(config, overrides) or doors.composed(config.hydra, self.overrides)
        if found:
            raise UserError.of(found)
        settings = self._settings(config, overrides)
        try:
            where = config.hydra.sweep if self.multirun else config.hydra.run
            folder = Path(where.dir) / str(where.subdir) if self.multirun else Path(where.dir)
        except OmegaConfBaseException as error:
            raise UserError(in_words(error), where="output_dir") from error
        return Job(tuple(overrides), settings, folder)

    def _settings(self, config: DictConfig, overrides: Sequence[str]) -> Settings:
        try:
            return to_settings(_without_hydra(config), config.hydra.runtime.choices)
        except UserError as error:
            inner = [as_typed(o) for o in overrides if "${" in o]
            if inner and error.problems[0].where == "configuration":  # it does not say of which
                how = "${KEY} takes the value of another key"
                raise UserError(error.problems[0].what, where=inner[0], how=how) from error
            raise

    def _diagnose(self, overrides: Sequence[str]) -> list[Problem]:
        """What is wrong with each override by itself; those that choose come first, as they decide on the keys."""
        ordered = sorted(overrides, key=lambda o: key_of(o).split("@")[0] not in _CHOSEN)
        good: list[str] = []
        problems: list[Problem] = []
        unsure: set[str] = set()  # groups whose choice is wrong: their parameters are not judged
        for override in ordered:
            if key_of(override).partition(".")[0] in unsure and key_of(override) not in unsure:
                self.wrong.add(override)
                continue
            try:
                self._config(*good, override)
                good.append(override)
            except _COMPOSING as error:
                problems.append(self._explain(override, error, good))
                self.wrong.add(override)
                unsure |= {key_of(override)} & {*_CHOSEN}
        try:
            problems += doors.for_typing(self._config(*good), good)
            if not problems:
                to_settings(_without_hydra(self._config(*good)), self._config(*good).hydra.runtime.choices)
        except UserError as error:
            problems += error.problems
        except _COMPOSING as error:
            problems.append(Problem(in_words(error)))
        return problems

    def _explain(self, override: str, error: Exception, good: Sequence[str]) -> Problem:
        key, _, value = override.lstrip("+~").partition("=")
        shown = as_typed(override)
        if key in _CHOSEN:
            value = shown.partition("=")[2]
            names = names_of(key)
            if value not in names and not (key in ("experiment", "sweep") and value.startswith("[")):
                return unknown_choice(key, value, shown)
            if not value or value.startswith("["):
                return Problem(f"there is no such {key}", shown, f"actbench list {key}")
            presets = [o for o in self.overrides if key_of(o) == key]
            if key == "sweep" and override.startswith("+") and len(presets) > 1:
                both = f"+sweep=[{','.join(o.partition('=')[2] for o in presets)}]"
                return Problem("is one of two presets", shown, f"both in one: {both}")
            if key == "sweep":
                return Mistake("is chosen with a +", shown, key=key, words=(f"+sweep={value}",), sweep=True)
            if not override.startswith("+"):  # the file is what is wrong
                path = next(choice.path for choice in choices_of(group_of_choices(key)) if choice.name == value)
                return Problem(f"{path} cannot be composed: {in_words(error)}", shown, "a file sets what there is")
            return Mistake("is chosen without a +", shown, f"{key}={value}", key=key, words=(f"{key}={value}",))
        known = _flat_keys(_without_hydra(self._config(*good)))
        if key in known and override.startswith("+"):
            return Mistake("is changed without a +", shown, f"{key}={value}", key=key, words=(f"{key}={value}",))
        if doors.is_hydras(override):
            return _unknown_parameter(override, self._config(*good).hydra)
        if key in known:
            return Problem(in_words(error), shown)
        return unknown_key(shown, known, self.chosen, list(map(as_typed, self.overrides)))


def _by_itself(override: str, overrides: Sequence[str]) -> list[Problem]:
    """What is wrong with an override, whatever the others are."""
    key, _, value = override.lstrip("+~").partition("=")
    shown = brief(as_typed(override))
    if key == "hydra.launcher.n_jobs" and value == "0":
        return [Problem("must be a whole number other than 0", shown, "-1 is one for each core")]
    if doors.is_hydras(override):
        door = doors.typed(override)
        if door is None and (read := parsed(override)) is not None and read.is_sweep_override():
            door = Problem("cannot be swept", shown, "one value for the whole sweep")
        return [door] if door else []
    if "_target_" in override:
        return [
            Problem("cannot be changed here", shown, "a YAML file of your own in ./conf/GROUP names what it builds")
        ]
    if override.startswith("~"):
        how = f"{key}=none" if "none" in names_of(key) else "leave it out; a key is changed by KEY=VALUE"
        return [Problem("nothing can be taken away", shown, how)]
    if key in GROUPS and value.startswith("[") and "[" in value[1:]:
        return [Problem("is not one choice", shown, f"actbench list {key} shows what there is")]
    if key in GROUPS and value.startswith("[") and (names := value.strip("[]")):
        how = f"several are a sweep: {key}={names}"
        return [Mistake("is not one choice", shown, how, key=key, words=(f"{key}={names}",), sweep="," in names)]
    if key in GROUPS and not value:
        return [Problem("has no value", shown, f"actbench list {key} shows what there is")]
    if "@" in key or ":" in key:
        return [Problem("a choice has its own place", shown, f"{re.split('[@:]', key)[0]}={value}")]
    if parsed(f"{key}=x") is None or not key:
        near = nearest_key(key, _all_keys())[0] if key else ""
        how = f"did you mean {near}={value}?" if near else "KEY=VALUE; actbench --help shows all keys"
        return [Mistake("no such key" if key else "has no key", shown, how, key=key, rename=near)]
    if parsed(override) is None:
        filled = [v.strip() for v in split(value) if v.strip()]
        whole = f"{key}={','.join(filled)}"
        if override.endswith(","):
            return [Mistake("ends with a comma", shown, "no space behind a comma: a,b", key=key, words=(whole,))]
        return [Mistake("has an empty value", shown, f"did you mean {whole}?", key=key, words=(whole,))]
    if wrong := wrong_function(shown.partition("=")[2]):
        return [Problem(wrong[0], shown, wrong[1])]
    if key.startswith("probe.") and "probe=false" in overrides:
        return [Problem("is nothing without probes", shown, "leave out probe=false")]
    return []


def _needs_sweep(override: Override) -> Problem:
    line = str(override.input_line)
    if key_of(line) == "trust":
        how = f"trust=[{override.get_value_string()}]"
        return Mistake("several packages are a list", line, how, key="trust", words=(how,))
    return Mistake("several values need a sweep", line, _SWEEP, key=key_of(line), sweep=True)


def _unknown_parameter(override: str, hydra: DictConfig) -> Problem:
    """Of the launcher or the sweeper that is chosen."""
    kind = key_of(override).replace("/", ".").split(".")[1]
    closed = ("params", "custom_search_space", "search_space")
    names = [str(name) for name in hydra[kind] if not str(name).startswith("_") and name not in closed]
    has = f"it has {', '.join(names)}" if names else f"it has none: hydra/{kind}=NAME chooses another one"
    last = key_of(override).rpartition(".")[2]
    if near := difflib.get_close_matches(last, [name for name in names if name != last], n=1):
        has = f"did you mean hydra.{kind}.{near[0]}? {has}"
    return Problem(f"the {kind} has no such parameter, or it cannot have this value", brief(override), has)


def _all_keys() -> list[str]:
    return _flat_keys(compose("config"))


def _flat_keys(config: Any, prefix: str = "") -> list[str]:
    keys = []
    for key in config:
        keys.append(f"{prefix}{key}")
        child = config._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            keys += _flat_keys(child, f"{prefix}{key}.")
    return [key for key in keys if not key.endswith(("_target_", "_partial_"))]
