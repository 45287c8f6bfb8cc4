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
        written: whether the network writes to its output later, as `x += y` and dropout in place do.
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
    written: bool = False
    evaluated: bool = True
    why_not: str = ""

    @property
    def exchangeable(self) -> bool:
        """Whether another activation can take its place."""
        return not self.why_not

    @property
    def hidden(self) -> bool:
        """Whether it is within something that nothing looks into, so that its tensor is not known."""
        return self.module is None and self.call is None

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape belongs here, where one place has sites of several numbers of units."""
        return len(shape) == len(self.shape) and shape[self.axis] == self.units


@dataclass(eq=False)
class Found:
    """What the trial knows of a site so far."""

    kind: str
    shape: tuple[int, ...]
    axis: int
    place: Place | None
    module: str | None
    call: Call | None
    weights: tuple[str, ...] = ()
    left_alone: str = ""  # why it cannot be seen, let alone exchanged
    overwrites: bool = False
    written: bool = False
    bounded: bool = False  # it is none of torch's, and stays between -1 and 1
    gates: bool = False  # its output is multiplied with another signal
    scaled: bool = False  # that, after it was multiplied with a number or added to one
    formula: bool = False  # its output is multiplied with what it is computed from, as in x * sigmoid(x)
    on_input: bool = False  # it is computed of the network's input, element by element
    is_output: bool = False
    same_shape: bool = True
    evaluated: bool = False
    custom: bool = False  # it is within a torch.autograd.Function
    mapped: bool = False  # by torch.vmap

    @property
    def units(self) -> int:
        """Values along the axis of units."""
        return self.shape[self.axis] if self.axis < len(self.shape) else 1

    def why_not(self, places: int) -> str:
        """Why it is left alone; empty where it can be exchanged.

        Args:
            places: at which its module is called; a single one need not be told from others.
        """
        if self.left_alone:
            return self.left_alone
        if self.kind in kinds.NORMALISERS:
            return "not a function of each unit by itself"
        if not self.same_shape:
            return "its output has another shape than its input"
        if self.on_input:
            return "it prepares the network's input"
        if self.is_output:
            return "it is the output of the network"
        if self.place is not None and self.place.lost and (self.module is None or places > 1):
            return "torch.utils.checkpoint runs it again, and nothing tells then where it is"
        if self.custom:
            return "within a torch.autograd.Function, whose backward pass is its own"
        if self.mapped:
            return "within torch.vmap or another transform of torch.func"
        if self.formula:
            return f"part of a formula, as in x·{self.kind}(x)"
        scaled = self.scaled and self.kind in kinds.SCALED_GATES
        if self.gates and (self.kind in kinds.GATES or self.bounded or scaled):
            return "a gate: its output multiplies another signal"
        return ""


def named(found: Sequence[Found], paths: Collection[str]) -> list[Site]:
    """What was found, with a name for each.

    Args:
        found: in the order in which a pass meets them.
        paths: of the network's modules, which no call is called like.
    """
    bases = [_base(one) for one in found]
    taken = {*paths} - {one.module for one in found}
    sites = []
    for number, one in enumerate(found):
        word = bases[number]
        if bases.count(word) > 1:
            gap = "_" if word[-1:].isdigit() else ""  # relu6_1
            word += f"{gap}{bases[: number + 1].count(word)}"
        while word in taken:
            word += "_call" if one.module is None else "_"
        taken.add(word)
        places = len({other.place for other in found if other.module == one.module})
        known = one.kind, one.units, one.axis, one.shape, one.place, one.module, one.call, one.weights
        sites.append(Site(word, *known, one.overwrites, one.written, one.evaluated, one.why_not(places)))
    return sites


def _base(one: Found) -> str:
    """What a site is named by, before numbers tell several apart: its module, or the module and what it calls."""
    if one.module is not None:
        return one.module or one.kind
    return ".".join(filter(None, (one.place.owner if one.place else "", one.kind)))
