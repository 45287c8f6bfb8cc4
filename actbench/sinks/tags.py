"""The scalars of an epoch for TensorBoard: their tags come from the declarations of the rows."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from actbench.measures import registry
from actbench.measures.quantities import Quantity, by_seed, column_kinds, over_layers, quantities_of
from actbench.records import Epoch, Estimate, RunSummary
from actbench.settings import Settings

Scalar = tuple[int, str, int, float]  # seed, tag, step, value
ALL = "all"  # for the layer, in the tag of a network's value


@dataclass(frozen=True)
class Thin:
    """What TensorBoard is not shown: epochs but for every so many and the last one, single layers, single seeds."""

    every: int = 1
    epochs: int = 0
    layers: bool = True
    seeds: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Thin:
        """As a run was asked for it."""
        detail = settings.tensorboard_detail
        return cls(settings.tensorboard_every, settings.train.epochs, detail == "full", detail != "mean")

    def has(self, epoch: int) -> bool:
        """Whether an epoch is shown; the first one and that before training are, so that curves have a beginning."""
        return epoch <= 1 or epoch % self.every == 0 or epoch == self.epochs


class Tags:
    """Knows which layers have had something rare to show."""

    def __init__(self, *, layers: bool = True) -> None:
        self.layers = layers  # else only the value of the whole network
        self._eventful: set[tuple[type, str]] = set()

    def of(self, epoch: Epoch) -> Iterator[Scalar]:
        """Seed, tag, step and value of everything that has a tag."""
        for kind, rows in epoch.tables().items():
            tagged = [quantity for quantity in quantities_of(kind) if quantity.tag]
            if tagged:
                self._notice(kind, tagged, rows)
                for seed, of_seed in by_seed(rows).items():
                    for tag, step, value in self._of_seed(kind, tagged, of_seed):
                        yield seed, tag, step, value

    def _notice(self, kind: type, tagged: Sequence[Quantity], rows: Sequence[Any]) -> None:
        rare = [quantity.key for quantity in tagged if quantity.rare]
        for row in rows if rare else ():
            if any(math.isfinite(value := getattr(row, key)) and value != 0 for key in rare):
                self._eventful.add((kind, getattr(row, "layer", "")))

    def _of_seed(self, kind: type, tagged: Sequence[Quantity], rows: Sequence[Any]) -> Iterator[tuple[str, int, float]]:
        """Tag, step and value of what one seed's rows of one kind hold."""
        columns = column_kinds(kind)
        axis = "step" if "step" in columns else "epoch"
        for row in rows:
            about = {name: getattr(row, name) for name in columns}
            for quantity in tagged if self.layers or "layer" not in columns else ():
                value = about[quantity.key]
                if about.get("epoch") == 0 and math.isnan(value):  # of training, which has not begun
                    continue
                if self._is_shown(kind, quantity, value, about.get("layer", "")):
                    yield quantity.tag.format_map(about), math.ceil(about[axis]), value
        if "layer" not in columns:
            return
        for step in dict.fromkeys(getattr(row, axis) for row in rows):
            layers = [row for row in rows if getattr(row, axis) == step]
            for quantity in tagged:
                value = over_layers(layers, quantity) if quantity.over_layers else math.nan
                if self._is_shown(kind, quantity, value, None):
                    yield quantity.tag.format_map({**vars(layers[0]), "layer": ALL}), math.ceil(step), value

    def _is_shown(self, kind: type, quantity: Quantity, value: float, layer: str | None) -> bool:
        """Whether there is something to show: a number that is known, and of a rare one once there was another than 0.

        `layer` is None for the network, which has something to show when any of its layers has.
        """
        if math.isnan(value) and not quantity.nan_is_a_result:
            return False
        if not quantity.rare:
            return True
        return any(other is kind and layer in (None, name) for other, name in self._eventful)


@lru_cache(maxsize=1)
def tagged_at_the_end() -> tuple[Quantity, ...]:
    """What each seed has once, when the run is at its end, in `summary.json`."""
    once = [kind for kind in registry.row_types() if "epoch" not in column_kinds(kind)]
    return tuple(quantity for kind in once for quantity in quantities_of(kind) if quantity.tag and quantity.summary)


def at_the_end(summary: RunSummary) -> Iterator[Scalar]:
    """Seed, tag, step and value of what each sound seed has once."""
    for quantity in tagged_at_the_end():
        if quantity.summary in summary.metrics:
            for seed, value in zip(summary.seeds, summary.metrics[quantity.summary].values, strict=True):
                if value is not None:
                    yield seed, quantity.tag, summary.epochs_done, value


def means(scalars: Iterable[Scalar], diverged: Container[int] = ()) -> Iterator[tuple[str, int, float]]:
    """Tag, step and mean over the seeds that did not diverge, where that is a number."""
    sound: dict[tuple[str, int], list[float]] = {}
    for seed, tag, step, value in scalars:
        if seed not in diverged:
            sound.setdefault((tag, step), []).append(value)
    for (tag, step), values in sound.items():
        mean = Estimate.of(values).mean
        if mean is not None:
            yield tag, step, mean
