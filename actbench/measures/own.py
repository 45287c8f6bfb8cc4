"""A user's own measurements: how to write one, what it is given, and how its rows are checked.

The file `conf/measure/positive.yaml`, in the folder where `actbench` is called, names a class:

    _target_: my_measures.Positive
    margin: 0.0

Beside `conf` is the module `my_measures.py`. Every run takes the measurement while `trust=my_measures` is typed:

>>> from dataclasses import dataclass
>>> from actbench.measures import measured
>>> @dataclass(frozen=True)
... class Row:
...     seed: int
...     epoch: int
...     layer: str
...     units: int
...     positive: float = measured(
...         "Share of pre-activations above the margin.", title="above margin", percent=True,
...         over_layers="units", tag="positive/{layer}", summary="positive_ratio",
...     )
>>> class Positive:
...     row = Row
...     when = ("start", "epoch")
...
...     def __init__(self, margin=0.0):
...         self.margin = margin
...
...     def measure(self, moment):
...         for layer, z in moment.z.items():  # (S, B, F, ...)
...             for seed, of_seed in zip(moment.seeds, z):
...                 share = float((of_seed > self.margin).float().mean())
...                 yield Row(seed, moment.epoch, layer, of_seed.shape[1], share)
>>> checked_row_type("positive", Positive)  # raises an error that says what is wrong with a class

Its rows are in the run's folder as `positive.csv`, in TensorBoard under `positive/LAYER`, in `summary.json` as
`positive_ratio`, and in the report. `Quantity` in `actbench.measures` lists all options of `measured`. Measurements do
not affect training, so they are not part of a run's identity: a complete run is not trained again for a new one.
"""

from __future__ import annotations

import dataclasses
import math
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from actbench.custom.tracebacks import explain
from actbench.errors import UserError, a_type_of
from actbench.measures import registry
from actbench.measures.quantities import Quantity, check, column_kinds, measured, quantities_of, results_of
from actbench.settings import Choice

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Measurement", "Moment", "OwnMeasurement", "checked_row_type", "load", "measured"]

