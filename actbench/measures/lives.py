"""The life and death of units: which were dead from the start, which died in training or came back, and when."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from actbench.measures.quantities import AtStep, Row, identified, measured
from actbench.measures.units import DeadUnits

if TYPE_CHECKING:
    from actbench.measures.look import Look

EVENTS = ("dead", "birth", "death", "revival")  # what may happen to a unit; the first one where it is first looked at


@dataclass(frozen=True)
class Lives(Row):
    """What happened to the units of a layer since the last look, and which share of them is dead now.

    The dead are `dead_at_init` + `died`. A unit that dies and comes back between two looks does not count.
    """

    births: int = measured(
        "Units that were dead from the start and are alive for the first time since the last look.",
        default=0, unit="units", digits=1, over_layers="sum", tag="births/{layer}", rare=True,
    )  # fmt: skip
    deaths: int = measured(
        "Units that were alive at the last look and are dead now.",
        default=0, unit="units", digits=1, over_layers="sum", tag="deaths/{layer}", rare=True,
    )  # fmt: skip
    revivals: int = measured(
        "Units that were dead at the last look, are alive now, and had been alive once before.",
        default=0, unit="units", digits=1, over_layers="sum", tag="revivals/{layer}", rare=True,
    )  # fmt: skip
    dead_at_init: float = measured(
        "Share of units that have never been alive so far; NaN where nobody looked before training.",
        default=math.nan, title="never alive", better="lower", digits=1, percent=True,
        over_layers="units", tag="dead_at_init_ratio/{layer}", rare=True,
    )  # fmt: skip
    died: float = measured(
        "Share of units that are dead and were alive once; NaN where nobody looked before training.",
        default=math.nan, better="lower", digits=1, percent=True,
        over_layers="units", tag="died_ratio/{layer}", rare=True,
    )  # fmt: skip
    dead_for: float = measured(
        "Mean time for which the units that are dead now have been so; NaN where none is, or nobody looked before "
        "training.",
        default=math.nan, title="dead for", unit="epochs", digits=1, tag="dead_for/{layer}", rare=True,
    )  # fmt: skip


@dataclass(frozen=True)
class LookRecord(Lives, DeadUnits, AtStep):
    """The life and death of a layer's units at one of the looks that `probe_every` asks for; a row of `looks.csv`.

    Births, deaths and revivals are those since the look before.
    """

    table: ClassVar[str] = "looks"
    taken: ClassVar[str] = "every probe_every steps"
    order: ClassVar[int] = 30

    otherwise: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dead": {"tag": "dead_ratio_by_step/{layer}", "summary": "", "over_layers": "", "place": 0},
        "died": {"tag": "died_ratio_by_step/{layer}", "over_layers": "", "rare": False},
        **{key: {"tag": ""} for key in ("births", "deaths", "revivals", "dead_at_init", "dead_for")},
    }


@dataclass(frozen=True)
class UnitEvent(AtStep):
    """One unit whose state has changed since the look before; a row of `units.csv`.

    Units that have been alive all along have no row. With `probe_every` its looks are among those compared.
    """

    table: ClassVar[str] = "units"
    taken: ClassVar[str] = "at every look"
    order: ClassVar[int] = 40

    unit: int = identified("Number of the unit within its layer, from 0.", at_least=0)
    event: str = identified("`dead` (found so at the first look), `birth`, `death` or `revival`.", among=EVENTS)


def after_epoch(look: Look) -> Iterator[LookRecord | UnitEvent]:
    """What became of the units since the last look; of a layer as a whole only where `probe_every` asks for it."""
    yield from look.finer
    yield from look.events


def columns_of(life: LookRecord) -> dict[str, Any]:
    """What has happened to the units of a layer, by the names of the columns."""
    return {column.name: getattr(life, column.name) for column in fields(Lives)}
