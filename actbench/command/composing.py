"""Hydra's composed configuration -> Settings, or all problems with it at once; `rules` says what a key may hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from typing import Any

from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from actbench.choices import choices_of, packaged_conf
from actbench.command import auto, conf_source, ray_node
from actbench.command.digests import with_contents
from actbench.command.rules import Rule, is_int, plain_rules, rule_of
from actbench.command.suggestions import nearest, wrong_value
from actbench.custom import measure_files, sweep_lines
from actbench.custom.trust import is_own
from actbench.errors import Problem, UserError, in_words
from actbench.naming import shown
from actbench.settings import GROUPS, Choice, Settings, Train

_TRAIN_KEYS = [field.name for field in fields(Train)]
_NOT_TYPED = (*GROUPS, "train", "dataset_note", "measures", "weights_content")
OF_COMMAND = ("output_dir", "workers")  # and not of a run
_PLAIN_KEYS = [
    *(field.name for field in fields(Settings) if field.name not in _NOT_TYPED),
    *OF_COMMAND,
]
_DECIDE_KEYS = ("margin", "max_seeds", "max_minutes", "test_set")  # of a race, not of a run: `command.race_terms`


def to_settings(config: DictConfig, names: Mapping[str, Any], *, dataset: auto.Decision | None = None) -> Settings:
    """The settings of a composed configuration.

    Args:
        config: without Hydra's own part.
        names: Hydra's runtime choices, group -> file.
        dataset: what `dataset=auto` stands for; by default that is decided here, which may download MNIST.

    Raises:
        UserError: with every mistake in it.
    """
    return settings_of(resolved(config), names, dataset=dataset)


def resolved(config: DictConfig) -> dict[Any, Any]:
    """A composed configuration without Hydra's own part as plain values.

    Raises:
        UserError: a value is missing, or leads nowhere.
    """
    try:
        content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        if isinstance(error, MissingMandatoryValue):
            missing = sorted(OmegaConf.missing_keys(config))
            raise UserError.of(
                Problem("has no default, and has to be typed", key, f"{key}=VALUE") for key in missing
            ) from error
        raise UserError(in_words(error), where="configuration", how="look at `actbench --cfg job`") from error
    assert isinstance(content, dict)
    return content


Known = dict[str, tuple[Any, Any]]  # a field of the settings -> the plain values that it was made of, and the field


def settings_of(
    content: Mapping[Any, Any], names: Mapping[str, Any], *, dataset: auto.Decision | None = None,
    known: Known | None = None,
) -> Settings:  # fmt: skip
    """The settings of what `resolved` returns; see `to_settings`.

    Args:
        known: fields of other settings, which are taken where `content` has the same object of plain values.
    """
    known, problems = {} if known is None else known, list[Problem]()
    content, note = auto.without_note(content, names)
    choices = _choices(content, names, problems, known)
    besides = (*GROUPS, "hydra", sweep_lines.KEY)  # lines are of the whole sweep: this run's is among its overrides
    flat = _flat({str(key): value for key, value in content.items() if key not in besides}, problems)
    if problems:
        raise UserError.of(problems)
    if choices["dataset"].name == auto.NAME:
        decided = dataset or auto.decide()
        choices["dataset"], note = decided.choice(choices["dataset"].params), decided.note
    trust = flat["trust"] or []
    plain = {key: flat[key] for key in _PLAIN_KEYS if key not in OF_COMMAND}
    values: dict[str, Any] = {**choices, **plain, "dataset_note": note}
    values |= {"split": float(flat["split"]), "dropout": float(flat["dropout"])}
    values |= {"trust": tuple([trust] if isinstance(trust, str) else trust)}
    exchanges = choices["activation"].target is not None  # activation=own has nothing that `sites` could change
    values |= {"sites": _patterns(flat["sites"]) if exchanges else "all"}
    if "measures" not in known or known["measures"][0] is not content["trust"]:
        known["measures"] = content["trust"], measure_files.enrolled(values["trust"])
    if "train" not in known or known["train"][0] is not content["train"]:
        known["train"] = content["train"], Train(**{key: flat[f"train.{key}"] for key in _TRAIN_KEYS})
    return with_contents(Settings(**values, measures=known["measures"][1], train=known["train"][1]))


def _patterns(sites: Any) -> str | tuple[str, ...]:
    """`sites`, whose names may be numbers: those of an `nn.Sequential`."""
    return tuple(map(str, sites)) if isinstance(sites, list) else str(sites)


def _choices(
    content: Mapping[Any, Any], names: Mapping[str, Any], problems: list[Problem], known: Known
) -> dict[str, Choice]:
    for group in GROUPS:
        if isinstance(content.get(group), dict) and names.get(group) in (None, "None"):
            problems.append(Problem("is not one choice", group, f"several are a sweep: actbench -m {group}=a,b"))
    if names.get("upper_activation") == conf_source.OWN:
        how = "sites=PATTERN says which activations are exchanged; the others are left as they are"
        problems.append(Problem("is for all of a network alone", f"upper_activation={conf_source.OWN}", how))
    choices = {}
    for group in GROUPS:
        of, choice = known.get(group, (None, None))
        if choice is None or of is not content.get(group):
            before = len(problems)
            choice = _choice(group, content.get(group), str(names.get(group)), problems)
            if len(problems) == before:
                known[group] = content.get(group), choice
        choices[group] = choice
    return choices


def _choice(group: str, content: Any, name: str, problems: list[Problem]) -> Choice:
    folder = "activation" if group == "upper_activation" else group
    if not isinstance(content, dict) or "_target_" not in content:
        own = next((choice for choice in choices_of(folder) if choice.own and choice.name == name), None)
        if isinstance(content, dict) and own is not None:
            what = "has no `_target_`, which says what it builds"
            problems.append(Problem(what, str(own.path), "_target_: MODULE.NAME"))
        else:
            what = "is not one of the group's choices"
            problems.append(Problem(what, f"{group}={shown(content)}", f"actbench list {group}"))
        return Choice(name)
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    defaults, comments = conf_source.values_and_comments(group, name)
    for key, value in params.items():
        if defaults is not None and key not in defaults:
            problems.append(Problem("no such key", f"{group}.{key}", nearest(key, defaults)))
            continue
        try:
            own_model = group == "model" and is_own(content["_target_"])
            rule = rule_of(group, key, (defaults or {}).get(key), comments.get(key, ""), own_model=own_model)
        except UserError as error:
            problems += error.problems
            continue
        _check(rule, f"{group}.{key}", value, problems)
        if "_target_" in str(value):
            problems.append(Problem("a parameter is a plain value", f"{group}.{key}", "no `_target_` within it"))
        params[key] = rule.normalised(value)
    return Choice(name, content["_target_"], params)


def _check(rule: Rule, key: str, value: Any, problems: list[Problem]) -> None:
    if not rule.accepts(value):
        problems.append(wrong_value(key, value, rule.expected))


def _flat(content: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The plain keys (in no group of choices), checked, as they are typed: `train.epochs`, `probe_every`."""
    flat, whole = content, True
    for group, example in (("train", "train.epochs=10"), ("decide", "decide.margin=0.1")):
        inner = content.pop(group, None)
        if isinstance(inner, dict):
            flat |= {f"{group}.{key}": value for key, value in inner.items()}
        else:
            whole = False
            problems.append(Problem("is a group of keys", f"{group}={shown(inner)}", f"{example}, say"))
    if is_int(flat.get("study")):
        flat["study"] = str(flat["study"])  # study=2024
    known = [*_PLAIN_KEYS, *(f"train.{key}" for key in _TRAIN_KEYS), *(f"decide.{key}" for key in _DECIDE_KEYS)]
    rules = plain_rules()
    for key in flat:
        if key not in known:
            problems.append(Problem("no such key", key, nearest(key, [*GROUPS, *known])))
    for key in known:
        if key in flat:
            _check(rules[key], key, flat[key], problems)
        elif whole or "." not in key:
            problems.append(Problem("is missing", key, f"leave ~{key} out"))
    return flat


