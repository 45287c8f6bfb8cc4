"""The history of every unit, dead or alive, from look to look; `measures.lives` defines the terms.

Shape letters: S seeds, F units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actbench.measures.lives import EVENTS, LookRecord, UnitEvent


@dataclass
class _Layer:
    """The state of one layer's units: (S, F) each."""

    dead: Tensor  # at the last look
    lived: Tensor  # was alive at some look
    since: Tensor  # the step of the look at which a unit that is dead now was first dead
    changed: dict[str, Tensor]  # event -> the units to which it happened at the last look
    unknown: Tensor  # units whose state was not known at the last look

    @classmethod
    def first(cls, peak: Tensor, step: int) -> _Layer:
        dead = peak == 0
        none = {event: torch.zeros_like(dead) for event in EVENTS[1:]}
        return cls(dead, ~dead, torch.full(dead.shape, step), none, peak.isnan())

    def update(self, peak: Tensor, step: int) -> None:
        self.unknown = peak.isnan()  # of a seed that diverges
        dead = torch.where(self.unknown, self.dead, peak == 0)
        died, woke = dead & ~self.dead, self.dead & ~dead
        self.changed = {"birth": woke & ~self.lived, "death": died, "revival": woke & self.lived}
        self.dead, self.lived = dead, self.lived | ~dead
        self.since = torch.where(died, step, self.since)


class UnitHistory:
    """Follows every unit from look to look.

    The history is complete if the first look was before training. After a gap of more than an epoch without a look it
    starts again, and `dead_at_init`, `died` and `dead_for` are NaN from then on.

    Args:
        seeds: the run's seeds.
        steps_per_epoch: to convert steps to epochs.
    """

    def __init__(self, seeds: Sequence[int], steps_per_epoch: int) -> None:
        self.seeds, self.steps_per_epoch = list(seeds), steps_per_epoch
        self._layers: dict[str, _Layer] = {}
        self._step = 0  # of the last look
        self._from_the_start = True

    def update(self, peaks: Mapping[str, Tensor], step: int) -> list[UnitEvent]:
        """Takes the units' largest |f'(z)| after `step` steps, layer -> (S, F), and returns what changed.

        The first time, these are the units that are dead already.
        """
        if not self._layers or step - self._step > self.steps_per_epoch:
            self._layers, self._from_the_start = {}, step == 0
        self._step = step
        events: list[UnitEvent] = []
        for name, peak in peaks.items():
            if name in self._layers:
                self._layers[name].update(peak, step)
                changed = self._layers[name].changed
            else:
                self._layers[name] = _Layer.first(peak, step)
                changed = {"dead": self._layers[name].dead}
            events += self._events(name, changed)
        return events

    def _events(self, layer: str, changed: Mapping[str, Tensor]) -> Iterator[UnitEvent]:
        for event, units in changed.items():
            for s, unit in units.nonzero().tolist():
                yield UnitEvent(self.seeds[s], self._step, self.epoch, layer, unit, event)

    @property
    def epoch(self) -> float:
        """The time of the last look in epochs."""
        return self._step / self.steps_per_epoch

    def rows(self) -> list[LookRecord]:
        """The state after the last look, and the changes since the look before it; of all seeds and layers."""
        seeds = range(len(self.seeds))
        return [self._row(name, layer, s) for name, layer in self._layers.items() for s in seeds]

    def _row(self, name: str, layer: _Layer, s: int) -> LookRecord:
        dead, units = layer.dead[s], layer.dead.shape[1]
        died = int((dead & layer.lived[s]).sum())
        ages = (self._step - layer.since[s][dead]).double() / self.steps_per_epoch
        visible = not bool(layer.unknown[s].any())
        known = visible and self._from_the_start
        return LookRecord(
            seed=self.seeds[s],
            step=self._step,
            epoch=self.epoch,
            layer=name,
            units=units,
            dead=int(dead.sum()) / units if visible else math.nan,
            births=int(layer.changed["birth"][s].sum()),
            deaths=int(layer.changed["death"][s].sum()),
            revivals=int(layer.changed["revival"][s].sum()),
            dead_at_init=(int(dead.sum()) - died) / units if known else math.nan,
            died=died / units if known else math.nan,
            dead_for=float(ages.mean()) if known and len(ages) else math.nan,
        )

    def state(self) -> dict[str, Any]:
        """What `load_state` restores."""
        layers = {name: (layer.dead, layer.lived, layer.since) for name, layer in self._layers.items()}
        return {"layers": layers, "step": self._step, "from_the_start": self._from_the_start}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned."""
        self._step, self._from_the_start = state["step"], state["from_the_start"]
        for name, (dead, lived, since) in state["layers"].items():
            none = {event: torch.zeros_like(dead) for event in EVENTS[1:]}
            self._layers[name] = _Layer(dead, lived, since, none, torch.zeros_like(dead))
