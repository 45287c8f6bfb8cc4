"""Gives Hydra the files of `conf/`: ours, and those of a `conf` folder in the current folder.

Each file is parsed once in a process, since a sweep composes the same few files for every job. A file of the user's is
checked (`custom.conf_files`) before it becomes part of a configuration. The choices of `activation` are also those of
`upper_activation`.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, ListConfig, OmegaConf
from yaml import YAMLError

from actbench.choices import conf_folders, parameters_in
from actbench.command import own_models
from actbench.command.suggestions import names_of, unknown_choice
from actbench.custom import conf_files
from actbench.errors import Problem, UserError
from actbench.files.reading import read_text
from actbench.settings import GROUPS, Choice, Settings

_UPPER = "upper_activation"
OWN = "own"  # activation=own: those that a network of the user's own has
_NONE = "# nothing\n_target_: null\n"  # upper_activation=none


class ConfFolder(ConfigSource):
    """Our own folder, whose files are not checked."""

    @staticmethod
    def scheme() -> str:
        return "actbench"

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def load_config(self, config_path: str) -> ConfigResult:
        name = config_path.strip("/").removesuffix(".yaml")
        if not self.is_config(config_path):
            raise ConfigLoadError(f"Config not found : {config_path}")
        text, config = self._content(name)
        where = f"{self.scheme()}://{self.path}"
        header = self._get_header_dict(text[:512])
        if name.startswith("sweep/"):  # a preset is always about the whole configuration
            header["package"] = "_global_"
        return ConfigResult(
            provider=self.provider,
            path=where,
            config=config,
            header=header,
        )

    def is_group(self, config_path: str) -> bool:
        return self._path(config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        name = config_path.strip("/").removesuffix(".yaml")
        return name == f"{_UPPER}/none" or _typed_model(name) is not None or self._file(name).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The names of what is directly in a folder, without `.yaml`."""
        names: set[str] = {"none"} if config_path.strip("/") == _UPPER else set()
        for path in self._path(config_path).iterdir():
            if path.is_dir() and results_filter in (None, ObjectType.GROUP):
                names.add(path.name)
            if path.suffix == ".yaml" and path.is_file() and results_filter in (None, ObjectType.CONFIG):
                names.add(path.stem)
        return sorted(names)

    def _content(self, name: str) -> tuple[str, DictConfig | ListConfig]:
        if (model := _typed_model(name)) is not None:
            return parsed(own_models.as_yaml(model), name)
        return parsed(_NONE, "") if name == f"{_UPPER}/none" else _read(self._file(name))

    def _file(self, name: str) -> Path:
        path = self._path(name)
        return path.with_name(f"{path.name}.yaml")

    def _path(self, config_path: str) -> Path:
        """Where a group or a choice lies."""
        group, slash, name = config_path.strip("/").partition("/")
        return Path(self.path, f"{'activation' if group == _UPPER else group}{slash}{name}")


class UserFolder(ConfFolder):
    """A `conf` folder in the current folder, all of whose files are checked."""

    @staticmethod
    def scheme() -> str:
        return "actbench-user"

    def is_group(self, config_path: str) -> bool:
        return config_path not in _KEYS and not _leads_out(config_path) and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        return not _leads_out(config_path) and self._file(config_path.strip("/").removesuffix(".yaml")).is_file()

    def _content(self, name: str) -> tuple[str, DictConfig | ListConfig]:
        text, config = _read(self._file(name), name)
        if name.startswith("model/") and isinstance(config, DictConfig):
            own_models.add_defaults(config)
        return text, config


def _typed_model(config: str) -> str | None:
    """`mynet:Net`, of `model/mynet:Net`: a class or function that is named in place of a file, and that there is."""
    group, _, name = config.partition("/")
    return name if group == "model" and own_models.is_there(name) else None


_KEYS = {field.name for field in fields(Settings)} - {*GROUPS} | {"output_dir"}  # a folder of such a name is no group


def _leads_out(config_path: str) -> bool:
    return ".." in Path(config_path).parts


