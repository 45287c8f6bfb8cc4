"""`Site`: one place at which a network applies an activation, and what is known of it after the trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actbench.sites import kinds
from actbench.sites.places import Place


@dataclass(frozen=True)
class Call:
    """A call of an activation: the function, and its arguments behind z."""

    function: Any
    rest: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """One place at which a network applies an activation, to a tensor of one number of units.

    Attributes:
        name: the path of the module, or that of the module whose code makes the call with the kind and a number.
        kind: what stands there: `relu`, `gelu`, or the class of a module that is not torch's.
        units: values along `axis`.
        axis: of the tensor, which counts its units: the output features of a linear layer, channels of a convolution.
        shape: of the tensor at the trial, the batch first.
        place: of the call.
        module: the path of the module; None of a call.
        call: what a call was at the trial; None of a module, and of what is within a function of torch's.
        weights: names of the parameters of the layer in front, the weight first; empty where that is not known.
        overwrites: whether the network needs what an in-place activation writes to its input.
        evaluated: whether it is met in evaluation mode.
        why_not: why it is left alone; empty where it can be exchanged.
    """

    name: str
    kind: str
    units: int
    axis: int
    shape: tuple[int, ...]
    place: Place | None
    module: str | None = None
    call: Call | None = field(default=None, compare=False)
    weights: tuple[str, ...] = ()
    overwrites: bool = False
    evaluated: bool = True
    why_not: str = ""

    @property
    def exchangeable(self) -> bool:
        """Whether another activation can take its place."""
        return not self.why_not

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape belongs here, where one place has sites of several numbers of units."""
        return len(shape) == len(self.shape) and shape[self.axis] == self.units


@dataclass
class Found:
    """What the trial knows of a site so far."""

    kind: str
    shape: tuple[int, ...]
    axis: int
    place: Place | None
    module: str | None
    call: Call | None
    weights: tuple[str, ...] = ()
    overwrites: bool = False
    gates: bool = False
    formula: bool = False  # its output is multiplied with its own input, as in x * sigmoid(x)
    is_output: bool = False
    same_shape: bool = True
    evaluated: bool = False
    attends: bool = False  # it is within a function that computes attention

    @property
    def units(self) -> int:
        """Values along the axis of units."""
        return self.shape[self.axis] if self.axis < len(self.shape) else 1

    @property
    def why_not(self) -> str:
        """Why it is left alone; empty where it can be exchanged."""
        if self.attends:
            return "the softmax of an attention"
        if self.kind in kinds.NORMALISERS:
            return "not a function of each unit by itself"
        if not self.same_shape:
            return "its output has another shape than its input"
        if self.is_output:
            return "it is the output of the network"
        if self.place is not None and self.place.lost:
            return "torch.utils.checkpoint runs it again, and nothing tells then where it is"
        if self.kind in kinds.GATES and self.formula:
            return f"part of a formula, x·{self.kind}(x)"
        if self.kind in kinds.GATES and self.gates:
            return "a gate: its output multiplies another signal"
        return ""


def named(found: Sequence[Found], paths: Collection[str]) -> list[Site]:
    """What was found, with a name for each.

    Args:
        found: in the order in which a pass meets them.
        paths: of the network's modules, which no call is called like.
    """
    bases = [_base(one) for one in found]
    sites = []
    for number, one in enumerate(found):
        owner, word = bases[number]
        alike = bases.count(bases[number])
        if one.module is None and alike == 1 and ".".join(filter(None, (owner, word))) in paths:
            word = f"{word}_call"
        if alike > 1:
            word += str(bases[: number + 1].count(bases[number]))
        name = f"{owner}.{word}" if owner else word
        known = one.kind, one.units, one.axis, one.shape, one.place, one.module, one.call, one.weights
        sites.append(Site(name, *known, one.overwrites, one.evaluated, one.why_not))
    return sites


def _base(one: Found) -> tuple[str, str]:
    """The module and the word that a site is named by, before numbers tell several of them apart."""
    if one.module is not None:
        above, _, last = one.module.rpartition(".")
        return above, last
    return (one.place.owner if one.place else ""), one.kind
