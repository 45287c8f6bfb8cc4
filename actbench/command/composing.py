"""Hydra's composed configuration -> Settings; every complaint at once.

YAML holds values. What a key may hold is said here: by a rule in RULES, else by the type of its value in its YAML file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from actbench.choices import WORDS, choices_of, conf_folders, packaged_conf
from actbench.command.contents import with_contents
from actbench.command.suggestions import nearest, unknown_choice, wrong_value
from actbench.custom import conf_files, measures
from actbench.errors import Problem, UserError, in_words
from actbench.naming import shown
from actbench.settings import GROUPS, Choice, Settings, Train

# ---------------------------------------------------------------- what a key may hold


@dataclass(frozen=True)
class Rule:
    """`accepts` a value or not; `expected` says in words what would be right."""

    accepts: Callable[[Any], bool]
    expected: str
    real: bool = False  # a number that need not be whole: 1 and 1.0 are one value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


def _integer(low: int, high: int = 2**31 - 1, *, or_words: tuple[Any, ...] = ()) -> Rule:
    words = "".join(f", or {'null' if word is None else word}" for word in or_words)
    upto = "or more" if high == 2**31 - 1 else f"to {high}"
    return Rule(lambda v: v in or_words or (_is_int(v) and low <= v <= high), f"a whole number of {low} {upto}{words}")


def _number(test: Callable[[float], bool], expected: str, *, or_words: tuple[str, ...] = ()) -> Rule:
    words = "".join(f", or {word}" for word in or_words)
    return Rule(lambda v: v in or_words or (_is_number(v) and test(v)), f"a number {expected}{words}", real=True)


def _one_of(*words: str) -> Rule:
    return Rule(lambda v: v in words, "one of " + ", ".join(words))


def _finite(v: float) -> bool:
    return abs(v) != float("inf")


_SHARE = _number(lambda v: 0 <= v <= 1, "from 0 to 1")
_PROBABILITY = _number(lambda v: 0 <= v < 1, "from 0 to below 1")
_POSITIVE = _number(lambda v: v > 0 and _finite(v), "above 0")
_NOT_NEGATIVE = _number(lambda v: v >= 0 and _finite(v), "of 0 or more")
_SWITCH = Rule(lambda v: isinstance(v, bool), "true or false")
_MOMENTA = Rule(
    lambda v: isinstance(v, list) and len(v) == 2 and all(_is_number(b) and 0 <= b < 1 for b in v),
    "two numbers from 0 to below 1",
    real=True,
)
_SIZES = Rule(
    lambda v: isinstance(v, list) and len(v) > 0 and all(_is_int(n) and n >= 1 for n in v), "a list of sizes: [16,32]"
)
_FOLDER = Rule(
    lambda v: isinstance(v, str) and re.fullmatch(r"[\w.=,+-][\w.=,+ -]*", v) is not None and v.strip(".") != "",
    "a plain folder name: letters, digits, . _ - + = ,",
)

RULES: dict[str, Rule] = {
    **{key: _one_of(*words) for key, words in WORDS.items()},
    "split": _SHARE,
    "dropout": _PROBABILITY,
    "seed": _integer(0),
    "num_seeds": _integer(1),
    "probe": _SWITCH,
    "probe.every": _integer(1, or_words=(None,)),
    "tensorboard": _SWITCH,
    "study": _FOLDER,
    "output_dir": Rule(lambda v: isinstance(v, str) and v != "", "a folder"),
    "trust": Rule(
        lambda v: v is None or isinstance(v, str) or (isinstance(v, list) and all(isinstance(p, str) for p in v)),
        "the name of a package, or a list of names",
    ),
    "train.epochs": _integer(1),
    "train.batch_size": _integer(1),
    "train.eval_batch_size": _integer(1),
    "train.threads": _integer(1, 1024, or_words=(None,)),
    "train.device": Rule(
        lambda v: isinstance(v, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", v) is not None,
        "one of auto, cpu, cuda, cuda:N, mps",
    ),
    "model.width": _integer(1),
    "model.depth": _integer(1),
    "model.blocks": _integer(1),
    "model.dense": _integer(1),
    "model.kernel_size": _integer(1),
    "model.channels": _SIZES,
    "model.patch_size": _integer(1),
    "model.heads": _integer(1),
    "model.expansion": _integer(1),
    "activation.num_parameters": Rule(lambda v: v == "units" or (_is_int(v) and v == 1), "1 or units"),
    "activation.beta": _POSITIVE,
    "activation.fraction": _number(lambda v: 0 < v <= 1, "above 0 and up to 1"),
    "activation.k": _integer(1, or_words=(None,)),
    "init.gain": _number(lambda v: v > 0 and _finite(v), "above 0", or_words=("auto",)),
    "norm.momentum": _SHARE,
    "norm.eps": _POSITIVE,
    "optimizer.lr": _POSITIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.momentum": _PROBABILITY,
    "optimizer.alpha": _PROBABILITY,
    "optimizer.eps": _POSITIVE,
    "optimizer.betas": _MOMENTA,
    "scheduler.gamma": _POSITIVE,
    "scheduler.step_size": _integer(1),
    "scheduler.T_max": _integer(1, or_words=("total_steps",)),
    "scheduler.div_factor": _POSITIVE,
    "scheduler.final_div_factor": _POSITIVE,
    "scheduler.warmup": _SHARE,
    "scheduler.eta_min": _NOT_NEGATIVE,
    "scheduler.pct_start": _number(lambda v: 0 < v < 1, "between 0 and 1"),
    "scheduler.max_lr": _POSITIVE,
    "clip.max_norm": _POSITIVE,
    "clip.clip_value": _POSITIVE,
    "dataset.train_size": _integer(1, or_words=(None,)),
    "augment.degrees": _number(lambda v: 0 <= v <= 180, "from 0 to 180"),
    "augment.translate": _SHARE,
}


def _rule_of(key: str, default: Any) -> Rule:
    """The rule of a key; where none is written down, the type of its value in the YAML file decides."""
    rule = RULES.get(key.replace("upper_activation.", "activation."))
    if rule is not None:
        return rule
    if isinstance(default, bool):
        return _SWITCH
    if isinstance(default, int):
        return Rule(_is_int, "a whole number")
    if isinstance(default, float):
        return _number(_finite, "(finite)")
    if isinstance(default, str):
        return Rule(lambda v: isinstance(v, str), "a word")
    if isinstance(default, list):
        return Rule(lambda v: isinstance(v, list), "a list")
    return Rule(lambda _: True, "anything")


# ---------------------------------------------------------------- DictConfig -> Settings


def to_settings(config: DictConfig, names: Mapping[str, Any]) -> Settings:
    """The settings of a composed configuration; `names` are Hydra's runtime choices, group -> file.

    Raises:
        UserError: with every mistake in it.
    """
    try:
        content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(in_words(error), where="configuration", how="look at `actbench --cfg job`") from error
    assert isinstance(content, dict)
    content.pop("hydra", None)
    problems: list[Problem] = []
    for group in GROUPS:
        if isinstance(content.get(group), dict) and names.get(group) in (None, "None"):
            problems.append(Problem("is not one choice", group, f"several are a sweep: actbench -m {group}=a,b"))
    choices = {group: _choice(group, content.pop(group, None), str(names.get(group)), problems) for group in GROUPS}
    train = content.pop("train", None)
    flat: dict[str, Any] = {str(key): value for key, value in content.items()}
    if isinstance(train, dict):
        flat |= {f"train.{key}": value for key, value in train.items()}
    else:
        problems.append(Problem("is a group of keys", f"train={shown(train)}", "train.epochs=10, say"))
    if isinstance(flat.get("probe"), dict):
        flat |= {"probe": True, **{f"probe.{key}": value for key, value in flat["probe"].items()}}
    else:  # a switch
        flat |= {"probe.every": None}
    if _is_int(flat.get("study")):
        flat["study"] = str(flat["study"])  # study=2024
    known = [*_PLAIN_KEYS, *(f"train.{key}" for key in _TRAIN_KEYS)]
    for key in flat:
        if key not in known:
            problems.append(Problem("no such key", key, nearest(key, [*GROUPS, *known])))
    for key in known:
        if key in flat:
            _hold(RULES[key], key, flat[key], problems)
        elif not key.startswith("train.") or isinstance(train, dict):
            problems.append(Problem("is missing", key, f"leave ~{key} out"))
    if problems:
        raise UserError.of(problems)
    trust = flat["trust"] or []
    plain = {key.replace(".", "_"): flat[key] for key in _PLAIN_KEYS if key != "output_dir"}
    values: dict[str, Any] = {**choices, **plain}
    values |= {"split": float(flat["split"]), "dropout": float(flat["dropout"])}
    values |= {"trust": tuple([trust] if isinstance(trust, str) else trust)}
    values |= {"measures": measures.enrolled(values["trust"])}
    return with_contents(Settings(**values, train=Train(**{key: flat[f"train.{key}"] for key in _TRAIN_KEYS})))


_TRAIN_KEYS = [f.name for f in fields(Train)]
_PLAIN_KEYS = [  # as they are typed: the field `probe_every` is the key `probe.every`
    *(f.name.replace("_every", ".every") for f in fields(Settings) if f.name not in (*GROUPS, "train", "measures")),
    "output_dir",
]


def _hold(rule: Rule, key: str, value: Any, problems: list[Problem]) -> None:
    if not rule.accepts(value):
        problems.append(wrong_value(key, value, rule.expected))


def _real(value: Any) -> Any:
    return float(value) if _is_int(value) else value


def _choice(group: str, content: Any, name: str, problems: list[Problem]) -> Choice:
    own = [
        one
        for one in choices_of("activation" if group == "upper_activation" else group)
        if one.own and one.name == name
    ]
    if isinstance(content, dict) and "_target_" not in content and own:
        problems.append(
            Problem("has no `_target_`, which says what it builds", str(own[0].path), "_target_: MODULE.NAME")
        )
        return Choice(name)
    if not isinstance(content, dict) or "_target_" not in content:
        problems.append(
            Problem("is not one of the group's choices", f"{group}={shown(content)}", f"actbench list {group}")
        )
        return Choice(name)
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    defaults = _defaults(group, name)
    for key, value in params.items():
        if defaults is not None and key not in defaults:
            problems.append(Problem("no such key", f"{group}.{key}", nearest(key, defaults)))
            continue
        rule = _rule_of(f"{group}.{key}", (defaults or {}).get(key))
        _hold(rule, f"{group}.{key}", value, problems)
        if "_target_" in str(value):
            problems.append(Problem("a parameter is a plain value", f"{group}.{key}", "no `_target_` within it"))
        if rule.real and rule.accepts(value):
            params[key] = [float(v) for v in value] if isinstance(value, list) else _real(value)
    return Choice(name, content["_target_"], params)


def _own_file(group: str, name: str) -> Path | None:
    """The file of a choice of the user's own."""
    folder = "activation" if group == "upper_activation" else group
    return next((one.path for one in choices_of(folder) if one.own and one.name == name), None)


