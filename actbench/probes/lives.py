"""The life and death of units: who was dead from the start, who died in training, who came back, and when.

Shape letters: S seeds, F units of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actbench.records import LookRecord, UnitEvent


@dataclass
class _Layer:
    """What is known of one layer's units: (S, F) each."""

    dead: Tensor  # at the last look
    lived: Tensor  # was alive at some look
    since: Tensor  # the step of the look that found it dead, for those dead now
    births: Tensor  # (S,), since `Lives.begin`; deaths and revivals likewise
    deaths: Tensor
    revivals: Tensor

    @classmethod
    def first(cls, dead: Tensor, step: int) -> _Layer:
        none = torch.zeros(len(dead), dtype=torch.long)
        return cls(dead.clone(), ~dead, torch.full(dead.shape, step), none, none.clone(), none.clone())

    def look(self, dead: Tensor, step: int) -> dict[str, Tensor]:
        """Takes the next look in; returns who changed, (S, F) for each kind of change."""
        died, came = dead & ~self.dead, self.dead & ~dead
        changed = {"birth": came & ~self.lived, "death": died, "revival": came & self.lived}
        self.births, self.deaths, self.revivals = (
            before + change.sum(1)
            for before, change in zip((self.births, self.deaths, self.revivals), changed.values(), strict=True)
        )
        self.dead, self.lived = dead.clone(), self.lived | ~dead
        self.since = torch.where(died, step, self.since)
        return changed


class Lives:
    """Follows every unit from look to look.

    Args:
        seeds: the run's seeds.
        steps_per_epoch: steps are told in epochs, too.
    """

    def __init__(self, seeds: Sequence[int], steps_per_epoch: int) -> None:
        self.seeds, self.steps_per_epoch = list(seeds), steps_per_epoch
        self._layers: dict[str, _Layer] = {}
        self._step = 0

    def begin(self) -> None:
        """From here on births, deaths and revivals are counted anew."""
        for layer in self._layers.values():
            layer.births, layer.deaths, layer.revivals = (torch.zeros_like(layer.births) for _ in range(3))

    def look(self, dead: Mapping[str, Tensor], step: int) -> list[UnitEvent]:
        """Takes in which units are dead after `step` steps: layer -> (S, F); returns what changed since the last look.

        At the first look those who are dead already are told.
        """
        self._step = step
        events: list[UnitEvent] = []
        for name, units in dead.items():
            if name in self._layers:
                changed = self._layers[name].look(units, step)
            else:
                self._layers[name] = _Layer.first(units, step)
                changed = {"dead": units}
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

    def records(self, seeds: Iterable[int]) -> list[LookRecord]:
        """How things stand after the last look; births, deaths and revivals are those since `begin`."""
        wanted = {*seeds}
        found = []
        for name, layer in self._layers.items():
            shares = [(layer.dead & kind).double().mean(1).tolist() for kind in (~layer.lived, layer.lived)]
            age = ((self._step - layer.since) * layer.dead).sum(1) / layer.dead.sum(1) / self.steps_per_epoch
            columns = (self.seeds, *shares, layer.births, layer.deaths, layer.revivals, age)
            for seed, at_init, died, births, deaths, revivals, dead_for in zip(*columns, strict=True):
                if seed in wanted:
                    found.append(
                        LookRecord(
                            seed=seed,
                            step=self._step,
                            epoch=self.epoch,
                            layer=name,
                            units=layer.dead.shape[1],
                            dead=at_init + died,
                            births=int(births),
                            deaths=int(deaths),
                            revivals=int(revivals),
                            dead_at_init=at_init,
                            died=died,
                            dead_for=float(dead_for) if at_init + died else math.nan,
                        )
                    )
        return found

    def state(self) -> dict[str, Any]:
        """What `load_state` goes on from: `births`, `deaths` and `revivals` begin anew."""
        return {name: (layer.dead, layer.lived, layer.since) for name, layer in self._layers.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name, (dead, lived, since) in state.items():
            self._layers[name] = _Layer.first(dead, 0)
            self._layers[name].lived, self._layers[name].since = lived, since
