"""What a measurement is given after an epoch: the network, and what was observed at its activation sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.measures.computing.sites import UnitWatch
    from actbench.measures.lives import LookRecord, UnitEvent
    from actbench.stacking import Replicas


class SiteObserver(Protocol):
    """What a measurement adds up at an activation site, batch by batch, beyond the statistics of `Look.watch`.

    A module of `actbench.measures` defines it as a class `Observer`, which is built without arguments for each site
    before a look; `look.observed(Observer)` has the results:

        class Observer:
            largest = None

            def update(self, z, h, slope):
                here = h.amax((1, *range(3, h.ndim)))  # (S, F)
                self.largest = here if self.largest is None else here.maximum(self.largest)

            def finish(self):
                return self.largest

    All seeds of a stack are observed at once; of seeds that are trained one by one, each by an observer of its own.
    """

    def update(self, z: Tensor, h: Tensor, slope: Tensor) -> None:
        """Adds some samples of the validation split.

        Args:
            z: pre-activations (S, B, F, ...), in float32 or wider, without a gradient.
            h: outputs of the activation, of the same shape if the activation keeps it.
            slope: f'(z), of z's shape; where f is not elementwise, the gradient that reaches z from a random one of h.

        They must not be written to.
        """

    def finish(self) -> Tensor:
        """The result for the seeds of this site: (S, ...), the same dimensions in every group of seeds."""


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

    def observed(self, observer: type[SiteObserver]) -> dict[str, Tensor]:
        """Layer -> what `observer` has found there over the validation split, (S, ...), on the CPU."""
        return self.watch.observed(observer)
