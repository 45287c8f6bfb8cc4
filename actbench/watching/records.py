"""`LookRow`: what a look at a network in training finds in one layer; a row of `watch.table`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from actbench.measures.layers import LayerRecord
from actbench.measures.lives import Lives
from actbench.measures.quantities import OfSeed, identified, quantities_of
from actbench.measures.units import UnitStatistics

NOT_SHOWN = ("seed",)  # of one network there is one


@dataclass(frozen=True)
class _OfLook(OfSeed):
    step: int = identified("Training steps before the look; 0 is the untrained network.", at_least=0)
    layer: str = identified("Name of the activation site, as the network's module is called.")
    samples: int = identified("Samples that the look was taken on.", at_least=0)


def _definition(key: str) -> str:
    (quantity,) = (quantity for quantity in quantities_of(UnitStatistics) if quantity.key == key)
    return quantity.definition.replace("for every validation sample", "for every sample of the look")


@dataclass(frozen=True)
class LookRow(Lives, UnitStatistics, _OfLook):
    """The units of one layer at one look; the columns are those of `layers.csv`, with the same definitions.

    Births, deaths and revivals are counted since the look before, and `dead_for` in steps.
    """

    taken: ClassVar[str] = "at every look of `actbench.watch`"
    otherwise: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dead": {"definition": _definition("dead")},
        "saturated": {"definition": _definition("saturated")},
        "dead_for": {"unit": "steps"},
    }

    def as_record(self, epoch: int) -> LayerRecord:
        """The row as the rules of `actbench.diagnosis` read it."""
        shared = {name: value for name, value in vars(self).items() if name not in ("step", "samples")}
        return LayerRecord(epoch=epoch, grad_norm=math.nan, **shared)
