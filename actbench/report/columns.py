"""How a measured quantity looks as a column of a table: everything is looked up in its declaration in `measures`.

Tables name a quantity by a literal key: that of a metric in `summary.json` (`"dead_ratio"`), or of a column of
`layers.csv` (`"died"`).
"""

from __future__ import annotations

from functools import cache

from actbench.measures import Quantity, quantities_of
from actbench.measures.layers import LayerRecord
from actbench.measures.registry import declared
from actbench.records import Estimate
from actbench.report.formatting import mean


@cache
def quantity(key: str) -> Quantity:
    """The declaration of a quantity.

    Raises:
        KeyError: there is no such quantity.
    """
    of_layers = {column.key: column for column in quantities_of(LayerRecord)}
    metrics = {metric.summary: metric for metric in declared() if metric.summary}
    return {**of_layers, **metrics}[key]


def heading(key: str) -> str:
    """The heading of a quantity's column."""
    return quantity(key).column


def mean_cell(key: str, estimate: Estimate) -> str:
    """The mean of a quantity over seeds, in its digits."""
    return mean(estimate, quantity(key).digits, quantity(key).scale)


def interval_cell(key: str, estimate: Estimate) -> str:
    """The mean of a quantity over seeds ± half its 95 % interval, in its digits."""
    return estimate.plus_minus(quantity(key).digits, quantity(key).scale)