MOMENTS = ("start", "epoch", "end")  # before training, after every epoch, after the last one


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a user's own measurement is given. All of it is a copy on the CPU: changing it does not affect training.

    Attributes:
        seeds: numbers of the S seeds that have not diverged, in the order in which tensors have them.
        epoch: epochs of training done; 0 before training.
        step: optimizer steps done.
        last: whether the training is at its end.
        x: the first images of the validation split, (B, ...), B at most `train.eval_batch_size`.
        y: their labels, (B,).
        z: layer -> the pre-activations of these images, (S, B, F, ...), in evaluation mode.
        h: layer -> the activation's outputs, of the same shape.
    """

    seeds: tuple[int, ...]
    epoch: int
    step: int
    last: bool
    x: Tensor
    y: Tensor
    z: Mapping[str, Tensor]
    h: Mapping[str, Tensor]
    plain_network: Callable[[int], nn.Module]

    def network(self, seed: int) -> nn.Module:
        """The ordinary module of a seed with its weights as they are now, in evaluation mode."""
        return self.plain_network(seed).eval()


class Measurement(Protocol):
    """What the class of a user's own measurement has to provide.

    Attributes:
        row: a frozen dataclass with fields `seed: int` and `epoch: int`, `layer: str` where there is a row for each
            layer, further fields of type int, float or str that tell rows apart, and at least one that is `measured`.
        when: some of `start` (before training), `epoch` (after every epoch) and `end` (after the last one).
    """

    row: type
    when: Sequence[str]

    def measure(self, moment: Moment) -> Iterable[Any]:
        """The rows of a moment, of any of its seeds. It may draw random numbers, and use gradients."""


@dataclass(frozen=True)
class OwnMeasurement:
    """A user's own measurement, checked and built.

    Attributes:
        name: the name of its YAML file and of its table.
        target: the `_target_` of its YAML file.
        trust: names of the modules that the user trusts.
        measurement: the user's object.
    """

    name: str
    target: str
    trust: tuple[str, ...]
    measurement: Measurement

    @property
    def row(self) -> type:
        """The class of its rows."""
        return self.measurement.row

    def is_due(self, epoch: int, last: bool) -> bool:
        """Whether it is taken after `epoch` epochs."""
        when = self.measurement.when
        return ("start" if epoch == 0 else "epoch") in when or (last and epoch > 0 and "end" in when)

    def rows(self, moment: Moment) -> list[Any]:
        """The rows that it returns for a moment, checked.

        Raises:
            UserError: its code fails, or returns anything but rows of these seeds; with the place in the code.
        """
        from actbench.custom.isolation import isolated

        try:
            with isolated():  # it may draw random numbers, or change what belongs to the process
                given = list(self.measurement.measure(moment))
        except (Exception, SystemExit) as error:
            raise self._complaint(explain(error, self.trust)) from error
        rows = [self._checked(row, moment) for row in given]
        about = [quantity.key for quantity in quantities_of(self.row) if quantity.identifies]
        names = [tuple(getattr(row, key) for key in about) for row in rows]
        if len({*names}) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            same = ", ".join(f"{key} {value}" for key, value in zip(about, twice, strict=True))
            raise self._complaint(f"`measure` gave two rows for {same}")
        return rows

    def _checked(self, row: Any, moment: Moment) -> Any:
        if type(row) is not self.row:
            raise self._complaint(f"`measure` gave {a_type_of(row)} where a {self.row.__name__} is expected")
        values = {key: self._value(key, kind, getattr(row, key)) for key, kind in column_kinds(self.row).items()}
        if values["seed"] not in moment.seeds:
            raise self._complaint(f"`measure` gave a row for seed {values['seed']}; there are {[*moment.seeds]}")
        if not math.isfinite(values["epoch"]) or math.ceil(values["epoch"]) != moment.epoch:
            raise self._complaint(f"`measure` gave a row for epoch {values['epoch']} after epoch {moment.epoch}")
        return self.row(**values)

    def _value(self, key: str, kind: type, value: Any) -> Any:
        """A number as Python's own, whatever library it is from."""
        if kind is str and isinstance(value, str) and value.isprintable():
            return value
        try:
            if kind is int and not isinstance(value, bool):
                return value.__index__()
            if kind is float and not isinstance(value, (bool, str)):
                return float(value)
        except (TypeError, ValueError, AttributeError, RuntimeError):
            pass
        raise self._complaint(f"`{key}` of a row is {value!r:.60}, and is declared as {kind.__name__}")

    def _complaint(self, what: str) -> UserError:
        where = f"conf/measure/{self.name}.yaml"
        return UserError(what, where=where, how=f"mend {self.target}, or move the file away to train without it")


# ---------------------------------------------------------------- building


def load(choices: Sequence[Choice], trust: Sequence[str]) -> tuple[OwnMeasurement, ...]:
    """The measurements that the user's YAML files name; what is not trusted is not imported.

    Raises:
        UserError: one cannot be built, or is not as `Measurement` says.
    """
    return tuple(_load(choices, tuple(trust)))


def _load(choices: Sequence[Choice], trust: tuple[str, ...]) -> Iterable[OwnMeasurement]:
    taken: dict[str, str] = {}  # metric or tag -> whose it is
    for quantity in registry.declared():
        taken |= dict.fromkeys(filter(None, (quantity.summary, quantity.tag)), "actbench")
    for choice in choices:
        own = _built(choice, trust)
        for quantity in quantities_of(own.row):
            for name in filter(None, (quantity.summary, quantity.tag)):
                if name in taken:
                    raise own._complaint(f"`{quantity.key}`: `{name}` is a name that {taken[name]} has already")
                taken[name] = f"conf/measure/{own.name}.yaml"
        yield own


