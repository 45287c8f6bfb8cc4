"""Overrides -> the jobs that they ask for, or all problems with them at once."""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from actbench.command import alike, auto, configurations, duplicate_runs, explaining, hydra_settings
from actbench.command.alike import Alike, Values
from actbench.command.composing import composing, to_settings, without_hydra
from actbench.command.expanding import BASIC as BASIC
from actbench.command.expanding import Expansion
from actbench.command.explaining import COMPOSING
from actbench.command.override import TypedOverride, key_of, read
from actbench.command.quoting import as_typed
from actbench.command.suggestions import Mistake
from actbench.errors import Problem, UserError, in_words
from actbench.settings import Settings

Compositions = dict[tuple[str, ...], DictConfig | Exception]  # by overrides; an exception where Hydra refused them


@dataclass(frozen=True)
class Job:
    """One run that a command line asks for: its overrides, its settings, its folder and its composed configuration."""

    overrides: tuple[str, ...]
    settings: Settings
    folder: Path
    composed: bytes = b""  # a pickled DictConfig, which takes a hundredth of the memory, and which jobs may share
    values: Values = ()  # that are put into it
    automatic: bool = False  # `dataset=auto`: the settings assume MNIST until `auto.resolve`

    @property
    def task(self) -> list[str]:
        """The overrides without those of Hydra's own settings."""
        return [override for override in self.overrides if not hydra_settings.is_hydras(override)]

    @property
    def config(self) -> DictConfig:
        """The composed configuration with Hydra's own part; a new copy at each access."""
        return alike.filled(self.composed, self.values, self.task)


def plan(
    overrides: Sequence[str], *, multirun: bool, known: Compositions | None = None
) -> tuple[list[Job], list[Problem]]:
    """Every run that the command line asks for, and all problems with it.

    A job with wrong overrides is planned without them, so that its other problems are found as well.

    Args:
        overrides: in Hydra's grammar (`quoting.for_hydra`).
        known: compositions that other plans of the same command share; more are added.
    """
    with warnings.catch_warnings(), composing():
        warnings.simplefilter("ignore")  # of Hydra, about files that are refused in our words
        planning = _Planning([read(override) for override in overrides], multirun, {} if known is None else known)
        jobs = planning.jobs()
    places = {key_of(override): place for place, override in reversed(list(enumerate(overrides)))}
    problems = sorted(planning.problems, key=lambda p: places.get(key_of(p.where), len(places)))
    return jobs, configurations.placed(problems, planning.lines)


def has_key(overrides: Sequence[str], key: str) -> bool:
    """Whether the configuration that the overrides give has a key, which may be of Hydra's own."""
    with composing():
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
    return key in (*explaining.flat_keys(config), "_global_")


def _value(override: TypedOverride) -> Any:
    assert override.parsed is not None  # else nothing would have been planned
    return override.parsed.value()


