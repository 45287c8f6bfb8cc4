"""Loads the dataset of a run, once in a process, and says what is in it where it is the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from actbench.custom.isolation import isolated
from actbench.custom.targets import resolve
from actbench.custom.tracebacks import explain
from actbench.custom.trust import is_own
from actbench.datasets import TRAINING_SAMPLES, Splits
from actbench.datasets.checks import check_splits
from actbench.datasets.own import called
from actbench.datasets.remarks import remarks
from actbench.datasets.shared import is_untouched, seal
from actbench.datasets.streaming import Streamed
from actbench.errors import UserError, in_a_line
from actbench.settings import Choice

_WELL_KNOWN = tuple(f"actbench.datasets.{name}" for name in TRAINING_SAMPLES)  # about these there is nothing to say


def load_splits(dataset: Choice, trust: Sequence[str]) -> Splits:
    """The data of a choice.

    Raises:
        UserError: it is not trusted, it fails, or what it returns is not as `Splits` says; with all that is wrong.
    """
    key = _key(dataset, trust)
    if not is_untouched(_loaded(key)[0]):  # a job has written to them
        _loaded.cache_clear()
    return _loaded(key)[0]


def content(dataset: Choice, trust: Sequence[str]) -> str:
    """A digest of data of the user's: tensors, classes and labels; of the user's own dataset the name too."""
    return _loaded(_key(dataset, trust))[1]


def _key(dataset: Choice, trust: Sequence[str]) -> str:
    try:
        return json.dumps([dataset.name, dataset.target, dataset.params, list(trust)])
    except (TypeError, ValueError) as error:
        raise UserError("has a parameter that is not a plain value", where=f"dataset={dataset.name}") from error


@lru_cache(maxsize=2)
def _loaded(key: str) -> tuple[Splits, str]:
    name, target, params, trust = json.loads(key)
    choice, where = Choice(name, target, params), f"dataset={name}"
    loader = resolve("dataset", choice, trust)
    try:
        with isolated():  # what it does to the process would be seen by the job that happens to load alone
            splits = called(loader, params, name, where) if is_own(target) else loader(**params)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if is_own(target):
            raise UserError(explain(error, trust), where=where, how=f"mend {target}, or its parameters") from error
        raise UserError(in_a_line(error), where=where, how="actbench list dataset") from error
    if target in _WELL_KNOWN:
        return seal(splits, thorough=bool(trust)), ""
    if not isinstance(splits, Splits):
        raise UserError(
            f"{target} returned {_described(splits)}",
            where=where,
            how="return Splits(...) or make_splits(...) of arrays, both of actbench.datasets, or a torch Dataset",
        )
    check_splits(splits, where)
    splits = replace(splits, note=". ".join(filter(None, [splits.note, *remarks(splits)])))
    return seal(splits, thorough=True), _digest(splits, named=is_own(target))


def _described(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _digest(splits: Splits, *, named: bool) -> str:
    """Of the tensors, classes and labels, and, with `named`, the name: that of a folder says nothing about the data."""
    total = hashlib.sha256()
    for name, value in sorted(vars(splits).items()):
        if (
            name == "note" or (name == "labels" and not value) or (name == "name" and not named)
        ):  # data from before there were labels stay the same
            continue
        total.update(f"{name}:".encode())
        if isinstance(value, (torch.Tensor, Streamed)):
            total.update(f"{value.dtype}{tuple(value.shape)}".encode())
            parts: Any = value.split(1024) if value.ndim else [value]
            for part in parts:
                total.update(part.detach().contiguous().numpy().tobytes())
        else:
            total.update(repr(value).encode())
    return total.hexdigest()[:16]
