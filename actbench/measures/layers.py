"""`layers.csv`: a row for each layer after each epoch, with columns of three measurements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from actbench.measures.gradients import LayerGradient
from actbench.measures.lives import Lives, columns_of
from actbench.measures.quantities import OfLayer
from actbench.measures.units import STATISTICS, UnitStatistics

if TYPE_CHECKING:
    from actbench.measures.look import Look


@dataclass(frozen=True)
class LayerRecord(Lives, LayerGradient, UnitStatistics, OfLayer):
    """The units of one layer of one seed after one epoch (0: before training); a row of `layers.csv`.

    The columns are those of the base classes, the last base first. NaN means not known: all shares and moments where
    outputs overflowed, and `saturated` where it is not defined for the activation.
    """

    table: ClassVar[str] = "layers"
    always: ClassVar[bool] = True
    taken: ClassVar[str] = "before training and after every epoch"
    order: ClassVar[int] = 20
    reported: ClassVar[bool] = False


def after_epoch(look: Look) -> Iterator[LayerRecord]:
    """The rows of all seeds and layers."""
    statistics = look.watch.statistics().cpu().tolist()  # (L, 6, S)
    units = look.watch.units()
    lives = {(life.seed, life.layer): life for life in look.lives}
    for s, seed in enumerate(look.seeds):
        for number, layer in enumerate(look.watch.layers):
            yield LayerRecord(
                seed=seed,
                epoch=look.epoch,
                layer=layer,
                units=units[number],
                **{name: values[s] for name, values in zip(STATISTICS, statistics[number], strict=True)},
                grad_norm=float(look.gradient_norms[number, s]),
                **columns_of(lives[seed, layer]),
            )
