"""What a measurement is given after an epoch: the network, and what was observed at its activation sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.measures.computing.sites import UnitWatch
    from actbench.measures.lives import LookRecord, UnitEvent
    from actbench.stacking import Replicas


@dataclass(frozen=True, kw_only=True)
class Look:
    """A look at the units of all seeds over the validation split.

    Attributes:
        seeds: numbers of all seeds, in the order in which tensors have them.
        epoch: epochs of training done; 0 is the untrained network.
        network: the replicas, in evaluation mode.
        watch: statistics of every activation site over the validation split.
        gradient_norms: of each layer, (L, S) on the CPU.
            lives: deaths, births and revivals of each seed and layer since the epoch before.
        finer: the same since the last look of `probe_every`; empty where that is off.
        events: changes of single units.
    """

    seeds: Sequence[int]
    epoch: int
    network: Replicas
    watch: UnitWatch
    gradient_norms: Tensor
    lives: Sequence[LookRecord]
    finer: Sequence[LookRecord] = ()
    events: Sequence[UnitEvent] = ()
