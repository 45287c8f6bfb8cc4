"""Dead units over time: which were dead from the start, which died in training or recovered, and when."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from actbench.measures.quantities import AtStep, Row, identified, measured
from actbench.measures.units import DeadUnits

if TYPE_CHECKING:
    from actbench.measures.look import Look

EVENTS = ("dead", "birth", "death", "revival")  # changes of a unit; `dead` only at the first look


@dataclass(frozen=True)
class Lives(Row):
    """Changes of a layer's units since the last look, and the shares that are dead now.

    The dead are `dead_at_init` + `died`. A unit that dies and recovers between two looks is not counted.
    """

    births: int = measured(
        "Units that were dead from the start and have become alive for the first time since the last measurement.",
        default=0, unit="units", digits=1, over_layers="sum", tag="births/{layer}", rare=True,
    )  # fmt: skip
    deaths: int = measured(
        "Units that were alive at the last measurement and are dead now.",
        default=0, unit="units", digits=1, over_layers="sum", tag="deaths/{layer}", rare=True,
    )  # fmt: skip
    revivals: int = measured(
        "Units that were dead at the last measurement, are alive now, and had been alive once before.",
        default=0, unit="units", digits=1, over_layers="sum", tag="revivals/{layer}", rare=True,
    )  # fmt: skip
    dead_at_init: float = measured(
        "Share of units that have never been alive so far; NaN if units were not measured before training.",
        default=math.nan, title="never alive", better="lower", digits=1, percent=True,
        over_layers="units", tag="dead_at_init_ratio/{layer}", rare=True,
    )  # fmt: skip
    died: float = measured(
        "Share of units that are dead and were alive once; NaN if units were not measured before training.",
        default=math.nan, better="lower", digits=1, percent=True,
        over_layers="units", tag="died_ratio/{layer}", rare=True,
    )  # fmt: skip
    dead_for: float = measured(
        "Mean time for which the units that are dead now have been dead; NaN if none is dead, or units were not "
        "measured before training.",
        default=math.nan, title="dead for", unit="epochs", digits=1, tag="dead_for/{layer}", rare=True,
    )  # fmt: skip


@dataclass(frozen=True)
class LookRecord(Lives, DeadUnits, AtStep):
    """The dead units of a layer at one of the looks that `probe_every` asks for; a row of `looks.csv`.

    Births, deaths and revivals are counted since the previous look.
    """

    table: ClassVar[str] = "looks"
    taken: ClassVar[str] = "every probe_every steps"
    order: ClassVar[int] = 30
    reported: ClassVar[bool] = False

    otherwise: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dead": {"tag": "dead_ratio_by_step/{layer}", "summary": "", "over_layers": "", "place": 0},
        "died": {"tag": "died_ratio_by_step/{layer}", "over_layers": "", "rare": False},
        **{key: {"tag": ""} for key in ("births", "deaths", "revivals", "dead_at_init", "dead_for")},
    }


@dataclass(frozen=True)
class UnitEvent(AtStep):
    """A unit whose state has changed since the previous look; a row of `units.csv`.

    Units that have always been alive have no row. With `probe_every`, the looks within an epoch count as well.
    """

    table: ClassVar[str] = "units"
    taken: ClassVar[str] = "at every measurement of the units"
    order: ClassVar[int] = 40
    reported: ClassVar[bool] = False

    unit: int = identified("Number of the unit within its layer, from 0.", at_least=0)
    event: str = identified("`dead` (already at the first measurement), `birth`, `death` or `revival`.", among=EVENTS)


def after_epoch(look: Look) -> Iterator[LookRecord | UnitEvent]:
    """The changes of single units since the last look; and with `probe_every`, the rows of `looks.csv`."""
    yield from look.finer
    yield from look.events


def columns_of(life: LookRecord) -> dict[str, Any]:
    """The columns of `Lives` in a row, by their names."""
    return {column.name: getattr(life, column.name) for column in fields(Lives)}
