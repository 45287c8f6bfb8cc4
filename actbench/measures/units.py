"""The state of units: dead, dormant, saturated, active; and the moments of their outputs.

A unit is a feature of a linear layer or a channel of a convolution (all its positions together), at an activation site
with pre-activation z and output h = f(z). f' comes from autograd, so that the words mean the same for every activation.

Where f is not elementwise (softmax, what centres or normalises, units that compete) a unit has no slope of its own.
What matters is how much of a gradient reaches it through all outputs, the norm of its column of the Jacobian,
c_i = sqrt(Σ_j (∂h_j/∂z_i)²), which is |f'(z_i)| where f is elementwise:

- dead: c_i is exactly 0 for every sample and position, so that no gradient can reach the unit. One backward pass of a
  random gradient shows that: Σ_j v_j ∂h_j/∂z_i with v_j drawn from N(0, 1) is 0 only if the column is.
- saturated: c_i < 0.01 × the largest c of the layer, for each of the first 32 samples. Not defined, and NaN, where a
  sample's outputs depend on other samples, or are too many for a backward pass each.
- dormant, active, mean and std need no slope and are defined as usual.

The shares of a layer are NaN if the outputs or slopes of any of its units are not finite. They are computed in
`measures.computing.sites`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from actbench.measures.quantities import Row, measured, over_layers, quantities_of

DORMANT = 0.025  # τ of Sokar et al. 2023
SATURATED = 0.01  # share of the steepest slope below which a unit's slopes all lie


@dataclass(frozen=True)
class UnitCount(Row):
    """How many units a layer has."""

    units: int = measured("Number of units of the layer: features, or channels of a convolution.", digits=0)


@dataclass(frozen=True)
class DeadUnits(UnitCount):
    """The share of units that no gradient reaches."""

    dead: float = measured(
        "Share of units with f'(z) = 0 for every validation sample: no gradient can reach them.",
        title="dead", short="dead units",
        source="Lu et al. 2019, arXiv:1903.06733", better="lower", digits=1, percent=True,
        over_layers="units", tag="dead_ratio/{layer}", summary="dead_ratio", place=1,
    )  # fmt: skip


@dataclass(frozen=True)
class UnitStatistics(DeadUnits):
    """The columns of `layers.csv` that the outputs and slopes of the units give."""

    dormant: float = measured(
        "Share of units whose mean |h| is at most 0.025 of the layer's mean of mean |h|.",
        title="dormant", source="Sokar et al. 2023, arXiv:2302.12902", better="lower", digits=1, percent=True,
        over_layers="units", tag="dormant_ratio/{layer}", summary="dormant_ratio", place=2,
    )  # fmt: skip
    saturated: float = measured(
        "Share of units with |f'(z)| < 0.01 of the activation's largest |f'| for every validation sample; NaN where it "
        "is not defined for the activation.",
        title="saturated", better="lower", digits=1, percent=True,
        over_layers="units", tag="saturated_ratio/{layer}", summary="saturated_ratio", place=3,
    )  # fmt: skip
    active: float = measured(
        "Share of (unit, sample) pairs with z > 0; of an activation that selects among units, that it lets through.",
        title="active", digits=1, percent=True,
        over_layers="units", tag="active_ratio/{layer}", summary="active_ratio", place=4,
    )  # fmt: skip
    mean: float = measured("Mean of the layer's outputs h.", title="mean output", tag="output_mean/{layer}")
    std: float = measured(
        "Standard deviation of the layer's outputs h.", title="std of outputs", tag="output_std/{layer}"
    )


STATISTICS = tuple(column.name for column in fields(UnitStatistics) if column.name != "units")


def network_ratio(layers: Sequence[Any], ratio: str) -> float:
    """A share over all units of a network, from the rows of its layers (one seed, one epoch); NaN without rows."""
    if not layers:
        return over_layers(layers, quantities_of(UnitStatistics)[0])
    (quantity,) = (quantity for quantity in quantities_of(type(layers[0])) if quantity.key == ratio)
    return over_layers(layers, quantity)
