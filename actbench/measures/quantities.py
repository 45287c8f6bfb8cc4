"""`Quantity`: the declaration of a measured quantity, made once, in the field of the row that holds it.

The tables of a run's folder, `summary.json`, TensorBoard's tags, the columns of the terminal and of the report, and the
glossary are derived from these declarations. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal

from actbench.records import decimal

OverLayers = Literal["", "units", "mean", "sum"]
Better = Literal["", "higher", "lower"]

DECLARED = "quantity"  # in the metadata of a field


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A column of a table, with its definition and how it is shown.

    Attributes:
        key: the column's name.
        definition: what it is, in a sentence.
        title: its name in a table of results; by default the key with blanks for underscores.
        short: a shorter title for tables with many columns; by default the title.
        unit: of its values; empty where it has none.
        source: a publication that defines it.
        better: which values are better: `higher`, `lower`, or empty.
        digits: digits after the decimal point, where it is printed.
        percent: whether it is stored as a share from 0 to 1 and printed in percent.
        over_layers: how the network's value follows from those of its layers: their mean, weighted by the number of
            `units` or not (`mean`), their `sum`, or empty where a network has none.
        tag: its tag in TensorBoard, in which `{layer}` and the like stand for other columns of the row; the network's
            value has `all` for the layer.
        summary: its name among the metrics of `summary.json`.
        place: its position in the tables that the terminal shows at the end of a run, from 1; 0: not shown.
        rare: whether TensorBoard shows it for a layer only once it has been other than 0 there.
        nan_is_a_result: whether NaN is a result that TensorBoard shows (a loss that overflowed); otherwise NaN means
            "not known".
        identifies: whether it identifies the row (a seed, a layer) and is not a result.
        at_least: its lower bound.
        among: the words that it may be, if it is text.
        tables: the files that have it; filled in from the row.
        taken: when it is measured; filled in from the row.
    """

    key: str = ""
    definition: str
    title: str = ""
    short: str = ""
    unit: str = ""
    source: str = ""
    better: Better = ""
    digits: int = 2
    percent: bool = False
    over_layers: OverLayers = ""
    tag: str = ""
    summary: str = ""
    place: int = 0
    rare: bool = False
    nan_is_a_result: bool = False
    identifies: bool = False
    at_least: float = -math.inf
    among: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    taken: str = ""

    @property
    def scale(self) -> float:
        """The factor between a stored value and a printed one."""
        return 100.0 if self.percent else 1.0

    @property
    def heading(self) -> str:
        """The title followed by the unit: `test accuracy %`."""
        return _with_unit(self.title, "%" if self.percent else self.unit)

    @property
    def column(self) -> str:
        """The heading of a column among many: `val. acc. %`."""
        return _with_unit(self.short or self.title, "%" if self.percent else self.unit)

    def shown(self, value: float) -> str:
        """A value as it is printed; a dash for NaN."""
        return "–" if math.isnan(value) else decimal(self.scale * value, self.digits)


def _with_unit(name: str, unit: str) -> str:
    """The name followed by the unit, which is left out for losses and for numbers of units.

    >>> _with_unit("SNR", "dB"), _with_unit("dead for", "epochs"), _with_unit("test loss", "nats")
    ('SNR dB', 'dead for (epochs)', 'test loss')
    """
    if unit in ("", "nats", "units"):
        return name
    return f"{name} {unit}" if len(unit) <= 2 else f"{name} ({unit})"


def measured(definition: str, *, default: Any = MISSING, **about: Any) -> Any:
    """The field of a row that holds a measured quantity.

    >>> @dataclass(frozen=True)
    ... class Row:
    ...     seed: int
    ...     norm: float = measured("Largest singular value of the weights.", title="spectral norm", better="lower")
    >>> [quantity.heading for quantity in quantities_of(Row)]
    ['seed', 'spectral norm']

    Args:
        definition: what it is, in a sentence.
        default: the value in tables of earlier versions, which lack the column.
        about: further attributes of `Quantity`.
    """
    return field(default=default, metadata={DECLARED: Quantity(definition=definition, **about)})


def identified(definition: str, **about: Any) -> Any:
    """The field of a row that identifies it: a seed, a layer, a unit."""
    return measured(definition, identifies=True, **about)


class Row:
    """Base of a row of one of this package's tables, or of a group of columns that rows inherit.

    Attributes:
        table: the name of its file, without `.csv`; empty where it has none.
        always: whether the file is written even if it has no rows.
        taken: when it is measured; empty for a group of columns, which is no table.
        order: the table's position in the glossary, smaller numbers first.
        reported: whether the report has a table of its last rows; False where it shows them in another way.
        otherwise: column -> attributes that differ from its declaration, where it is shared with another table.
    """

    table: ClassVar[str] = ""
    always: ClassVar[bool] = False
    taken: ClassVar[str] = ""
    order: ClassVar[int] = 100
    reported: ClassVar[bool] = True
    otherwise: ClassVar[Mapping[str, Mapping[str, Any]]] = {}


# ---------------------------------------------------------------- what identifies rows


