"""Access to Hydra's own settings: those that may be typed, those that a user's YAML file may change, and the others.

Users need installed launchers and sweepers with their plain parameters. Everything else decides where files are
written, what is imported and called, or what is printed, which actbench does itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from actbench.choices import conf_folders
from actbench.command.override import key_of
from actbench.command.suggestions import Mistake, brief, enumerated
from actbench.command.vocabulary import DOORS
from actbench.custom.conf_files import is_inside
from actbench.errors import Problem, UserError
from actbench.files.reading import read_yaml

PLUGINS = ("launcher", "sweeper")
_EXTRAS = {
    "joblib": "pip install 'actbench[parallel]'",
    "slurm": "pip install 'actbench[slurm]'",
    "optuna": "pip install 'actbench[search]'",
    "submitit_local": "pip install 'actbench[slurm]'",
    "submitit_slurm": "pip install 'actbench[slurm]'",
    "ray": "pip install 'actbench[ray]'",
}
_OURS = {"slurm": "hydra_plugins.hydra_submitit_launcher"}  # choices of `conf/hydra` -> what has to be installed

# What a YAML file in ./conf may set of a launcher or sweeper: amounts and names. Commands and addresses are typed.
FROM_FILES = {
    "launcher": {
        "n_jobs", "timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name",
        "partition", "qos", "account", "constraint", "array_parallelism", "max_num_timeout", "cpus_per_gpu",
        "gpus_per_task", "mem_per_gpu", "mem_per_cpu", "signal_delay_s", "comment", "gres", "exclusive", "verbose",
        "timeout",
    },
    "sweeper": {
        "params", "n_trials", "n_jobs", "direction", "max_batch_size", "study_name", "max_failure_rate", "sampler",
        "pruner",
    },
}  # fmt: skip
_WITHIN_PLUGINS = [door for door in DOORS if door.startswith(tuple(f"hydra.{kind}." for kind in PLUGINS))]
_FREE = ("hydra.overrides", "hydra.runtime", "hydra.job.num", "hydra.job.id", "hydra.job.override_dirname")


def is_hydras(override: str) -> bool:
    """Whether an override is about Hydra itself."""
    key = key_of(override)
    return key == "hydra" or key.startswith(("hydra.", "hydra/", "hydra@"))


def typed(override: str) -> Problem | None:
    """What is wrong with an override of Hydra's own settings; None where it may be typed."""
    key, _, value = override.lstrip("+~").partition("=")
    where = brief(override)
    if key.partition("/")[0] == "hydra" and key.removeprefix("hydra/") in PLUGINS and not override.startswith("~"):
        return _plugin(key, value, override)
    inner = key.startswith(tuple(f"hydra{link}{kind}{link}" for kind in PLUGINS for link in "./"))
    closed = "_target_" in override or any(key == door or key.startswith(f"{door}.") for door in _WITHIN_PLUGINS)
    if inner and not closed and not override.startswith("~"):
        return None
    if key == "hydra.mode" and value.upper() == "MULTIRUN":
        return Mistake("is written as a flag", where, DOORS["hydra.mode"], key=key, words=(), sweep=True)
    fitting = [door for door in DOORS if key == door or key.startswith((f"{door}.", f"{door}/", f"{door}@"))]
    what = "cannot be removed" if override.startswith("~") else "cannot be changed here"
    return Problem(what, where, DOORS[max(fitting, key=len)])


def _plugin(key: str, value: str, override: str) -> Problem | None:
    names = [name for name in _options(key) if not _own_file(key, name) and _is_installed(name)]
    if value in names:
        return (
            None
            if override == f"{key}={value}"
            else Mistake("is chosen without a +", override, key=key, words=(f"{key}={value}",))
        )
    kind = key.removeprefix("hydra/")
    if _own_file(key, value):
        return Problem(
            "must be an installed plugin",
            override,
            f"there are {enumerated(names)}; parameters are typed: hydra.{kind}.KEY=VALUE",
        )
    if value in _EXTRAS:
        return Problem(f"there is no {kind} called {brief(value)}", brief(override), f"{_EXTRAS[value]} brings it")
    return _no_such(kind, value, names, override)


