"""The settings of one run: frozen, plain values, no torch and no Hydra; and the identity that names them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from actbench.copies import like
from actbench.identity import DECAY, LATER_OF_DATASETS, identity_of_target, later_parameters


@dataclass(frozen=True)
class Choice:
    """The choice in one group of `conf/`: the name of its file, its target, and its parameters."""

    name: str
    target: str | None = None  # None where the choice is "nothing": norm=none, clip=none, ...
    params: dict[str, Any] = field(default_factory=dict)
    content: str | None = None  # of the user's own: digests of its source or data; None for ours

    @property
    def version(self) -> str:
        """Four hexadecimal digits that distinguish two contents for a reader."""
        return hashlib.sha256((self.content or "").encode()).hexdigest()[:4]


@dataclass(frozen=True)
class Train:
    """The keys `train.*`: epochs, batch sizes, device and how steps are executed; `conf/config.yaml` describes each."""

    epochs: int
    batch_size: int
    eval_batch_size: int
    device: str
    threads: int | None
    precision: str
    execution: str = "auto"  # runs that were trained before there was a choice do not say
    memory_format: str = "auto"
    engine: str = "auto"


GROUPS = (
    "activation",
    "upper_activation",
    "init",
    "model",
    "norm",
    "optimizer",
    "scheduler",
    "clip",
    "dataset",
    "augment",
)

DROPOUT_KINDS = ("standard", "alpha")
CONTENT = "content"  # in `Settings.flat`, behind its group: the version of what is the user's own

# Settings that cannot change results (beyond rounding) are not part of a run's identity.
_NOT_IDENTITY = (
    "seed", "num_seeds", "probe", "probe_every", "quantise", "tensorboard", "study", "trust",
    "tensorboard_every", "tensorboard_detail", "checkpoints", "dataset_note", "measures", "weights",
)  # fmt: skip
_NOT_IDENTITY_TRAIN = ("device", "threads", "eval_batch_size", "execution", "memory_format", "engine")

# Settings that are part of it where they are not as usual.
_ONLY_OTHER: dict[str, Any] = {"dropout_kind": "standard", "sites": "all", "weights_content": None}

# Settings that are not written into `settings.yaml` where they are as usual.
_UNWRITTEN = _ONLY_OTHER | {"weights": None, "tensorboard_every": 1, "tensorboard_detail": "full", "checkpoints": True}

_PLACES = ("path", "test_path")  # parameters of datasets of ours that name files of the user's


def is_torchs(optimizer: Choice) -> bool:
    """Whether an optimizer is torch's own, to whose parameters ours adds `decay`."""
    return str(optimizer.target).startswith("torch.optim.")


def decays_all(optimizer: Choice) -> bool:
    """Whether `weight_decay` is for all parameters, or for none: as it was before there was a choice."""
    chosen = optimizer.params.get(DECAY, "all")
    return not is_torchs(optimizer) or chosen == "all" or not optimizer.params.get("weight_decay")


def _now(group: str, choice: Choice) -> Choice:
    """The choice with the parameters of ours that it has not got, in front of its own; the same one each time."""
    known: dict[str, Choice] = vars(choice).setdefault("_now", {})  # many runs share one choice
    if group not in known:
        later = later_parameters(group, choice.target, choice.params)
        there = [*choice.params][: len(later)] == [*later]
        known[group] = choice if there else replace(choice, params={**later, **choice.params})
    return known[group]


def _built(kind: Any, content: Any) -> Any:
    return content if isinstance(content, kind) else kind(**content)