def without_hydra(config: DictConfig) -> DictConfig:
    """A configuration without Hydra's own part, keeping the values that resolvers have already computed."""
    flat = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    OmegaConf.copy_cache(from_config=config, to_config=flat)
    return flat


# ---------------------------------------------------------------- registration with Hydra


@contextmanager
def composing() -> Iterator[None]:
    """Within the block `hydra.compose` knows our `conf` folder and the user's."""
    with initialize_config_dir(str(packaged_conf()), version_base="1.3", job_name="actbench"):
        yield


def register() -> None:
    """Registers our resolvers and the `conf` folders with Hydra; call it before composing."""
    OmegaConf.register_new_resolver("actbench.stamp", _stamp, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("actbench.folder", _folder, replace=True)
    conf_source.register()
    ray_node.register()


def stamp() -> str:
    """The default name of a study: the time, and random digits for runs that start in the same second."""
    import secrets
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


@lru_cache(maxsize=1)  # one folder for the plan and for Hydra
def _stamp() -> str:
    return stamp()


def _folder(*, _root_: DictConfig) -> str:
    """The name of a job's folder, where it was not planned: of a trial of a search, or in a launcher's worker."""
    return to_settings(without_hydra(_root_), _root_.hydra.runtime.choices).folder


def assumed_folder(*, _root_: DictConfig) -> str:
    """The same where it is only shown: `dataset=auto` is taken to be MNIST, so that nothing is downloaded."""
    return to_settings(without_hydra(_root_), _root_.hydra.runtime.choices, dataset=auto.ASSUMED).folder
