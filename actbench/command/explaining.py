"""Explains what is wrong with an override: by itself, or in a configuration that does not accept it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from actbench.choices import choices_of
from actbench.command import auto, hydra_settings
from actbench.command.composing import OF_COMMAND, without_hydra
from actbench.command.override import TypedOverride, key_of, read
from actbench.command.quoting import as_typed, split, wrong_function
from actbench.command.suggestions import (
    Mistake,
    brief,
    group_of_choices,
    names_of,
    nearest_key,
    unknown_choice,
    unknown_key,
)
from actbench.custom import sweep_lines
from actbench.errors import Problem, in_words
from actbench.settings import GROUPS

COMPOSING = (
    HydraException,
    OmegaConfBaseException,
    ValueError,
    RecursionError,
)  # what a wrong override makes Hydra raise
SWEEP = "-m makes one of them"
CHOSEN = (*GROUPS, "experiment", "sweep", "search")  # keys whose values are files


def explain(override: TypedOverride, error: Exception, config: DictConfig, typed: Sequence[str]) -> Problem:
    """Why a configuration cannot be composed with an override.

    Args:
        override: the wrong one.
        error: what composing raised.
        config: the configuration without it.
        typed: all overrides of the command.
    """
    key, value, text = override.key, override.value, override.text
    shown = as_typed(text)
    if key in CHOSEN:
        return _explain_choice(override, error, typed)
    known = flat_keys(without_hydra(config))
    if key in known and override.sign.startswith("+"):
        return Mistake("is changed without a +", shown, f"{key}={value}", key=key, words=(f"{key}={value}",))
    if hydra_settings.is_hydras(text):
        return _of_a_plugin(text, error, config.hydra)
    if key in known:
        return Problem(in_words(error), shown)
    return unknown_key(shown, known, list(map(as_typed, typed)))


def _explain_choice(override: TypedOverride, error: Exception, typed: Sequence[str]) -> Problem:
    key = override.key
    shown = as_typed(override.text)
    value = shown.partition("=")[2]
    names = names_of(key)
    if value not in names and not (key in ("experiment", "sweep", "search") and value.startswith("[")):
        return unknown_choice(key, value, shown)
    if not value or value.startswith("["):
        return Problem(f"there is no such {key}", shown, f"actbench list {key}")
    presets = [text for text in typed if key_of(text) == key]
    if key == "sweep" and override.sign == "+" and len(presets) > 1:
        both = f"+sweep=[{','.join(text.partition('=')[2] for text in presets)}]"
        return Problem("is one of two presets", shown, f"both in one: {both}")
    if key in ("sweep", "search"):
        return Mistake("is chosen with a +", shown, key=key, words=(f"+{key}={value}",), sweep=True)
    if not override.sign:  # the file is what is wrong
        path = next(choice.path for choice in choices_of(group_of_choices(key)) if choice.name == value)
        return Problem(f"{path} cannot be composed: {in_words(error)}", shown, "a file can only set keys that exist")
    return Mistake("is chosen without a +", shown, f"{key}={value}", key=key, words=(f"{key}={value}",))


def by_itself(override: TypedOverride, typed: Sequence[str], keys: Callable[[], list[str]]) -> list[Problem]:
    """The problems of an override that do not depend on the others; `keys` returns all keys of a configuration."""
    key, value, text = override.key, override.value, override.text
    shown = brief(as_typed(text))
    if key == "hydra.launcher.n_jobs" and value == "0":
        return [Problem("must be a whole number other than 0", shown, "-1 is one for each core")]
    if hydra_settings.is_hydras(text):
        door = hydra_settings.typed(text)
        if door is None and override.is_sweep:
            door = Problem("cannot be swept", shown, "one value for the whole sweep")
        return [door] if door else []
    if "_target_" in text:
        return [
            Problem("cannot be changed here", shown, "a YAML file of your own in ./conf/GROUP names what it builds")
        ]
    if text.startswith("~"):
        how = f"{key}=none" if "none" in names_of(key) else "leave it out; a key is changed by KEY=VALUE"
        return [Problem("a key cannot be removed", shown, how)]
    if key in GROUPS and value.startswith("[") and "[" in value[1:]:
        return [Problem("is not one choice", shown, f"actbench list {key} shows what there is")]
    if key in GROUPS and value.startswith("[") and (names := value.strip("[]")):
        how = f"several are a sweep: {key}={names}"
        return [Mistake("is not one choice", shown, how, key=key, words=(f"{key}={names}",), sweep="," in names)]
    if key in GROUPS and not value:
        return [Problem("has no value", shown, f"actbench list {key} shows what there is")]
    if key == "sweep" and override.sign == "+" and override.is_sweep:
        whole = f"+sweep=[{value}]"
        return [Mistake("several presets are in brackets", shown, f"both in one: {whole}", key=key, words=(whole,))]
    if "@" in key or ":" in key:
        return [Problem("a choice cannot be put under another key", shown, f"{re.split('[@:]', key)[0]}={value}")]
    if not key or read(f"{key}=x").parsed is None:
        near = nearest_key(key, keys())[0] if key else ""
        how = f"did you mean {near}={value}?" if near else "KEY=VALUE; actbench --help shows all keys"
        return [Mistake("no such key" if key else "has no key", shown, how, key=key, rename=near)]
    if override.parsed is None:
        filled = [v.strip() for v in split(value) if v.strip()]
        whole = f"{key}={','.join(filled)}"
        if text.endswith(","):
            return [Mistake("ends with a comma", shown, "no space behind a comma: a,b", key=key, words=(whole,))]
        return [Mistake("has an empty value", shown, f"did you mean {whole}?", key=key, words=(whole,))]
    if wrong := wrong_function(shown.partition("=")[2]):
        return [Problem(wrong[0], shown, wrong[1])]
    if key == "probe_every" and "probe=false" in typed:
        return [Problem("has no effect with probe=false", shown, "leave out probe=false")]
    if key == auto.NOTE:
        return [Problem("no such key", shown, "actbench list dataset")]
    if key == sweep_lines.KEY:
        return [Problem("is for a file", shown, "conf/sweep/NAME.yaml lists configurations: actbench -m +sweep=NAME")]
    return []


def unresolved(override: TypedOverride, config: DictConfig) -> list[Problem]:
    """The problem of a `${...}` that stands for nothing, in what is no setting of a run: nobody asks before jobs start.

    Args:
        config: with the override.
    """
    own = hydra_settings.is_hydras(override.text) or override.key in OF_COMMAND
    if not own or "${" not in override.value or "${hydra" in override.value:  # which is known when the jobs start
        return []
    try:
        value = OmegaConf.select(config, override.key)
        if OmegaConf.is_config(value):
            OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException as error:
        return [Problem(in_words(error), brief(as_typed(override.text)), "${oc.env:NAME} is an environment variable")]
    return []


def needs_sweep(override: TypedOverride) -> Problem:
    """The problem of several values without `-m`."""
    if override.key == "trust":
        how = f"trust=[{override.value}]"
        return Mistake("several packages are a list", override.text, how, key="trust", words=(how,))
    return Mistake("several values need a sweep", override.text, SWEEP, key=override.key, sweep=True)


def _of_a_plugin(override: str, error: Exception, hydra: DictConfig) -> Problem:
    """The problem of a parameter that the chosen launcher or sweeper does not have, or not with this value."""
    if problem := hydra_settings.of_a_part(override):
        return problem
    key = key_of(override).replace("/", ".")
    kind = key.split(".")[1]
    known = [f"hydra.{kind}.{name}" for name in flat_keys(hydra[kind])]
    if key in known:
        cause = error.__cause__
        return Problem(in_words(cause if isinstance(cause, Exception) else error), brief(override))
    inside = key.rpartition(".")[0]
    while inside not in (f"hydra.{kind}", *known):
        inside = inside.rpartition(".")[0]
    closed = ("params", "custom_search_space", "search_space")
    content = OmegaConf.select(hydra, inside.partition(".")[2])
    names = [str(name) for name in content if not str(name).startswith("_")] if isinstance(content, DictConfig) else []
    names = [name for name in names if inside != f"hydra.{kind}" or name not in closed]
    has = f"{inside} has {', '.join(names)}" if names else f"it has none: hydra/{kind}=NAME chooses another one"
    near, _ = nearest_key(key, [f"{inside}.{name}" for name in names])
    if near:
        return Mistake(
            f"the {kind} has no such parameter", override, f"did you mean {near}? {has}", key=key, rename=near
        )
    return Problem(f"the {kind} has no such parameter", brief(override), has)


def flat_keys(config: DictConfig) -> list[str]:
    """All keys of a configuration, with those below them: `train`, `train.epochs`."""
    return [key for key in _keys_in(OmegaConf.to_container(config)) if not key.endswith(("_target_", "_partial_"))]


def _keys_in(content: Any, prefix: str = "") -> list[str]:
    keys = []
    for key, value in content.items():
        keys += [f"{prefix}{key}", *(_keys_in(value, f"{prefix}{key}.") if isinstance(value, dict) else ())]
    return keys