@dataclass(frozen=True)
class Settings:
    """Everything one run was asked for. One field for each group of `conf/` and each key of `conf/config.yaml`."""

    activation: Choice
    upper_activation: Choice
    init: Choice
    model: Choice
    norm: Choice
    optimizer: Choice
    scheduler: Choice
    clip: Choice
    dataset: Choice
    augment: Choice
    split: float
    dropout: float
    train: Train
    seed: int
    num_seeds: int
    probe: bool
    tensorboard: bool
    study: str
    trust: tuple[str, ...]
    probe_every: int | None = None  # runs that were trained before there was a choice do not say
    quantise: str = "none"
    dataset_note: str = ""  # why `dataset=auto` is not MNIST; empty otherwise
    measures: tuple[Choice, ...] = ()  # the user's own measurements, from their `conf/measure`
    sites: str | tuple[str, ...] = "all"  # of a network of the user's own: which activations are exchanged
    weights: str | None = None  # of a network of the user's own: the file that it starts from
    weights_content: str | None = None  # a digest of it
    dropout_kind: str = "standard"
    tensorboard_every: int = 1
    tensorboard_detail: str = "full"
    checkpoints: bool = True

    @property
    def seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.num_seeds))

    @cached_property
    def id(self) -> str:
        """Ten hexadecimal digits that two runs share exactly when what they compare is the same.

        Seeds are not part of it, nor is anything that cannot change a result beyond rounding: device, threads, the
        evaluation batch, measurements and sinks. Of a choice of ours its group, the name of the class or function and
        the parameters count, but not the module that it lies in. Of the user's own its target counts as it is written,
        and its content: the source of a module, the tensors of a dataset.
        """
        content = {name: getattr(self, name) for name in _IDENTITY}
        content["train"] = {name: getattr(self.train, name) for name in _IDENTITY_TRAIN}
        for group in GROUPS:
            choice: Choice = content[group]
            params = self.data_params if group == "dataset" else choice.params
            content[group] = {"target": identity_of_target(group, choice.target), "params": params}
            if choice.content is not None:  # so that the ids of runs without own code are what they always were
                content[group]["content"] = choice.content
        if self.upper_activation.target is None:
            del content["split"]
        if is_torchs(self.optimizer) and decays_all(self.optimizer):  # so that their ids are what they always were
            kept = {key: value for key, value in self.optimizer.params.items() if key != DECAY}
            content["optimizer"]["params"] = kept
        if not self.dropout:
            del content["dropout_kind"]
        for key in _ONLY_OTHER:  # so that the ids of runs without them are what they always were
            if content.get(key) == _ONLY_OTHER[key]:
                content.pop(key, None)
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def label(self) -> str:
        """A short name for people; the id beside it tells configurations with one label apart."""
        upper = f"+{self.upper_activation.name}" if self.upper_activation.target else ""
        return f"{self.activation.name}{upper}-{self.model.name.replace(':', '.')}"

    @property
    def folder(self) -> str:
        """The name of the run's folder within its study; it depends on the settings alone."""
        last = self.seed + self.num_seeds - 1
        seeds = f"seed{self.seed}" if self.num_seeds == 1 else f"seeds{self.seed}-{last}"
        return f"{self.label}-{self.id}-{seeds}"

    def protocol(self, dataset: str = "") -> tuple[object, ...]:
        """What has to be equal where runs are compared: the data, and how long they are trained on.

        Args:
            dataset: what was trained on, where an earlier version's `dataset=auto` stood for something else.
        """
        of, name = self.dataset, dataset or self.dataset.name
        params = str(sorted(self.data_params.items()))
        return name, of.target if name != "mnist" else "", params, of.content, self.train.epochs

    @property
    def data_params(self) -> dict[str, Any]:
        """The parameters of the dataset that count: not where files are whose content counts, nor any at the value by
        which earlier versions loaded the dataset.
        """
        later, nothing = LATER_OF_DATASETS, object()
        ours = str(self.dataset.target).startswith("actbench.")
        return {key: value for key, value in self._placeless().items() if not ours or later.get(key, nothing) != value}

    def _placeless(self) -> dict[str, Any]:
        """The parameters of the dataset but for where its files are, if their content counts."""
        of = self.dataset
        if of.content is None or not str(of.target).startswith("actbench."):
            return of.params
        return {key: value for key, value in of.params.items() if key not in _PLACES}

    def without_content(self) -> Settings:
        """The same settings without the digests of the user's own files."""
        return replace(self, **{group: replace(getattr(self, group), content=None) for group in GROUPS})

    def with_later_parameters(self) -> Settings:
        """The same settings with the parameters that a choice of ours has got since the run was stored."""
        changed: dict[str, Any] = {}
        for group in ("model", "dataset", "optimizer"):
            choice = getattr(self, group)
            if (now := _now(group, choice)) is not choice:
                changed[group] = now
        if not changed:
            return self
        other = like(self, **changed)
        if all(getattr(self, group).params == choice.params for group, choice in changed.items()):
            vars(other)["id"] = self.id  # only their order is another one
        return other

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `settings.yaml`, with the `id` first."""
        content: dict[str, Any] = {"id": self.id, **asdict(self), "trust": list(self.trust)}
        for group in GROUPS:
            if content[group]["content"] is None:
                del content[group]["content"]
        if not self.dataset_note:
            del content["dataset_note"]
        for key, usual in _UNWRITTEN.items():
            if content[key] == usual:
                del content[key]
        if isinstance(self.sites, tuple):
            content["sites"] = list(self.sites)
        own = content.pop("measures")
        return {**content, "measures": list(own)} if own else content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Settings:
        """The settings that `to_dict` wrote, with choices built or not; a KeyError or TypeError where it did not."""
        values = {key: value for key, value in content.items() if key != "id"}
        values |= {group: _built(Choice, content[group]) for group in GROUPS}
        if values["dataset"].name == "auto":  # of version 0.1.0, before it knew its data: counted as MNIST
            values["dataset"] = Choice("mnist", "actbench.datasets.mnist", values["dataset"].params)
        own = tuple(Choice(**choice) for choice in content.get("measures", ()))
        if isinstance(values.get("sites"), list):
            values["sites"] = tuple(values["sites"])
        train, trust = _built(Train, content["train"]), tuple(content["trust"])
        return cls(**{**values, "train": train, "trust": trust, "measures": own})

    def flat_of(self, group: str) -> dict[str, Any]:
        """The part of `flat` that the choice in one group makes; it must not be changed."""
        choice: Choice = getattr(self, group)
        known: dict[str, dict[str, Any]] = vars(choice).setdefault("_flat", {})  # many runs share one choice
        if group not in known:
            params = self._placeless() if group == "dataset" else choice.params
            known[group] = {group: choice.name, **{f"{group}.{key}": value for key, value in params.items()}}
            if choice.content is not None:
                known[group][f"{group}.{CONTENT}"] = choice.version
            if group == "optimizer" and not choice.params.get("weight_decay"):
                known[group].pop(f"optimizer.{DECAY}", None)
        return known[group]

    def flat(self) -> dict[str, Any]:
        """The settings that are part of the identity, by their keys: `activation`, `optimizer.lr`, `train.epochs`."""
        flat: dict[str, Any] = {}
        for group in GROUPS:
            flat |= self.flat_of(group)
        return flat | self.flat_rest()

    def flat_rest(self) -> dict[str, Any]:
        """The part of `flat` that no choice makes."""
        flat: dict[str, Any] = {"dropout": self.dropout}
        if self.dropout and self.dropout_kind != "standard":
            flat["dropout_kind"] = self.dropout_kind
        if self.sites != "all":
            flat["sites"] = list(self.sites) if isinstance(self.sites, tuple) else self.sites
        if self.weights_content is not None:
            flat["weights"] = f"{self.weights} {self.weights_content[:4]}"
        if self.upper_activation.target is not None:
            flat["split"] = self.split
        return flat | {key: getattr(self.train, name) for key, name in _TRAIN_KEYS}


_IDENTITY = tuple(one.name for one in fields(Settings) if one.name not in _NOT_IDENTITY)
_IDENTITY_TRAIN = tuple(one.name for one in fields(Train) if one.name not in _NOT_IDENTITY_TRAIN)
_TRAIN_KEYS = tuple((f"train.{name}", name) for name in _IDENTITY_TRAIN)