@dataclass
class _Planning:
    """The state of planning: the problems so far, and the wrong overrides, which are left out from then on."""

    overrides: list[TypedOverride]
    multirun: bool
    known: Compositions
    problems: list[Problem] = field(default_factory=list)
    wrong: set[TypedOverride] = field(default_factory=set)
    refused: dict[tuple[str, ...], list[Problem]] = field(default_factory=dict)  # by composition
    pickled: dict[tuple[str, ...], bytes] = field(default_factory=dict)  # by overrides
    alike: dict[tuple[tuple[str, ...], tuple[str, ...]], Alike] = field(default_factory=dict)  # by composition and keys
    varied: set[str] = field(default_factory=set)  # keys that are swept over plain values
    lines: list[configurations.Line] = field(default_factory=list)  # of a preset that lists configurations

    def jobs(self) -> list[Job]:
        if self._add(hydra_settings.in_the_way()):
            return []
        texts = [override.text for override in self.overrides]
        good = [o for o in self.overrides if not self._add(explaining.by_itself(o, texts, self._keys))]
        expanded = Expansion(self.multirun, self._config).expand(good)
        self._add(expanded.problems)
        asked, self.varied, self.lines = expanded.jobs, expanded.varied, expanded.lines
        jobs = [job for overrides in asked if (job := self._job(overrides)) is not None]
        if self.multirun and not self.problems:
            self._add(duplicate_runs.shared([(job.overrides, job.folder) for job in jobs]))
        return jobs

    def _keys(self) -> list[str]:
        return explaining.flat_keys(without_hydra(self._config()))

    def _config(self, *overrides: TypedOverride) -> DictConfig:
        """The configuration with Hydra's own part. It is shared and must not be changed."""
        texts = tuple(override.text for override in overrides)
        if texts not in self.known:
            try:
                self.known[texts] = compose("config", overrides=list(texts), return_hydra_config=True)
            except COMPOSING as error:
                self.known[texts] = error
        found = self.known[texts]
        if isinstance(found, Exception):
            raise found
        return found

    def _add(self, problems: Iterable[Problem]) -> bool:
        """Adds the problems that are new (their `how` may differ by job); returns whether there were any problems."""
        problems = list(problems)
        known = {(problem.what, problem.where) for problem in self.problems}
        self.problems += [problem for problem in problems if (problem.what, problem.where) not in known]
        return bool(problems)

    # ------------------------------------------------------------ overrides of a job -> its settings

    def _job(self, overrides: Sequence[TypedOverride]) -> Job | None:
        """The job without its wrong overrides; None if it cannot be composed even so."""
        for _ in range(3):
            overrides = [override for override in overrides if override not in self.wrong]
            try:
                return self._compose(overrides)
            except UserError as error:
                self._add(error.problems)
                keys = {key_of(problem.where) for problem in error.problems}
                keys |= {problem.key for problem in error.problems if isinstance(problem, Mistake)}
                wrong = {override for override in overrides if override.key in keys}
                if not wrong:  # it would only fail again: of a dataset, say, whose files are wrong
                    return None
                self.wrong |= wrong
        return None

    def _compose(self, overrides: Sequence[TypedOverride]) -> Job:
        """Jobs that differ in plain values alone share one composition, and what is made of it."""
        texts = tuple(override.text for override in overrides)
        values = tuple((o.key, _value(o)) for o in overrides if o.key in self.varied)
        shared = [override for override in overrides if override.key not in self.varied]
        if not values or not alike.are_plain(values):
            return self._compose_alone(overrides, shared, values)[0]
        kind = (tuple(override.text for override in shared), tuple(key for key, _ in values))
        if kind in self.alike and (job := self.alike[kind].job(texts, values)) is not None:
            return job
        job, config = self._compose_alone(overrides, shared, values)
        if kind not in self.alike and job.values:
            self.alike[kind] = Alike(job, config)
        return job

    def _compose_alone(
        self, overrides: Sequence[TypedOverride], shared: Sequence[TypedOverride], values: Values
    ) -> tuple[Job, DictConfig]:
        """A job and its configuration, in the general way.

        Args:
            shared: the overrides but for those that are `values` to be put into the composition of these.
        """
        texts = tuple(override.text for override in overrides)
        task = [text for text in texts if not hydra_settings.is_hydras(text)]
        try:
            try:
                composed = self._pickled(shared)
                config = alike.filled(composed, values, task)
            except COMPOSING:
                values, config = (), self._config(*overrides)
                composed = pickle.dumps(config)
        except COMPOSING as error:
            raise UserError.of(self._diagnose(overrides) or [Problem(in_words(error))]) from error
        problems = hydra_settings.for_typing(config, texts) or self._hydras_problems(config, overrides)
        if problems:
            raise UserError.of(problems)
        settings = self._settings(config, texts)
        try:
            folder = Path(config.hydra.sweep.dir) / settings.folder  # `hydra.run.dir` is the same
        except OmegaConfBaseException as error:
            raise UserError(in_words(error), where="output_dir") from error
        automatic = config.hydra.runtime.choices.get("dataset") == auto.NAME
        if self.known.pop(texts, None) is not None:  # no other job has it
            self.pickled.pop(texts, None)
        return Job(texts, settings, folder, composed, values, automatic), config

    def _pickled(self, overrides: Sequence[TypedOverride]) -> bytes:
        """The same as `_config`, pickled once."""
        config, texts = self._config(*overrides), tuple(override.text for override in overrides)
        if texts not in self.pickled:
            with contextlib.suppress(OmegaConfBaseException):  # of which the job tells
                config.hydra.sweep.dir  # noqa: B018  # so that all copies have the same name of the study in them
            self.pickled[texts] = pickle.dumps(config)
        return self.pickled[texts]

    def _hydras_problems(self, config: DictConfig, overrides: Sequence[TypedOverride]) -> list[Problem]:
        """Settings of Hydra that files may not change: the same for all jobs that share a composition."""
        shared = tuple(override.text for override in overrides if override.key not in self.varied)
        if shared not in self.refused:
            self.refused[shared] = hydra_settings.composed(config.hydra, [override.text for override in self.overrides])
        return self.refused[shared]

    def _settings(self, config: DictConfig, overrides: Sequence[str]) -> Settings:
        try:
            return to_settings(without_hydra(config), config.hydra.runtime.choices, dataset=auto.ASSUMED)
        except UserError as error:
            inner = [as_typed(override) for override in overrides if "${" in override]
            if inner and error.problems[0].where == "configuration":  # it does not say of which
                how = "${KEY} takes the value of another key"
                raise UserError(error.problems[0].what, where=inner[0], how=how) from error
            raise

    def _diagnose(self, overrides: Sequence[TypedOverride]) -> list[Problem]:
        """The problems of each override, tried one by one: choices first, since they decide which keys exist."""
        ordered = sorted(overrides, key=lambda o: o.key.split("@")[0] not in explaining.CHOSEN)
        good: list[TypedOverride] = []
        problems: list[Problem] = []
        unsure: set[str] = set()  # groups whose choice is wrong: their parameters are not judged
        for override in ordered:
            if override.key.partition(".")[0] in unsure and override.key not in unsure:
                self.wrong.add(override)
                continue
            try:
                self._config(*good, override)
                good.append(override)
            except COMPOSING as error:
                typed = [o.text for o in self.overrides]
                problems.append(explaining.explain(override, error, self._config(*good), typed))
                self.wrong.add(override)
                unsure |= {override.key} & {*explaining.CHOSEN}
        try:
            config = self._config(*good)
            problems += hydra_settings.for_typing(config, [override.text for override in good])
            if not problems:
                self._settings(config, [])
        except UserError as error:
            problems += error.problems
        except COMPOSING as error:
            problems.append(Problem(in_words(error)))
        return problems
