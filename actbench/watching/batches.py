"""What a network is called with: kept, cut and repeated without touching what the training loop holds.

A batch is the positional and the keyword arguments of one call; tensors may be nested in lists, tuples, dicts and
objects such as dataclasses.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
    """Whether two batches have tensors in the same places, of the same shape but for the samples, and nothing else.

    Where no tensor has more than one axis, it may be that of a single sample.
    """
    if one.kwargs.keys() != other.kwargs.keys() or len(one.args) != len(other.args):
        return False
    values = [*one.args, *one.kwargs.values()], [*other.args, *other.kwargs.values()]
    return max((tensor.ndim for tensor in one.tensors()), default=0) > 1 and all(
        isinstance(a, Tensor) and isinstance(b, Tensor) and a.ndim == b.ndim > 0 and a.shape[1:] == b.shape[1:]
        and a.dtype == b.dtype and a.device == b.device
        for a, b in zip(*values, strict=True)
    )  # fmt: skip


def _map(value: Any, change: Callable[[Tensor], Tensor], depth: int = 0) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        moved = [_map(one, change, depth) for one in value]
        if hasattr(value, "_fields"):
            return type(value)(*moved)
        return tuple(moved) if type(value) is tuple else value  # a torch.Size
    if isinstance(value, list):
        return [_map(one, change, depth) for one in value]
    if isinstance(value, Mapping):
        return _mapping({key: _map(one, change, depth) for key, one in value.items()}, value)
    if depth == _DEPTH or not holds_tensors(value):
        return value
    try:
        copied = copy.copy(value)
    except Exception:  # it is no plain holder of values
        return value
    for name, one in _attributes(value).items():
        object.__setattr__(copied, name, _map(one, change, depth + 1))  # also of a frozen dataclass
    return copied


def _mapping(items: dict[Any, Any], like: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Of the kind that `forward` expects: some have their items as attributes, as Hugging Face's BatchEncoding has."""
    if type(like) is dict:
        return items
    try:
        copied: Any = copy.copy(like)
        copied.update(items)
    except Exception:  # a kind that cannot be changed
        return items
    return copied


def _tensors(values: Any, depth: int = 0) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value, depth)
        elif isinstance(value, Mapping):
            yield from _tensors(value.values(), depth)
        elif depth < _DEPTH:
            yield from _tensors(_attributes(value).values(), depth + 1)


_DEPTH = 2  # of objects within objects, which may refer to each other in a circle


def holds_tensors(value: Any) -> bool:
    """Whether an argument of a call is a part of the batch, and no option."""
    return next(_tensors([value]), None) is not None


def _attributes(value: Any) -> Mapping[str, Any]:
    """What an object holds that carries a batch, such as a dataclass; nothing of a module, a class or a function."""
    if isinstance(value, (nn.Module, type, ModuleType)) or inspect.isroutine(value):
        return {}
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value) if hasattr(value, one.name)}
    return getattr(value, "__dict__", {})


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
        wrong |= hasattr(self.given, "__array__")  # of NumPy or pandas, whose rows are no batches
        if wrong or hasattr(self.given, "__next__"):
            what = f"is {a_type_of(self.given)}" + ("" if wrong else ", which has its samples only once")
            how = "torch.as_tensor(x), of the type that the network takes" if hasattr(self.given, "__array__") else _HOW
            raise UserError(what, where="actbench.watch(holdout=…)", how=how)

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
    """A call with held-out samples in the place of the batch, and with the options of the training loop."""
    options = {key: value for key, value in like.kwargs.items() if not holds_tensors(value)}
    places = [number for number, value in enumerate(like.args) if holds_tensors(value)]
    if isinstance(one, Mapping):
        if len(places) == 1 and isinstance(like.args[places[0]], Mapping):
            return Batch(_with(like.args, places, [one]), options)
        if len(options) < len(like.kwargs):
            of_keywords = {key: value for key, value in one.items() if key in like.kwargs}
            return Batch(_with(like.args, places, []), options | of_keywords)
        what = (
            f"is a dict with {', '.join(map(repr, one))}, and the loop calls the network with tensors: {like.shapes()}"
        )
        raise UserError(
            what, where="actbench.watch(holdout=…)", how="a tensor or tuples of what the network is called with"
        )
    given = tuple(one) if isinstance(one, (tuple, list)) else (one,)
    if places or len(options) == len(like.kwargs):
        return Batch(_with(like.args, places, given) if places else given[:1], options)
    names = [key for key in like.kwargs if key not in options]
    return Batch(like.args, options | dict(zip(names, given, strict=False)))


def _with(args: Sequence[Any], places: Sequence[int], given: Sequence[Any]) -> tuple[Any, ...]:
    """Positional arguments with others in the places of tensors, up to the first place that has none."""
    end = places[len(given)] if len(given) < len(places) else len(args)
    replaced = dict(zip(places, given, strict=False))
    return tuple(replaced.get(number, value) for number, value in enumerate(args[:end]))
