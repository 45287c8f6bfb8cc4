"""Data that exist as objects -> NumPy arrays by the names that `dataset=arrays` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actbench.errors import Problem, UserError, a_type_of


def as_arrays(data: Any, expected: str) -> Mapping[str, Any]:
    """`x_train`, `y_train`, and `x_test`, `y_test` where there is a part for the test.

    Args:
        data: (x, y), ((x_train, y_train), (x_test, y_test)), a Dataset of torch, or (train, test) of these.
        expected: what data may be, for messages.

    Raises:
        UserError: it is something else, or samples and labels do not fit; with all that is wrong.
    """
    problems: list[Problem] = []
    arrays: dict[str, Any] = {}
    for use, part in _parts(data, expected).items():
        where = "data" if use == "train" else "data, for the test"
        try:
            x, y = _of_dataset(part, where) if _is_dataset(part) else _pair(part, where)
            arrays |= {f"x_{use}": x, f"y_{use}": y}
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError.of(problems)
    return arrays


def _parts(data: Any, expected: str) -> dict[str, Any]:
    if _is_dataset(data):
        return {"train": data}
    if isinstance(data, (tuple, list)) and len(data) == 2:
        if all(_is_dataset(part) or _is_pair(part) for part in data):
            return {"train": data[0], "test": data[1]}
        if _is_pair(data):
            return {"train": data}
    loader = hasattr(data, "dataset") and hasattr(data, "batch_size")
    how = "its dataset: data=loader.dataset" if loader else expected
    kind = f"{a_type_of(data)} of {len(data)}" if isinstance(data, (tuple, list)) else a_type_of(data)
    raise UserError(f"is {'nothing' if data is None else kind}", where="data", how=how)


def _is_dataset(part: Any) -> bool:
    import torch

    return isinstance(part, torch.utils.data.Dataset)


def _is_pair(part: Any) -> bool:
    """Whether it is (x, y): two things with several elements that are not pairs themselves."""
    return isinstance(part, (tuple, list)) and len(part) == 2 and all(map(_is_arrayish, part))


def _is_arrayish(one: Any) -> bool:
    return hasattr(one, "__array__") or (isinstance(one, list) and len(one) > 0)


def _pair(part: Any, where: str) -> tuple[Any, Any]:
    x, y = (_array(one, f"{where}, {name}") for one, name in zip(part, ("x", "y"), strict=True))
    if x.ndim < 2:
        raise UserError(
            f"has the shape {x.shape}", where=f"{where}, x", how="samples (N, F), (N, H, W) or (N, H, W, C)"
        )
    if len(x) != len(y):
        raise UserError(
            f"there are {len(x):,} samples and {len(y):,} labels", where=where, how="a label for each sample"
        )
    return x, y


def _array(one: Any, where: str) -> Any:
    import numpy as np
    import torch

    if isinstance(one, torch.Tensor):
        one = one.detach().cpu()
        one = one.float() if one.dtype is torch.bfloat16 else one
        if one.layout is not torch.strided or one.is_nested:
            raise UserError("is a tensor that is not dense", where=where, how="x.to_dense(), say")
    try:
        array = np.asarray(one)
    except (ValueError, TypeError) as error:
        raise UserError("is no array: its rows differ in length", where=where, how="rows of one length") from error
    if array.dtype == object and all(isinstance(value, str) for value in array.ravel()):
        array = array.astype(str)
    if array.dtype == object:
        raise UserError("holds Python objects", where=where, how="an array of numbers; labels may be words")
    return array


def _of_dataset(dataset: Any, where: str) -> tuple[Any, Any]:
    from actbench.datasets.materialise import materialised
    from actbench.datasets.streaming import Stored

    samples, _ = materialised(dataset, where)
    x = samples.x.array if isinstance(samples.x, Stored) else samples.x
    return x, samples.y
