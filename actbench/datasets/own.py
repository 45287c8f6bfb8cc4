"""What a dataset of the user's own returned -> Splits: they may be Splits already, or datasets of torch."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from actbench.datasets.assembling import assemble
from actbench.datasets.materialise import materialised, words_of

_OURS = ("scaling", "train_size", "size")  # parameters of a YAML file that are ours where the target has none such
_USES = ("train", "val", "test")


def called(target: Callable[..., Any], params: dict[str, Any], name: str, where: str) -> Any:
    """What the target returns; Splits of it, if that is a torch Dataset, a tuple of two or three, or a mapping of them.

    A class of torch's Dataset with a parameter `train`, which is not given, is called for training and for the test, as
    those of torchvision are; of one with `split`, `train`, `test` and `val` (`valid`, `validation`) are asked for,
    and where there is no `test`, validation is that. What there is none of is taken from the training samples, see
    `assemble`. The YAML file may say `scaling`, `train_size` and `size` for it.

    Args:
        target: a function or class.
        params: its parameters, of the YAML file.
        name: of the dataset.
        where: what messages are about.

    Raises:
        UserError: the datasets are not as `materialised` says.
        Exception: whatever the target raises.
    """
    takes = _parameters(target)
    ours = {key: params[key] for key in _OURS if key in params and takes is not None and key not in takes}
    theirs = {key: value for key, value in params.items() if key not in ours}
    made = _of_class(target, theirs, takes or ())
    parts = _parts(made)
    if parts is None:
        return made if not ours else target(**params)  # which says that it has no such parameter
    size, train, remarks = ours.get("size"), None, []
    samples = {}
    for use, dataset in parts.items():
        of_use = where if len(parts) == 1 else f"{where}, {use}"
        samples[use], remark = materialised(dataset, of_use, size=size, like=train)
        train = train or samples[use]
        remarks += [remark] if remark else []
    labels = words_of(getattr(parts["train"], "classes", None), sorted(set(samples["train"].y.tolist())))
    return assemble(
        name=name, where=where, train=samples["train"], val=samples.get("val"), test=samples.get("test"), labels=labels,
        train_size=ours.get("train_size"), scaling=ours.get("scaling", "standard"), note="".join(remarks[:1]),
    )  # fmt: skip


def _parameters(target: Callable[..., Any]) -> list[str] | None:
    """The names of its parameters; None if it takes any, or they are not known."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters]


def _of_class(target: Any, params: dict[str, Any], takes: Sequence[str]) -> Any:
    """What the target returns, for each use where it is a class of datasets that distinguishes them."""
    is_dataset = inspect.isclass(target) and issubclass(target, Dataset)
    if is_dataset:
        if "train" in takes and "train" not in params:
            return tuple(target(**params, train=train) for train in (True, False))
        if "split" in takes and "split" not in params:
            return _by_split(target, params)
    return target(**params)


def _by_split(target: Any, params: dict[str, Any]) -> dict[str, Any]:
    """The datasets of the splits that a class has; what it calls the validation split is the test where it has none."""
    parts = {"train": target(**params, split="train")}
    for use, names in (("test", ("test",)), ("val", ("val", "valid", "validation"))):
        for name in names:
            with contextlib.suppress(ValueError):  # it has no such split
                parts[use] = target(**params, split=name)
                break
    if "test" not in parts and "val" in parts:
        parts["test"] = parts.pop("val")
    return parts


def _parts(made: Any) -> dict[str, Dataset[Any]] | None:
    """Use -> dataset, or None if it is something else than datasets of torch."""
    if isinstance(made, Dataset):
        return {"train": made}
    if isinstance(made, (tuple, list)) and len(made) in (2, 3) and all(isinstance(part, Dataset) for part in made):
        uses = ("train", "test") if len(made) == 2 else _USES
        return dict(zip(uses, made, strict=True))
    if (
        isinstance(made, Mapping)
        and {"train"} <= {*made} <= {*_USES}
        and all(isinstance(p, Dataset) for p in made.values())
    ):
        return dict(made)
    return None
