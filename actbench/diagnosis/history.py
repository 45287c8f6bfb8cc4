"""`RunHistory`: what a diagnosis is based on: a run's settings, its epochs, and the traits of its activations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from actbench.measures.layers import LayerRecord
from actbench.records import Epoch, Origin, Traits
from actbench.settings import Settings


@dataclass(frozen=True)
class RunHistory:
    """One run after its last epoch.

    The numbers of a seed that diverged are meaningless: everything but `diverged` and `origins` leaves these seeds out.

    Args:
        settings: of the run.
        epochs: in their order, epoch 0 first if the untrained network was measured.
        device: `cpu`, `cuda` or `mps`; a number after it is ignored.
        classes: number of classes of the dataset.
        validation: number of samples of the validation split.
        steps: optimizer steps per epoch.
        images: whether samples are images, which can be augmented.
        traits: `activation`, and `upper_activation` if there is one -> its traits.
    """

    settings: Settings
    epochs: Sequence[Epoch]
    device: str
    classes: int = 10
    validation: int = 5000
    steps: int = 430
    images: bool = True
    traits: Mapping[str, Traits] = field(default_factory=dict)

    @cached_property
    def trained(self) -> tuple[Epoch, ...]:
        """The epochs of training, without the measurement before it."""
        return tuple(epoch for epoch in self.epochs if epoch.number > 0)

    @cached_property
    def diverged(self) -> dict[int, int]:
        """Seed -> the epoch in which its loss stopped being finite."""
        return {seed: epoch.number for epoch in self.epochs for seed in epoch.diverged}

    @cached_property
    def origins(self) -> dict[int, Origin]:
        """Seed that diverged -> its first value that was not finite; seeds without a known origin are left out."""
        return {origin.seed: origin for epoch in self.epochs for origin in (Origin(*row) for row in epoch.origins)}

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were trained to the last epoch and have not diverged."""
        last = self.trained[-1].records if self.trained else ()
        return tuple(record.seed for record in last if record.seed not in self.diverged)

    def curve(self, seed: int, name: str) -> list[float]:
        """A field of `EpochRecord` over the epochs of training."""
        return [getattr(r, name) for epoch in self.trained for r in epoch.records if r.seed == seed]

    def finals(self, name: str) -> list[float]:
        """A field of `EpochRecord` after the last epoch, one value for each of `seeds`."""
        return [self.curve(seed, name)[-1] for seed in self.seeds]

    @cached_property
    def untrained(self) -> dict[str, tuple[LayerRecord, ...]]:
        """Layer -> a record of each seed before training; empty if that was not measured."""
        return self._layers_of(self.epochs[0]) if self.epochs and self.epochs[0].number == 0 else {}

    @cached_property
    def layers(self) -> dict[str, tuple[LayerRecord, ...]]:
        """Layer, first to last -> a record of each seed after the last epoch; empty if layers were not measured."""
        return self._layers_of(self.trained[-1]) if self.trained else {}

    def _layers_of(self, epoch: Epoch) -> dict[str, tuple[LayerRecord, ...]]:
        names = dict.fromkeys(record.layer for record in epoch.layers)
        layers = {name: tuple(r for r in epoch.layers if r.layer == name and r.seed in self.seeds) for name in names}
        return {name: records for name, records in layers.items() if records}

    def sampling_error(self, accuracy: float) -> float:
        """The standard error of a validation accuracy (%) that comes from the split's size: sqrt(p·(1 - p)/n)."""
        share = min(max(accuracy / 100.0, 0.0), 1.0)
        return 100.0 * math.sqrt(share * (1.0 - share) / self.validation)

    def activations_with(self, *names: str) -> tuple[str, ...]:
        """Those of `activation` and `upper_activation` that have at least one of these traits."""
        return tuple(key for key, traits in self.traits.items() if any(getattr(traits, name) for name in names))
