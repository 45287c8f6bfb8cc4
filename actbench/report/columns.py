"""How a measured quantity looks as a column: its heading, its digits, and whether a share is shown as a percentage.

Tables name a quantity by its key (`"dead_ratio"`); everything else that they need to know of it is looked up here.
"""

from __future__ import annotations

from dataclasses import dataclass

from actbench.records import Estimate
from actbench.report.formatting import mean


@dataclass(frozen=True)
class Column:
    """A heading, and how values are printed: times `scale` (100 for a share in percent), with `digits` decimals."""

    heading: str
    digits: int
    scale: float = 1.0


_COLUMNS = {
    "test_accuracy": Column("test accuracy %", 2),
    "val_accuracy": Column("val. acc. %", 2),
    "test_loss": Column("test loss", 3),
    "dead_ratio": Column("dead units %", 1, 100),
    "dead": Column("dead %", 1, 100),
    "dead_at_init": Column("never alive %", 1, 100),
    "died": Column("died %", 1, 100),
    "deaths": Column("deaths", 1),
    "revivals": Column("revivals", 1),
    "births": Column("births", 1),
    "dead_for": Column("dead for (epochs)", 1),
    "int8_symmetric_snr": Column("SNR dB, symmetric", 1),
    "int8_affine_snr": Column("SNR dB, affine", 1),
}


def column(key: str) -> Column:
    """The column of a quantity; a KeyError where there is no such quantity."""
    return _COLUMNS[key]


def heading(key: str) -> str:
    """The heading of a quantity's column."""
    return column(key).heading


def mean_cell(key: str, estimate: Estimate) -> str:
    """The mean of a quantity over seeds, in its digits."""
    return mean(estimate, column(key).digits, column(key).scale)


def interval_cell(key: str, estimate: Estimate) -> str:
    """The mean of a quantity over seeds ± half its 95 % interval, in its digits."""
    return estimate.plus_minus(column(key).digits, column(key).scale)