def _read(path: Path, own: str = "") -> tuple[str, DictConfig | ListConfig]:
    """A file as text and as YAML; `own` is the name of a user's file within its folder, which is then checked.

    The YAML is a new copy at each call, since Hydra takes the list of defaults out of it.
    """
    stat = path.stat()
    text, pickled = _remembered(path, own, stat.st_mtime_ns, stat.st_size)
    return text, pickle.loads(pickled)


@lru_cache(maxsize=512)
def _remembered(path: Path, own: str, _modified: int, _size: int) -> tuple[str, bytes]:
    text, config = parsed(conf_files.load(path, own) if own else read_text(path), str(path))
    return text, pickle.dumps(config)  # copied by pickling, which takes a sixth of the time of `copy.deepcopy`


def parsed(text: str, where: str) -> tuple[str, DictConfig | ListConfig]:
    """A text, and its content as YAML.

    Raises:
        UserError: it is not YAML.
    """
    try:
        return text, OmegaConf.load(io.StringIO(text))
    except (YAMLError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"is not YAML: {' '.join(str(error).split())}", where=where) from error


def values_of(group: str, name: str) -> dict[str, object] | None:
    """The content of a choice's YAML file, ours before the user's; None where there is no such file.

    It is read once, and must not be changed.
    """
    return values_and_comments(group, name)[0]


def values_and_comments(group: str, name: str) -> tuple[dict[str, object] | None, dict[str, str]]:
    """The same, and the comments behind the defaults of its parameters."""
    folder = "activation" if group == _UPPER else group
    if (model := _typed_model(f"{group}/{name}")) is not None:
        return own_models.values(model), {}
    for number, conf in enumerate(conf_folders()):
        path = conf / folder / f"{name}.yaml"
        if path.exists():
            stat = path.stat()
            own = f"{folder}/{name}" if number else ""
            return _values_and_comments(path, own, stat.st_mtime_ns, stat.st_size)
    return ({} if name == "none" and group in GROUPS else None), {}


@lru_cache(maxsize=512)
def _values_and_comments(
    path: Path, own: str, modified: int, size: int
) -> tuple[dict[str, object] | None, dict[str, str]]:
    text, pickled = _remembered(path, own, modified, size)
    content = OmegaConf.to_container(pickle.loads(pickled), resolve=False)
    values = {str(key): value for key, value in content.items()} if isinstance(content, dict) else None
    return values, {item.name: item.comment for item in parameters_in(text.splitlines())}


def choice_of(group: str, name: str) -> Choice:
    """A choice as its YAML file has it.

    Raises:
        UserError: there is none of that name.
    """
    content = values_of(group, name)
    if content is None:
        raise UserError(f"there is no such {group}", where=name, how=unknown_choice(group, name, name).how)
    target = content.get("_target_")
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    return Choice(name, None if target is None else str(target), params)


def activations(names: Sequence[str]) -> list[Choice]:
    """ReLU and the named activations, each once; all activations if none is named.

    Raises:
        UserError: with every name that is no activation.
    """
    problems: list[Problem] = []
    choices = []
    every = [name for name in names_of("activation") if name != OWN]
    for name in dict.fromkeys(["relu", *(names or every)]):
        try:
            choice = choice_of("activation", name)
            if choice.target is None:
                raise UserError("is what a network of your own has", where=name, how="name the activations: relu gelu")
            choices.append(choice)
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError.of(problems)
    return choices


class _SearchPath(SearchPathPlugin):
    """Our folder comes first, so that a user's file never replaces one of ours."""

    active = True  # no plugin can be taken out again

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if not self.active:
            return
        ours, *own = conf_folders()
        search_path.prepend("actbench", f"{ConfFolder.scheme()}://{ours}")
        for folder in own:
            search_path.append("actbench-user", f"{UserFolder.scheme()}://{folder}")


def register() -> None:
    """Registers the folders with Hydra."""
    _SearchPath.active = True
    if _SearchPath not in Plugins.instance().discover(SearchPathPlugin):
        for plugin in (_SearchPath, ConfFolder, UserFolder):
            Plugins.instance().register(plugin)


def unregister() -> None:
    """Other programs of this process, which use Hydra too, do not find our folders."""
    _SearchPath.active = False
