"""What TensorBoard shows of a run's activations: their curves, and how pre-activations and learned parameters lie."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import compress
from typing import Any

from torch import Tensor

from actbench.measures.computing.curves import axis, curve_of_one, learned_curves, over_units
from actbench.measures.computing.histograms import Histogram, Seen, histogram
from actbench.measures.shapes import learned_shapes
from actbench.settings import Settings
from actbench.sinks.pictures import draw_activation, draw_learned
from actbench.stacking import activation_sites
from actbench.train import Training
from actbench.train.networks import activation_factory

_SHARES = (0.5, 0.05, 0.95)  # of seeds and units, below a learned curve: the median, and the ends of its band


def write_preactivations(tensorboard: Any, seen: Mapping[str, Sequence[Seen]], step: int) -> None:
    """The histogram of z of each layer and seed after `step` epochs; 0 is before training."""
    histograms = {f"preactivation/{layer}": [one.histogram for one in of_seeds] for layer, of_seeds in seen.items()}
    tensorboard.write_histograms(histograms, step)


def draw(settings: Settings, training: Training, tensorboard: Any, step: int, *, diverged: Container[int] = ()) -> None:
    """Each activation as configured and what it has become, and how its parameters lie."""
    for group, choice in (("activation", settings.activation), ("upper_activation", settings.upper_activation)):
        if choice.target is not None:
            curve = curve_of_one(activation_factory(choice, settings.trust, group)(1))
            if curve is not None:
                picture = draw_activation(choice.name, *(tuple(values.tolist()) for values in curve))
                tensorboard.write_activation(choice.name, picture, step)
    learned = learned_shapes(training.network)
    sound = [seed not in diverged for seed in training.seeds]
    if learned and any(sound):
        tensorboard.write_histograms(_histograms(learned), step)
        name = settings.activation.name if settings.upper_activation.target is None else settings.label
        curves = _learned_curves(training, sound)
        if curves:
            tensorboard.write_activation("learned", draw_learned(name, curves), step)


def _histograms(learned: Mapping[tuple[str, str], Tensor]) -> dict[str, list[Histogram | None]]:
    """Of the parameters that each unit has of its own."""
    return {
        f"learned_{parameter}/{layer}": [histogram(of_seed) for of_seed in values]
        for (layer, parameter), values in learned.items()
        if values.shape[1] > 1
    }


def _learned_curves(training: Training, sound: Sequence[bool]) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Layer -> z, f(z) before training, and the median, 5 % and 95 % of f(z) now, over sound seeds and units."""
    trained = [
        activation_sites(training.network.plain_network(number))
        for number in compress(range(len(training.seeds)), sound)
    ]
    curves = {}
    for layer, untrained in training.initial_activations.items():
        learned = learned_curves(untrained, [sites[layer] for sites in trained], axis())
        if learned is not None:
            before, now = learned
            values = (axis(), before.median().f, *over_units(now.f, _SHARES))
            curves[layer] = tuple(tuple(value.tolist()) for value in values)
    return curves