def _defaults(group: str, name: str) -> dict[str, Any] | None:
    """The values in the YAML file of a choice; None where it is not one file of ours or of the user's `./conf`."""
    folder = "activation" if group == "upper_activation" else group
    for conf in conf_folders():
        path = conf / folder / f"{name}.yaml"
        if path.exists():
            content = OmegaConf.to_container(_load(path), resolve=False)
            return {str(key): value for key, value in content.items()} if isinstance(content, dict) else None
    return {} if name == "none" else None


def choice_of(group: str, name: str) -> Choice:
    """A choice as its YAML file has it.

    Raises:
        UserError: there is none of that name.
    """
    content = _defaults(group, name)
    if content is None:
        told = unknown_choice(group, name, name)
        raise UserError(f"there is no such {group}", where=name, how=told.how)
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    return Choice(name, content.get("_target_"), params)


def _load(path: Path) -> Any:
    if path.is_relative_to(packaged_conf()):
        return OmegaConf.load(path)
    return _made(conf_files.load(path, f"{path.parent.name}/{path.stem}"), path)


def _made(text: str, path: Path) -> Any:
    try:
        return OmegaConf.load(io.StringIO(text))
    except (YAMLError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"is not YAML: {' '.join(str(error).split())}", where=str(path)) from error


# ---------------------------------------------------------------- composing


