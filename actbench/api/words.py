"""What `compare` and `run` are given, as the words of a command line."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from actbench.api import definitions, loaded, source
from actbench.api.arrays import as_arrays
from actbench.api.kept import Kept
from actbench.command import own_models
from actbench.command.override import key_of
from actbench.command.quoting import split, typed
from actbench.command.suggestions import names_of
from actbench.custom import signatures
from actbench.custom.trust import LIBRARIES
from actbench.errors import Problem, UserError, a_type_of

_OVERRIDE = "KEY=VALUE, as in actbench.compare('train.epochs=3') or actbench.compare(train__epochs=3)"
_MODEL = "a name such as 'mlp' or 'mynet:Net', a class of torch.nn.Module, or a function that returns a new network"
_ACTIVATION = "a name such as 'gelu', a class of torch.nn.Module, or a function of a tensor"
_DATA = (
    "a name such as 'mnist', a folder or file, arrays (x, y) or ((x_train, y_train), (x_test, y_test)), or a Dataset"
)


class Words:
    """The words of a command line, as they are put together; objects are kept in the study's folder.

    Attributes:
        words: without the flag of a sweep, and without `trust`.
        problems: with arguments that cannot be used, whose words are missing.
    """

    def __init__(self, overrides: Iterable[Any], keys: Mapping[str, Any]) -> None:
        self.words: list[str] = []
        self.problems: list[Problem] = []
        self._trusted: list[str] = []
        self._model_is_known = True  # unless one was given that cannot be used
        for word in overrides:
            self._override(word)
        for key, value in keys.items():
            self._key(key.replace("__", "."), value)

    @property
    def all(self) -> list[str]:
        """With what is trusted; without what is about a model that is not known."""
        words = self.words if self._model_is_known else [word for word in self.words if not _is_of_model(word)]
        trusted = [*dict.fromkeys(self._trusted)]
        return [*words, *([f"trust=[{','.join(trusted)}]"] if trusted else [])]

    def value(self, key: str) -> str | None:
        """What was given for a key; None where it was not."""
        given = [word.partition("=")[2] for word in self.words if key_of(word) == key]
        return given[-1].strip("'\"") if given else None

    def take_several(self, how: str) -> list[Problem]:
        """Takes the words with several values out, of which a sweep would be made; a problem for each."""
        several = [word for word in self.words if len(split(word.partition("=")[2])) > 1]
        self.words = [word for word in self.words if word not in several]
        return [Problem("has several values", word, how) for word in several]

    def add(self, key: str, text: Any) -> None:
        """The word for a key whose value is a text."""
        self.words.append(typed(key, text))

    # ------------------------------------------------------------ overrides

    def _override(self, word: Any) -> None:
        if not isinstance(word, str):
            self._wrong("is no override", _shown(word), _OVERRIDE)
        elif word.startswith("-"):
            how = "leave it out: activations= are compared" if word in ("-m", "--multirun") else _OVERRIDE
            self._wrong("is a flag of the command", word, how)
        elif "=" not in word and not word.startswith("~"):
            self._wrong("is no override", word, _OVERRIDE)
        elif key_of(word) == "trust":
            self._trusted += [name for name in split(word.partition("=")[2].strip("[]")) if name]
        else:
            self.words.append(word)

    def _key(self, key: str, value: Any) -> None:
        if key == "trust":
            self._trusted += [value] if isinstance(value, str) else [*value]
            return
        try:
            self.words.append(f"{key}={_value(value)}")
        except TypeError:
            self._wrong(f"is {a_type_of(value)}, not a plain value", key, "a number, a word, or a list of these")

    def _wrong(self, what: str, where: str, how: str) -> None:
        self.problems.append(Problem(what, where, how))

    # ------------------------------------------------------------ objects

    def model(self, model: Any, kept: Kept) -> None:
        """A name, a class or a function."""
        before = len(self.problems)
        self._model(model, kept)
        self._model_is_known = len(self.problems) == before

    def _model(self, model: Any, kept: Kept) -> None:
        if isinstance(model, str):
            if signatures.target_of(model):
                self._try(lambda: loaded.check_loaded(signatures.module_of(model)))
            self.words.append(f"model={model}")
        elif not definitions.is_definition(model):
            is_network = hasattr(model, "state_dict")
            how = "the class, or a function that returns a new one: each seed begins with its own" if is_network else ""
            self._wrong(f"is {_a(model)}, neither the name of a model nor a class or function", "model", how or _MODEL)
        else:
            self._try(lambda: self.words.append(f"model={self._of_model(model, kept)}"))

    def _of_model(self, model: Any, kept: Kept) -> str:
        home = source.module_of(model)
        if home is not None and home.partition(".")[0] in LIBRARIES:
            how = f"a function that returns one: def make(): return {model.__name__}(...)"
            raise UserError(f"`{model.__name__}` is from {home.partition('.')[0]}", where="model", how=how)
        if home is not None:
            return f"{home}:{model.__qualname__}"
        module = self._kept(model, source.source_of(model, "model"), kept)
        text = own_models.as_yaml(f"{module}:{model.__name__}")
        name = definitions.free(model.__name__, "model", text)
        kept.choice("model", name, text)
        return name

    def activations(self, activations: Any, kept: Kept) -> None:
        """Names, classes and functions."""
        if isinstance(activations, (str, bytes)) or not isinstance(activations, Iterable):
            self._wrong(f"is {_a(activations)}, not a list", "activations", "activations=['relu', 'gelu']")
            return
        names: list[str] = []
        for one in activations:
            self._try(lambda one=one: names.append(self._activation(one, kept)))
        if not self._model_is_known:
            names = [name for name in names if name != "own"]
        if names:
            self.words.append(f"activation={','.join(dict.fromkeys(names))}")
        elif not self.problems:
            self._wrong("there are none to compare", "activations", "activations=['relu', 'gelu']")

    def _activation(self, one: Any, kept: Kept) -> str:
        where = f"activations, {getattr(one, '__name__', None) or type(one).__name__}"
        if isinstance(one, str):
            if not one or {*one} & {*",= "}:
                raise UserError("is not one name", where=f"activations, {one!r}", how="activations=['relu', 'gelu']")
            return one
        if not definitions.is_definition(one) and not inspect.isbuiltin(one):
            is_module = hasattr(one, "state_dict")
            how = "the class, or a function that returns a new one: each layer has its own" if is_module else ""
            raise UserError(
                f"is {_a(one)}, neither a name nor a class or function", where=where, how=how or _ACTIVATION
            )
        if (known := definitions.named(one)) is not None:
            return known
        home = source.module_of(one)
        if home is not None and home.partition(".")[0] in LIBRARIES and inspect.isclass(one):
            target = f"torch.nn.{one.__name__}" if home.startswith("torch.nn.") else f"{home}.{one.__qualname__}"
            return self._choice(one, target, {}, kept)
        if home is not None and (inspect.isclass(one) or not definitions.takes_a_tensor(one)):
            self._trusted.append(home)
            target = f"{home}.{one.__qualname__}"
            return self._choice(one, target, definitions.defaults(target, where), kept)
        if inspect.isclass(one) or not definitions.takes_a_tensor(one):
            module = self._kept(one, source.source_of(one, where), kept)
            target = f"{module}.{one.__name__}"
            return self._choice(one, target, definitions.defaults(target, where), kept)
        module = self._kept(one, source.as_activation(one, where), kept)
        return self._choice(one, f"{module}.{source.WRAPPED}", {}, kept)

    def _choice(self, one: Any, target: str, params: Mapping[str, Any], kept: Kept) -> str:
        content = {"_target_": target, "_partial_": True, **params}
        text = f"# {target}\n{yaml.safe_dump(content, sort_keys=False)}"
        name = definitions.free(one.__name__, "activation", text)
        kept.choice("activation", name, text)
        return name

    def _kept(self, one: Any, text: source.Source, kept: Kept) -> str:
        module = kept.module(one.__name__, text)
        self._trusted += [module, *text.own]
        return module

    def data(self, data: Any, kept: Kept) -> None:
        """A name, a path, arrays or a Dataset of torch."""
        if isinstance(data, (str, Path)):
            self._try(lambda: self._path(data))
            return
        arrays: list[Mapping[str, Any]] = []
        self._try(lambda: arrays.append(as_arrays(data, _DATA)))
        if arrays:
            self.words.append("dataset=arrays")
            self.add("dataset.path", kept.arrays(arrays[0]))

    def _path(self, data: str | Path) -> None:
        if not str(data).strip():
            raise UserError("is empty", where="data", how=_DATA)
        path = expanded(data)
        if isinstance(data, str) and (
            data in names_of("dataset") or ("/" not in data and not path.exists() and not path.suffix)
        ):
            self.words.append(f"dataset={data}")
            return
        if not path.exists():
            raise UserError("there is no such file or folder", where=f"data={data}", how=_DATA)
        kind = "images" if path.is_dir() and not [*path.glob("*.npy")] else "arrays"
        self.words.append(f"dataset={'csv' if path.suffix.lower() in ('.csv', '.tsv') else kind}")
        self.add("dataset.path", str(path))

    def _try(self, add: Any) -> None:
        try:
            add()
        except UserError as error:
            self.problems += error.problems


# ---------------------------------------------------------------- values


def expanded(path: str | Path) -> Path:
    """The path with the user's home for `~`; one of a user who is not known stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _value(value: Any) -> str:
    """A value as it is typed; a string is what would be typed itself."""
    if isinstance(value, str):
        return value
    if isinstance(value, Path):
        return typed("x", str(value)).removeprefix("x=")
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a number of NumPy's, also where it is a float
        return _value(value.item())
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Sequence):
        return f"[{','.join(map(_value, value))}]"
    raise TypeError


def _is_of_model(word: str) -> bool:
    key = key_of(word) or ""
    return key.startswith("model.") or key in ("sites", "weights") or word == "init=own"


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."


def _a(value: Any) -> str:
    return "nothing" if value is None else a_type_of(value)
