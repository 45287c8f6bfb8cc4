"""What a run keeps of its activations: the pre-activations that they saw before and after training, and their curves.

Shape letters: L layers, S seeds, P points of a curve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from actbench.measures.computing.batch_norm import as_if_trained_on
from actbench.measures.computing.curves import axis_over, curve_of_units, learned_curves, units_are_alike
from actbench.measures.computing.histograms import BINS, Seen, look_at_preactivations
from actbench.stacking import activation_sites
from actbench.store.preactivations import POINTS, Preactivations
from actbench.train import Training

Look = Mapping[str, Sequence[Seen]]  # layer -> what its activation saw, for each of the S seeds

_LEAST = 2.0  # a curve is drawn at least from -2 to 2, however small the pre-activations are
_MOST = 1e6  # and not beyond that, however large they are


def look_before(training: Training) -> Look:
    """What the activations of the untrained networks see; training must not have begun, and no state been loaded."""
    with as_if_trained_on(training.network, training.splits.train_x[: training.eval_batch_size]):
        return look(training)


def look(training: Training) -> Look:
    """What the activations see now, for some samples of the validation split. Training is not affected."""
    sample = training.splits.val_x[: training.eval_batch_size]
    devices = [training.device] if training.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), training.autocast():  # the user's own code may draw from them
        return look_at_preactivations(training.network, sample, with_slopes=training.probe)


def preactivations(training: Training, before: Look, after: Look, sound: Sequence[int]) -> Preactivations | None:
    """What `preactivations.npz` holds; None where there is nothing to say.

    Args:
        training: of all seeds, trained.
        before: the look before training.
        after: the look after it.
        sound: the places of the seeds that did not diverge.
    """
    layers = list(after)
    if not layers or not sound or [*before] != layers:
        return None
    looks = [[[of[layer][place] for place in sound] for layer in layers] for of in (before, after)]  # (2, L, S)
    ends = np.array([[[_ends(seen) for seen in of_layer] for of_layer in moment] for moment in looks])
    axes = np.array([_axis(of_layer) for of_layer in ends.swapaxes(0, 1)])
    return Preactivations(
        layers=tuple(layers),
        seeds=tuple(training.seeds[place] for place in sound),
        ends=ends,
        counts=np.array([[[_counts(s) for s in of_layer] for of_layer in moment] for moment in looks], np.uint32),
        shares=np.array([[[(s.flat, s.nearly_flat) for s in of_layer] for of_layer in moment] for moment in looks]),
        axes=axes,
        curves=_curves(training, layers, axes, sound),
    )


def _ends(seen: Seen) -> tuple[float, float]:
    return (seen.histogram.min, seen.histogram.max) if seen.histogram else (math.nan, math.nan)


def _counts(seen: Seen) -> list[float]:
    return seen.histogram.counts if seen.histogram else [0.0] * BINS


def _axis(ends: np.ndarray) -> tuple[float, float]:
    """The first value and the step of z that cover what was seen in one layer."""
    known = ends[np.isfinite(ends)]
    low, high = min([-_LEAST, *known]), max([_LEAST, *known])
    return axis_over(max(low, -_MOST), min(high, _MOST), POINTS)


def _curves(training: Training, layers: Sequence[str], axes: np.ndarray, sound: Sequence[int]) -> np.ndarray:
    """The curves of all layers, before training and as learned: (2, L, 2, P)."""
    curves = np.full((2, len(layers), 2, POINTS), np.nan, np.float32)
    learns = any(list(module.parameters()) for module in training.initial_activations.values())
    trained = [activation_sites(training.network.plain_network(place)) for place in sound] if learns else []
    for number, (layer, (first, step)) in enumerate(zip(layers, axes, strict=True)):
        untrained = training.initial_activations.get(layer)
        if untrained is None:
            continue
        z = torch.tensor(first + step * np.arange(POINTS), dtype=torch.float32)
        before = curve_of_units(untrained, z)
        if before is None or not units_are_alike(untrained, z):
            continue
        curves[0, number] = _array(before.median())
        learned = learned_curves(untrained, [sites[layer] for sites in trained], z)
        if learned is not None:
            curves[1, number] = _array(learned[1].median())
    return curves


def _array(curve: tuple[Tensor, Tensor]) -> np.ndarray:
    return np.stack([values.detach().float().cpu().numpy() for values in curve])
