"""One command line -> the overrides of each of its jobs.

A sweep is the product of all that has several values, of what is typed and of what a preset sweeps, and of the lines of
a preset that lists configurations; without the parameters that a job's choices do not have (`conditional.py`).
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig

from actbench.choices import usual_choices
from actbench.command import conditional, configurations, duplicate_runs, explaining, hydra_settings
from actbench.command.composing import without_hydra
from actbench.command.explaining import COMPOSING
from actbench.command.override import TypedOverride, read
from actbench.command.suggestions import Mistake
from actbench.errors import Problem, in_words

BASIC = "basic"  # Hydra's own launcher, which runs one job after the other here; and its own sweeper, all combinations
SWEEPS = (BASIC, "race")  # sweepers that have all combinations trained
_MOST = 100_000  # values of one key


@dataclass
class Expansion:
    """What `expand` makes of a command line.

    `jobs` has the overrides of each job; for a search of a single one, which has only what is fixed, since its sweeper
    chooses the rest later. `varied` are the keys that differ between jobs in plain values, and `lines` those of a
    preset that lists configurations.
    """

    multirun: bool
    compose: Callable[..., DictConfig]  # of overrides, with Hydra's own part
    jobs: list[list[TypedOverride]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    varied: set[str] = field(default_factory=set)
    lines: list[configurations.Line] = field(default_factory=list)

    def expand(self, overrides: list[TypedOverride]) -> Expansion:
        """Fills in everything; `overrides` are those in which nothing is wrong by itself."""
        fixed = [override for override in overrides if not override.is_sweep]
        if not self.multirun:
            self._add(explaining.needs_sweep(override) for override in overrides if override.is_sweep)
            self._add(
                Mistake("has no effect without -m", o.text, "-m makes a sweep", key=o.key, sweep=True)
                for o in fixed
                if hydra_settings.is_for_sweeps(o.text) or o.key == "workers"
            )
            self._add(_is_for_races(o, any(other.is_sweep for other in overrides)) for o in fixed if o.key in _OF_RACES)
        config = self._of_fixed(fixed)
        if unresolved := {o for o in fixed if self._add(explaining.unresolved(o, config))}:
            fixed, overrides = ([o for o in of if o not in unresolved] for of in (fixed, overrides))
            config = self._of_fixed(fixed)
        launcher = str(config.hydra.runtime.choices["hydra/launcher"])
        if self.multirun and launcher != BASIC:
            how = "leave it out: the launcher starts the processes"
            self._add(
                Problem(f"has no effect with hydra/launcher={launcher}", o.text, how)
                for o in fixed
                if o.key == "workers"
            )
        params = self._params(config, overrides)
        sweeper = str(config.hydra.runtime.choices["hydra/sweeper"])
        sweeper = BASIC if sweeper in SWEEPS else sweeper
        self.lines, beside = configurations.lines_of(config, [*params, *overrides])
        if self.lines and sweeper != BASIC:
            self._add(configurations.in_a_search(self.lines, o) for o in overrides if o.key == "sweep")
            self.lines, beside = [], []
        taken = configurations.keys_set(self.lines) if self._add(beside) else set()
        if not self.multirun and (params or self.lines):
            preset = next((o.text for o in overrides if o.key == "sweep"), "hydra.sweeper.params")
            self._add([Mistake("several values need a sweep", preset, explaining.SWEEP, sweep=True)])
        hydras = [override for override in fixed if hydra_settings.is_hydras(override.text)]
        given = [o for o in (*params, *overrides) if o not in hydras and o.key not in taken]
        values = [self._values(o, sweeper, overrides) if o.is_sweep else [o] for o in given]
        if sweeper != BASIC:
            self._add(conditional.in_a_search(given, {o.key: of for o, of in zip(given, values, strict=True)}))
            self.jobs = [fixed]
            return self
        self.varied = _plain_values(given, [own for line in self.lines for own in line.overrides])
        of_lines = [one for number, line in enumerate(self.lines) for one in self._of_line(number, line, sweeper)]
        jobs = (
            [*zip(given, job, strict=True), *of_line]
            for job in itertools.product(*values)
            for of_line in (of_lines if self.lines else [()])
        )
        self.jobs = [[*hydras, *job] for job in conditional.applied(jobs, self._choices)]
        return self

    def _add(self, problems: Iterable[Problem]) -> bool:
        """Adds problems; returns whether there were any."""
        problems = list(problems)
        self.problems += problems
        return bool(problems)

    def _of_fixed(self, fixed: Sequence[TypedOverride]) -> DictConfig:
        """The configuration of what has one value, without the overrides that cannot be composed."""
        try:
            return self.compose(*fixed)
        except COMPOSING:
            good: list[TypedOverride] = []
            for override in fixed:
                with contextlib.suppress(*COMPOSING):
                    self.compose(*good, override)
                    good.append(override)
            return self.compose(*good)

    def _params(self, config: DictConfig, overrides: Sequence[TypedOverride]) -> list[TypedOverride]:
        """What a preset sweeps, as overrides."""
        params = config.hydra.sweeper.get("params") or {}
        swept = [read(f"{key}={value}") for key, value in params.items() if not hydra_settings.is_hydras(str(key))]
        twice = [override.text for override in overrides if override.key in {param.key for param in swept}]
        wrong = self._add(Problem("is swept by the preset already", text, "leave one of the two out") for text in twice)
        return [] if wrong else swept

    def _values(self, override: TypedOverride, sweeper: str, overrides: Sequence[TypedOverride]) -> list[TypedOverride]:
        """One override for each value of a swept override; `overrides` are all of the command."""
        assert override.parsed is not None  # else it would be no sweep
        parsed = replace(override.parsed, config_loader=GlobalHydra.instance().config_loader())  # for glob(...)
        if not parsed.is_discrete_sweep():
            if sweeper == BASIC and self.multirun:
                how = "hydra/sweeper=optuna hydra.sweeper.n_trials=20, or the values themselves: a,b,c"
                self._add([Problem("needs a search", override.text, how)])
            return []
        try:
            values = list(itertools.islice(parsed.sweep_string_iterator(), _MOST))
        except (HydraException, ValueError, TypeError) as error:
            self._add([Problem(in_words(error), f"{override.key}={parsed.get_value_string()}")])
            return []
        if not values and self._add([duplicate_runs.empty(override)]):
            return []
        if self.multirun:
            self._add(duplicate_runs.needless(override, values, [o.text for o in overrides]))
        if override.key in duplicate_runs.NOT_COMPARED:
            values = values[:1]
        return [read(f"{parsed.get_key_element()}={value}") for value in dict.fromkeys(values)]

    def _of_line(self, number: int, line: configurations.Line, sweeper: str) -> Iterator[list[conditional.Given]]:
        """The configurations that a line stands for: one, or as many as it has values."""
        texts = [override.text for override in line.overrides]
        good = [o for o in line.overrides if not self._add(explaining.by_itself(o, texts, self._keys))]
        values = [self._values(o, sweeper, line.overrides) if o.is_sweep else [o] for o in good]
        for job in itertools.product(*values):
            yield [((number, override), own) for override, own in zip(good, job, strict=True)]

    def _keys(self) -> list[str]:
        return explaining.flat_keys(without_hydra(self.compose()))

    def _choices(self, choosing: Sequence[TypedOverride]) -> Mapping[str, Any]:
        """Group -> choice with an experiment and presets; none where they cannot be composed, which the jobs report."""
        if not choosing:
            return usual_choices()
        try:
            choices: Mapping[str, Any] = self.compose(*choosing).hydra.runtime.choices
        except COMPOSING:
            return {}
        return choices


_OF_RACES = ("decide.margin", "decide.max_seeds", "decide.max_minutes", "decide.test_set")


def _is_for_races(override: TypedOverride, sweep: bool) -> Problem:
    what = "has no effect without -m"
    if sweep:
        return Mistake(what, override.text, "-m makes a race", key=override.key, sweep=True)
    asked = override.text if override.key == "decide.margin" else f"decide.margin=0.1 {override.text}"
    return Problem(what, override.text, f"a race is between several: actbench -m activation=relu,gelu {asked}")


def _plain_values(given: Sequence[TypedOverride], of_lines: Sequence[TypedOverride]) -> set[str]:
    """The varied keys that choose no file, and are neither above nor below the key of another override."""
    varied = [*(override for override in given if override.is_sweep), *of_lines]
    keys = {override.key for override in [*given, *of_lines]} - {*explaining.CHOSEN}

    def is_plain(override: TypedOverride) -> bool:
        key = override.key
        related = (f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.") for other in keys - {key})
        return not override.sign and key not in explaining.CHOSEN and not {*"/@:"} & {*key} and not any(related)

    return {override.key for override in varied if is_plain(override)}
