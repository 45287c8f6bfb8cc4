"""Jobs that differ in plain values of the same keys: all else of them is composed, resolved and checked once.

Hydra takes 70 ms to compose a job, and 15 ms go into copying and resolving a configuration of which one value is then
exchanged. Here the value is exchanged in plain dictionaries, which takes less than one.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.command import auto
from actbench.command.composing import Known, resolved, settings_of, without_hydra

if TYPE_CHECKING:
    from actbench.command.planning import Job

Values = tuple[tuple[str, Any], ...]  # key -> the value that Hydra reads in its override
Path_ = tuple[str, ...]

_OF_FOLDERS = ("output_dir", "study", "trust")  # on which more than the settings depends


def filled(composed: bytes, values: Values, task: Sequence[str]) -> DictConfig:
    """A new copy of a pickled composition with these values in it, as Hydra would have put them there.

    Args:
        task: the overrides of the job, without those of Hydra's own settings.

    Raises:
        OmegaConfBaseException: it has no such key.
    """
    config: DictConfig = pickle.loads(composed)
    if values:
        _put(config, values)
        config.hydra.overrides.task = [*task]
        config.hydra.job.override_dirname = ",".join(sorted(task))
    return config


def _put(config: DictConfig, values: Values) -> None:
    for key, value in values:
        OmegaConf.update(config, key, value, merge=True)


def are_plain(values: Values) -> bool:
    """Whether none of the values is a dictionary, looks something up, or is missing."""
    return all(_is_plain(value) for _, value in values)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, str):
        return "${" not in value and value != "???"
    return value is None or isinstance(value, (bool, int, float))


class Alike:
    """Jobs that are made of one that was planned in the general way, by exchanging plain values.

    Args:
        first: that job, all of whose values are plain.
        config: its configuration.
    """

    def __init__(self, first: Job, config: DictConfig) -> None:
        self._first, self._names = first, dict(config.hydra.runtime.choices)
        self._known: Known = {}
        self._flat = without_hydra(config)
        self._content = resolved(self._flat)
        raw = OmegaConf.to_container(self._flat, resolve=False)
        self._following = [*_looking_up(raw)]  # what may take its value from one that is exchanged
        self._possible = all(_leads_to_a_leaf(raw, key.split(".")) for key, _ in first.values)

    def job(self, overrides: tuple[str, ...], values: Values) -> Job | None:
        """The job that has these values, which are plain and of the same keys; None where it is no exchange of values.

        Raises:
            UserError: with every mistake in it.
        """
        if not self._possible:
            return None
        content = self._content
        try:
            for path, value in self._followed(values):
                content = _exchanged(content, path, value)
        except OmegaConfBaseException:  # of which the general way tells
            return None
        for key, value in values:
            content = _exchanged(content, key.split("."), value)
        if any(content[key] is not self._content[key] for key in _OF_FOLDERS):
            return None
        settings = settings_of(content, self._names, dataset=auto.ASSUMED, known=self._known)
        folder: Path = self._first.folder.parent / settings.folder
        return replace(self._first, overrides=overrides, settings=settings, folder=folder, values=values)

    def _followed(self, values: Values) -> Iterator[tuple[Path_, Any]]:
        """What has another value beside these ones."""
        if self._following:
            _put(self._flat, values)
        for path in self._following:
            node, before = self._flat, self._content
            for key in path:
                node, before = node[key], before[key]
            value = OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if _is_config(node) else node
            if repr(value) != repr(before):
                yield path, value


def _is_config(node: Any) -> bool:
    return OmegaConf.is_config(node)


def _looking_up(content: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths of values in which something is looked up: `${optimizer.lr}`."""
    if not isinstance(content, Mapping):
        if "${" in str(content):
            yield path
        return
    for key, value in content.items():
        yield from _looking_up(value, (*path, key))


def _leads_to_a_leaf(content: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return not isinstance(content, Mapping)


def _exchanged(content: Mapping[Any, Any], path: Sequence[str], value: Any) -> dict[Any, Any]:
    """A copy of nested dictionaries with another value at a path; what is not on the path is shared."""
    key, *rest = path
    return {**content, key: _exchanged(content[key], rest, value) if rest else value}