@lru_cache(maxsize=1)  # the plan and Hydra speak of one folder
def _stamp() -> str:
    """A study of one's own: the time, and something that three runs of the same second do not share."""
    import secrets
    from datetime import datetime

    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


def _folder(*, _root_: DictConfig) -> str:
    return to_settings(_without_hydra(_root_), _root_.hydra.runtime.choices).folder


def _without_hydra(root: DictConfig) -> DictConfig:
    flat = OmegaConf.masked_copy(root, [str(key) for key in root if key != "hydra"])
    OmegaConf.copy_cache(from_config=root, to_config=flat)
    return flat


class OwnFiles(FileConfigSource):
    """The files of a `conf` folder where the command is typed: none comes into a configuration before it was judged.

    The choices of `activation` are those of `upper_activation` as well.
    """

    @staticmethod
    def scheme() -> str:
        return "actbench"

    def load_config(self, config_path: str) -> ConfigResult:
        config = self._within(config_path)
        path = Path(self.path) / self._normalize_file_name(config)
        text = conf_files.load(path, config.removesuffix(".yaml"))
        header = ConfigSource._get_header_dict(text[:512])
        return ConfigResult(
            config=_made(text, path), path=f"{self.scheme()}://{self.path}", provider=self.provider, header=header
        )

    def is_group(self, config_path: str) -> bool:
        return config_path not in _PLAIN_KEYS and super().is_group(self._within(config_path))

    def is_config(self, config_path: str) -> bool:
        return super().is_config(self._within(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return super().list(self._within(config_path), results_filter)

    def _within(self, config_path: str) -> str:
        """Where a choice lies; one that leads out of the folder, or that ours has, nowhere."""
        group, slash, name = config_path.strip("/").partition("/")
        if group == "upper_activation":
            ours = packaged_conf() / "activation" / self._normalize_file_name(name)
            return "" if slash and ours.is_file() else f"activation{slash}{name}"
        return "" if ".." in Path(config_path).parts else config_path


class _UserConf(SearchPathPlugin):
    """A `conf` folder where the command is typed adds to the choices."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in conf_folders()[1:]:
            search_path.append("actbench-user", f"{OwnFiles.scheme()}://{folder}")


def register() -> None:
    """Tells Hydra what it must know before it composes: our resolvers, the user's `./conf`, and `upper_activation`."""
    OmegaConf.register_new_resolver("actbench.stamp", _stamp, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("actbench.folder", _folder, replace=True)
    if _UserConf not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(_UserConf)
        Plugins.instance().register(OwnFiles)
    store = ConfigStore.instance()
    store.store(group="upper_activation", name="none", node={"_target_": None})
    for choice in choices_of("activation"):
        if not choice.own:
            store.store(group="upper_activation", name=choice.name, node=_load(choice.path))