def of_a_part(override: str) -> Problem | None:
    """The problem of a choice of a part of the sweeper that does not exist: `hydra/sweeper/pruner=foo`."""
    key, _, value = override.lstrip("+~").partition("=")
    names = _options(key) if key.count("/") > 1 else []
    return _no_such(key.rpartition("/")[2], value, names, override) if names and value not in names else None


def _no_such(kind: str, value: str, names: Sequence[str], override: str) -> Problem:
    what, how = f"there is no {kind} called {brief(value)}", f"there are {enumerated(names)}"
    if near := difflib.get_close_matches(value.lower(), names, n=1):
        values = ((value, near[0]),)
        return Mistake(what, override, f"did you mean {near[0]}? {how}", key=key_of(override), values=values)
    return Problem(what, brief(override), how)


def _is_installed(name: str) -> bool:
    return name not in _OURS or (find_spec("hydra_plugins") is not None and find_spec(_OURS[name]) is not None)


def _options(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return list(loader.get_group_options(group, results_filter=ObjectType.CONFIG))


def _own_file(group: str, name: str) -> Path | None:
    """The file in the user's `./conf` that stands for a choice of Hydra's."""
    for conf in conf_folders()[1:]:
        for ending in ("yaml", "yml"):
            if name and (path := conf / group / f"{name}.{ending}").exists():
                return path
    return None


def in_the_way() -> list[Problem]:
    """Files of the user's that would take the place of what Hydra itself starts with."""
    paths = [_own_file(f"hydra/{kind}", "basic") for kind in PLUGINS]
    how = "rename it: installed plugins are chosen by hydra/launcher=NAME"
    return [Problem("Hydra's own settings are no files of yours", _near(path), how) for path in paths if path]


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def composed(hydra: DictConfig, overrides: Sequence[str]) -> list[Problem]:
    """What YAML files have changed of Hydra's settings, beyond what was typed and may be changed by files.

    Args:
        hydra: the composed configuration's `hydra`.
        overrides: what was typed, after `typed` found nothing wrong with it.
    """
    choices: Mapping[str, Any] = hydra.runtime.choices
    for group, name in choices.items():
        path = _own_file(group, str(name)) if group.startswith("hydra/") else None
        if path is not None:
            return [
                Problem(
                    "Hydra's own settings are no files of yours", str(path), "installed plugins: hydra/launcher=NAME"
                )
            ]
    where = _sources(choices)
    content = _plain(hydra)
    targets = [value for kind in PLUGINS for value in _targets(content[kind])]
    foreign = [target for target in targets if target not in _installed()]
    if foreign:
        return [
            Problem(
                f"`_target_: {brief(foreign[0])}` is no installed launcher or sweeper",
                where,
                DOORS["hydra.launcher._target_"],
            )
        ]
    keys = {key_of(override) for override in overrides if is_hydras(override)}
    keys |= {key.replace("/", ".") for key in keys}
    swept = [key for key in content["sweeper"].get("params") or () if is_hydras(str(key))]
    if swept:
        return [Problem(f"sweeps {swept[0]}, which no file may", where, "a preset sweeps settings of a run")]
    changed = [key for key, value in _flat(content).items() if _unlike(key, value, keys)]
    return [Problem(f"sets {key}, which no file may", where, _instead(key)) for key in changed[:3]]


def _instead(key: str) -> str:
    if any(key.startswith(f"hydra.{kind}.") for kind in PLUGINS):
        return f"type it: {key}=VALUE"
    return DOORS[max((door for door in DOORS if key == door or key.startswith(f"{door}.")), key=len)]


def _unlike(key: str, value: Any, typed_keys: Collection[str]) -> bool:
    """Whether a file has changed a key that no file may change."""
    if any(key == other or key.startswith(f"{other}.") for other in (*_FREE, *typed_keys)):
        return False
    for kind in PLUGINS:
        if key.startswith(f"hydra.{kind}."):
            name = key.split(".", 2)[2]
            return name.partition(".")[0] not in FROM_FILES[kind] and not _as_installed(kind, name, value)
    return _baseline().get(key) != value


def _as_installed(kind: str, name: str, value: Any) -> bool:
    """Whether a parameter has the value of a plugin, or of our choice of it; `_target_`s were judged before."""
    nodes = [_plain(node) for node in _nodes(ConfigStore.instance().repo["hydra"][kind])]
    nodes += [read_yaml(path) for path in sorted((conf_folders()[0] / "hydra" / kind).glob("*.yaml"))]
    return name == "_target_" or any(name in node and node[name] == value for node in nodes)


@lru_cache(maxsize=1)
def _baseline() -> dict[str, Any]:
    return _flat(_plain(compose("config", return_hydra_config=True).hydra))


def _installed() -> frozenset[str]:
    """The `_target_`s that installed plugins bring, and the search that takes the place of one."""
    return _brought_by((*Plugins.instance().discover(Launcher), *Plugins.instance().discover(Sweeper)))


@lru_cache(maxsize=4)
def _brought_by(classes: tuple[type, ...]) -> frozenset[str]:
    targets = {f"{cls.__module__}.{cls.__qualname__}" for cls in classes}
    nodes = list(_nodes(ConfigStore.instance().repo.get("hydra", {})))
    return frozenset({*targets, *(target for node in nodes for target in _targets(_plain(node)))})


def _nodes(repo: Mapping[str, Any]) -> Iterator[Any]:
    for item in repo.values():
        if isinstance(item, dict):
            yield from _nodes(item)
        elif isinstance(item.node, DictConfig):
            yield item.node


def _targets(content: Any) -> Iterator[str]:
    """All that is named by a `_target_`, at any depth."""
    if isinstance(content, dict):
        if "_target_" in content:
            yield str(content["_target_"])
        for value in content.values():
            yield from _targets(value)
    elif isinstance(content, list):
        for value in content:
            yield from _targets(value)


def _plain(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False)


def _flat(content: Any, prefix: str = "hydra") -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    return {key: value for name, inner in content.items() for key, value in _flat(inner, f"{prefix}.{name}").items()}


def _sources(choices: Mapping[str, Any]) -> str:
    """The user's files among those that were chosen: one of them says it."""
    files = []
    for conf in conf_folders()[1:]:
        for group, name in choices.items():
            for chosen in name if isinstance(name, (list, tuple)) else [name]:
                path = conf / ("activation" if group == "upper_activation" else group) / f"{chosen}.yaml"
                if path.exists():
                    files.append(_near(path))
    return ", ".join(dict.fromkeys(files)) or "the configuration"


def is_for_sweeps(override: str) -> bool:
    """Whether an override is about who makes the jobs of a sweep, and who starts them."""
    return key_of(override).replace("/", ".").startswith(("hydra.launcher", "hydra.sweeper"))


# ---------------------------------------------------------------- what is for typing alone


def for_typing(config: Any, overrides: Sequence[str]) -> list[Problem]:
    """What of a composed configuration only the one who types may say, and was said by a file.

    Looked at in what was composed, whatever way it came in, and before anything that is trusted is imported.
    """
    typed = {key_of(override) for override in overrides}
    problems = []
    if config.get("trust") is not None and "trust" not in typed:
        how = "type trust=NAME yourself, if NAME is yours"
        problems.append(Problem("cannot be switched on by a file", "trust", how))
    folder = config.get("output_dir")
    if "output_dir" not in typed and not is_inside(folder):
        problems.append(Problem("leads out of this folder, and no file may", "output_dir", "type output_dir=FOLDER"))
    return problems


def check(config: Any, overrides: Sequence[str]) -> None:
    """The same for a job, which may run in another process.

    Raises:
        UserError: a file has said what only the one who types may say.
    """
    if problems := for_typing(config, overrides):
        raise UserError.of(problems)