@dataclass(frozen=True)
class OfSeed(Row):
    """One seed."""

    seed: int = identified("Number of the seed.", at_least=0)


@dataclass(frozen=True)
class OfEpoch(OfSeed):
    """One seed after an epoch."""

    epoch: int = identified("Epochs of training done; 0 is the untrained network.", at_least=0)


@dataclass(frozen=True)
class OfLayer(OfEpoch):
    """One layer of one seed after an epoch."""

    layer: str = identified("Name of the layer, as the network's module is called.")


@dataclass(frozen=True)
class AtStep(OfSeed):
    """One layer of one seed after some step, within an epoch or at its end."""

    step: int = identified("Optimizer steps since the start of training.", at_least=0)
    epoch: float = identified("Epochs of training done at that step, in fractions.", at_least=0)
    layer: str = identified("Name of the layer, as the network's module is called.")


# ---------------------------------------------------------------- reading the declarations


def quantities_of(row: type) -> tuple[Quantity, ...]:
    """The quantities of a row's columns, in order. A field without a declaration identifies the row."""
    hashable: Any = row
    return _quantities(hashable)


@lru_cache(maxsize=256)
def _quantities(row: Any) -> tuple[Quantity, ...]:
    return tuple(_quantity(row, column) for column in fields(row))


def _quantity(row: type, column: Field[Any]) -> Quantity:
    declared = column.metadata.get(DECLARED) or Quantity(definition="", identifies=True)
    table = getattr(row, "table", "")
    return replace(
        declared,
        key=column.name,
        title=declared.title or column.name.replace("_", " "),
        tables=(f"{table}.csv",) if table else (),
        taken=declared.taken or getattr(row, "taken", ""),
        **getattr(row, "otherwise", {}).get(column.name, {}),
    )


def check(quantity: Quantity) -> None:
    """Checks a quantity that a user's own measurement declares.

    Raises:
        TypeError, ValueError: an attribute is of another type than `Quantity` says, not printable, or out of bounds.
    """
    for attribute in fields(Quantity):
        value, default = getattr(quantity, attribute.name), attribute.default
        if type(value) is not (str if default is MISSING else type(default)):
            raise TypeError(f"`{attribute.name}` of `{quantity.key}` is {value!r:.40}")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"`{attribute.name}` of `{quantity.key}` is not printable")
    if not 0 <= quantity.digits <= _DIGITS:
        raise ValueError(f"`digits` of `{quantity.key}` is {quantity.digits}, and has to be 0 to {_DIGITS}")


_DIGITS = 12
_KINDS: dict[str, type] = {"int": int, "float": float, "str": str}


def column_kinds(row: type) -> dict[str, type]:
    """Column -> int, float or str.

    Raises:
        TypeError: a field is of another kind; its message names it.
    """
    names = {
        column.name: column.type if isinstance(column.type, str) else column.type.__name__ for column in fields(row)
    }
    for name, kind in names.items():
        if kind not in _KINDS:
            raise TypeError(f"`{name}` is of type {kind}; a column is int, float or str")
    return {name: _KINDS[kind] for name, kind in names.items()}


def results_of(row: type) -> tuple[Quantity, ...]:
    """The quantities of a row that are measured, in order."""
    return tuple(quantity for quantity in quantities_of(row) if not quantity.identifies)


def placed(row: type) -> list[Quantity]:
    """The quantities of a row that the terminal shows at the end of a run, in their order there."""
    return sorted((quantity for quantity in quantities_of(row) if quantity.place), key=lambda quantity: quantity.place)


def over_layers(rows: Sequence[Any], quantity: Quantity) -> float:
    """The network's value of a quantity, from the rows of its layers (of one seed, at one moment); NaN without rows.

    >>> from types import SimpleNamespace as Layer
    >>> dead = Quantity(key="dead", definition="", over_layers="units")
    >>> over_layers([Layer(units=30, dead=1.0), Layer(units=10, dead=0.2)], dead)
    0.8
    """
    if not rows:
        return math.nan
    values = [getattr(row, quantity.key) for row in rows]
    if quantity.over_layers == "sum":
        return sum(values)
    weights = [row.units for row in rows] if quantity.over_layers == "units" else [1] * len(rows)
    total = sum(weights)
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else math.nan


def by_seed(rows: Iterable[Any]) -> dict[int, list[Any]]:
    """The rows of each seed."""
    grouped: dict[int, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.seed, []).append(row)
    return grouped


def metrics_of(row: type, rows: Iterable[Any], seeds: Sequence[int]) -> dict[str, list[float]]:
    """Metric of `summary.json` -> its value for each of `seeds` (NaN where there is none), from rows of one moment."""
    of_seeds = by_seed(rows)
    value = _of_network if "layer" in {column.name for column in fields(row)} else _of_row
    return {
        quantity.summary: [value(of_seeds.get(seed, []), quantity) for seed in seeds]
        for quantity in quantities_of(row)
        if quantity.summary
    }


_of_network: Callable[[Sequence[Any], Quantity], float] = over_layers


def _of_row(rows: Sequence[Any], quantity: Quantity) -> float:
    return getattr(rows[0], quantity.key) if rows else math.nan
