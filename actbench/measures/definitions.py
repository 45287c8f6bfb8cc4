"""`definitions.csv`: the share of dead units by several definitions of dead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from actbench.measures.quantities import OfLayer, identified, measured
from actbench.measures.units import DORMANT

if TYPE_CHECKING:
    from actbench.measures.look import Look

TAUS = (0.0, 0.01, DORMANT, 0.05, 0.1)
SELDOM = 0.01  # a unit that fires for a smaller share of the samples is dead by the last definition
DEFINITIONS = ("exact", *(f"dormant<={tau:g}" for tau in TAUS), f"fires<{SELDOM:.0%}")


@dataclass(frozen=True)
class DefinitionRecord(OfLayer):
    """The share of a layer's units that are dead by one of DEFINITIONS; a row of `definitions.csv`."""

    table: ClassVar[str] = "definitions"
    taken: ClassVar[str] = "before training and after every epoch"
    order: ClassVar[int] = 50
    reported: ClassVar[bool] = False

    units: int = measured("Number of units of the layer: features, or channels of a convolution.", digits=0)
    definition: str = identified(
        "`exact`: f'(z) = 0 for every validation sample; `dormant<=T`: mean |h| at most T of the layer's mean of mean "
        "|h| (Sokar et al. 2023, arXiv:2302.12902; `dormant<=0`: outputs 0 for every sample); `fires<1%`: z > 0 for "
        "less than one sample in a hundred.",
        among=DEFINITIONS,
    )
    share: float = measured(
        "Share of units that are dead by the definition.", title="dead by definition", better="lower", digits=1,
        percent=True,
    )  # fmt: skip


def after_epoch(look: Look) -> Iterator[DefinitionRecord]:
    """The rows of all seeds, layers and definitions."""
    shares = look.watch.dead_by_definition().cpu().tolist()  # (L, 7, S)
    units = look.watch.units()
    for s, seed in enumerate(look.seeds):
        for number, layer in enumerate(look.watch.layers):
            for definition, of_seeds in zip(DEFINITIONS, shares[number], strict=True):
                yield DefinitionRecord(seed, look.epoch, layer, units[number], definition, of_seeds[s])