def _built(choice: Choice, trust: tuple[str, ...]) -> OwnMeasurement:
    from actbench.custom.isolation import isolated
    from actbench.custom.targets import resolve

    where = f"conf/measure/{choice.name}.yaml"
    constructor = resolve("measure", choice, trust)
    try:
        with isolated():
            measurement = constructor(**choice.params)
    except (Exception, SystemExit) as error:
        how = f"mend {choice.target}, or its parameters"
        raise UserError(explain(error, trust), where=where, how=how) from error
    try:
        checked_row_type(choice.name, measurement)
    except (TypeError, ValueError) as error:
        raise UserError(f"{choice.target}: {error}", where=where, how=_LIKE) from error
    return OwnMeasurement(choice.name, str(choice.target), trust, measurement)


_LIKE = "python -m pydoc actbench.measures.own shows an example"
_ABOUT = {"seed": ("int",), "epoch": ("int", "float"), "step": ("int",), "layer": ("str",), "units": ("int",)}


def checked_row_type(name: str, measurement: Any) -> None:
    """Checks a measurement that is called `name` against what `Measurement` says.

    Raises:
        TypeError, ValueError: what is wrong with it.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(f"`{name}` is no name for a table: letters, digits, _ and -")
    if name.lower() in (*registry.tables(), "results"):
        raise ValueError(f"a run has a {name.lower()}.csv already; the file needs another name")
    when = getattr(measurement, "when", None)
    moments = when if isinstance(when, (tuple, list, set, frozenset)) else ()
    if not moments or any(moment not in MOMENTS for moment in moments):
        raise ValueError(f"`when` is {when!r:.60}, and has to be a list of some of {', '.join(MOMENTS)}")
    if not callable(getattr(measurement, "measure", None)):
        raise TypeError("it has no method `measure(moment)`")
    row = getattr(measurement, "row", None)
    if not (isinstance(row, type) and dataclasses.is_dataclass(row)):
        raise TypeError(f"`row` is {row!r}, and has to be a dataclass")
    check_row(row)


def check_row(row: type) -> None:
    """Checks a dataclass of rows, of the user's code or as `measures.json` describes it.

    Raises:
        TypeError, ValueError: what is wrong with it.
    """
    kinds = column_kinds(row)
    if not {"seed", "epoch"} <= {*kinds}:
        raise TypeError(f"`{row.__name__}` needs the fields seed: int and epoch: int")
    for key, right in _ABOUT.items():
        if key in kinds and kinds[key].__name__ not in right:
            raise TypeError(f"`{key}` of `{row.__name__}` is {kinds[key].__name__}, and has to be {right[0]}")
    if not results_of(row):
        raise TypeError(f"`{row.__name__}` has no field that is `measured`")
    for quantity in results_of(row):
        _check_quantity(quantity, kinds)


def _check_quantity(quantity: Quantity, kinds: Mapping[str, type]) -> None:
    key = quantity.key
    if kinds[key] is str:
        raise TypeError(f"`{key}` is measured, and has to be a number")
    check(quantity)
    missing = [name for _, name, _, _ in string.Formatter().parse(quantity.tag) if name is not None]
    missing = [name for name in missing if name not in kinds]
    if missing:
        raise ValueError(f"the tag of `{key}` names `{missing[0]}`, which is no field")
    if quantity.over_layers not in ("", "units", "mean", "sum"):
        raise ValueError(f"`over_layers` of `{key}` is {quantity.over_layers!r}, and has to be units, mean or sum")
    if quantity.over_layers and "layer" not in kinds:
        raise ValueError(f"`{key}` has `over_layers`, but there is no field `layer`")
    if quantity.over_layers == "units" and "units" not in kinds:
        raise ValueError(f"`{key}` is weighted by units, but there is no field `units`")
    if quantity.summary and "layer" in kinds and not quantity.over_layers:
        raise ValueError(f"`{key}` is in summary.json: `over_layers` has to say how that follows from its layers")
    if quantity.summary and not re.fullmatch(r"[A-Za-z]\w*", quantity.summary):
        raise ValueError(f"`summary` of `{key}` is {quantity.summary!r}: letters, digits and _")
