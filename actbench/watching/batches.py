"""What a network is called with: kept, cut and repeated without touching what the training loop holds.

A batch is the positional and the keyword arguments of one call; tensors may be nested in lists, tuples and dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from actbench.errors import UserError, a_type_of

_CHUNK = 256  # samples of a held-out tensor that are passed at a time


class Batch(NamedTuple):
    """The arguments of one call."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same with other tensors."""
        return Batch(
            tuple(_map(one, change) for one in self.args), {k: _map(v, change) for k, v in self.kwargs.items()}
        )

    def tensors(self) -> list[Tensor]:
        """All tensors in it."""
        return [*_tensors([*self.args, *self.kwargs.values()])]

    @property
    def size(self) -> int | None:
        """The number of samples: the first size that all tensors with any have in common; None where they differ.

        >>> Batch((torch.zeros(8, 3),), {"mask": torch.zeros(8, 5)}).size
        8
        """
        tensors = self.tensors()
        if any(tensor.is_nested or tensor.layout is not torch.strided for tensor in tensors):
            return None
        sizes = {len(tensor) for tensor in tensors if tensor.ndim}
        return sizes.pop() if len(sizes) == 1 else None

    def first(self, samples: int) -> Batch:
        """Its first samples, where it is known what samples are."""
        size = self.size
        return (
            self
            if size is None or size <= samples
            else self.map(lambda tensor: tensor[:samples] if tensor.ndim else tensor)
        )

    def shapes(self) -> str:
        """The shapes of its tensors without the number of samples, for messages."""
        shapes = [", ".join(["B", *map(str, tensor.shape[1:])]) for tensor in self.tensors() if tensor.ndim]
        return " and ".join(f"({shape})" for shape in dict.fromkeys(shapes)) or "no tensor"


class Kept(NamedTuple):
    """A batch that was passed, and the versions of its tensors then: one that was written to since is of no use."""

    batch: Batch
    tensors: Sequence[Tensor]
    versions: list[int]

    @classmethod
    def of(cls, batch: Batch) -> Kept:
        """The batch without its graph, which would keep memory."""
        if not batch.kwargs and len(batch.args) == 1 and type(batch.args[0]) is Tensor:  # the usual call, in no time
            tensors: Sequence[Tensor] = (batch.args[0].detach(),)
            return cls(Batch((*tensors,), {}), tensors, _versions(tensors))
        batch = batch.map(Tensor.detach)
        tensors = batch.tensors()
        return cls(batch, tensors, _versions(tensors))

    @property
    def unchanged(self) -> bool:
        """Whether its tensors hold what was passed."""
        return _versions(self.tensors) == self.versions


def _versions(tensors: Iterable[Tensor]) -> list[int]:
    return [-1 if tensor.is_inference() else tensor._version for tensor in tensors]


def joined(batches: Sequence[Batch]) -> Sequence[Batch]:
    """All samples as one batch, where the batches differ in nothing but their samples; otherwise as they are.

    >>> [batch.size for batch in joined([Batch((torch.zeros(8, 3),), {}), Batch((torch.zeros(2, 3),), {})])]
    [10]
    """
    first, *others = batches
    if not others or any(batch.size is None or not _alike(first, batch) for batch in batches):
        return batches
    columns = iter(zip(*(batch.tensors() for batch in batches), strict=True))
    return [first.map(lambda tensor: torch.cat(next(columns)) if tensor.ndim else tensor)]


def _alike(one: Batch, other: Batch) -> bool:
    """Whether two batches have tensors in the same places, of the same shape but for the samples, and nothing else."""
    if one.kwargs.keys() != other.kwargs.keys() or len(one.args) != len(other.args):
        return False
    values = [*one.args, *one.kwargs.values()], [*other.args, *other.kwargs.values()]
    return all(
        isinstance(a, Tensor) and isinstance(b, Tensor) and a.ndim == b.ndim > 0 and a.shape[1:] == b.shape[1:]
        and a.dtype == b.dtype and a.device == b.device
        for a, b in zip(*values, strict=True)
    )  # fmt: skip


def _map(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        moved = [_map(one, change) for one in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    if isinstance(value, list):
        return [_map(one, change) for one in value]
    if isinstance(value, dict):
        return {key: _map(one, change) for key, one in value.items()}
    if isinstance(value, Mapping):  # Hugging Face's BatchEncoding
        return dict(_map({**value}, change))
    return value


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif isinstance(value, Mapping):
            yield from _tensors(value.values())


# ---------------------------------------------------------------- a held-out set


@dataclass(frozen=True)
class Holdout:
    """A held-out set as it was given: a tensor x, a pair (x, y), a dict of tensors, or a DataLoader of any of these."""

    given: Any

    def __post_init__(self) -> None:
        """Raises a UserError where it is something else."""
        if isinstance(self.given, (Tensor, Mapping)) or _is_tuple_of_tensors(self.given):
            if not [*_tensors([self.given])]:
                raise UserError("has no tensors", where="actbench.watch(holdout=…)", how=_HOW)
            return
        wrong = isinstance(self.given, (list, tuple, str, bytes)) or not hasattr(self.given, "__iter__")
        if wrong or hasattr(self.given, "__next__"):
            what = f"is {a_type_of(self.given)}" + ("" if wrong else ", which has its samples only once")
            raise UserError(what, where="actbench.watch(holdout=…)", how=_HOW)

    def batches(self, like: Batch, device: torch.device) -> Iterator[Batch]:
        """What the network is called with: as many of the first tensors as it takes, or the keywords that it takes.

        Args:
            like: what the training loop calls it with.
            device: of the network.
        """
        whole = isinstance(self.given, (Tensor, Mapping)) or _is_tuple_of_tensors(self.given)
        for one in _in_chunks(self.given) if whole else self.given:
            yield _as_call(one, like).map(lambda tensor: tensor.to(device))


_HOW = "a tensor of inputs, a pair (x, y), a dict of tensors, or a DataLoader of any of these"


def _is_tuple_of_tensors(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and bool(value) and all(isinstance(one, Tensor) for one in value)


def _in_chunks(given: Any) -> Iterator[Any]:
    whole = Batch((given,), {})
    if whole.size is None:
        yield given
        return
    for start in range(0, whole.size, _CHUNK):
        yield whole.map(lambda tensor, start=start: tensor[start : start + _CHUNK]).args[0]  # type: ignore[misc]


def _as_call(one: Any, like: Batch) -> Batch:
    if isinstance(one, Mapping):
        if like.kwargs:
            return Batch((), {key: value for key, value in one.items() if key in like.kwargs})
        if len(like.args) == 1 and isinstance(like.args[0], Mapping):
            return Batch((dict(one),), {})
        what = (
            f"is a dict with {', '.join(map(repr, one))}, and the loop calls the network with tensors: {like.shapes()}"
        )
        raise UserError(
            what, where="actbench.watch(holdout=…)", how="a tensor or tuples of what the network is called with"
        )
    if isinstance(one, (tuple, list)):
        tensors = tuple(one)
        if like.kwargs and not like.args:
            return Batch((), dict(zip(like.kwargs, tensors, strict=False)))
        return Batch(tensors[: max(1, len(like.args))], {})
    return Batch((one,), {})
