"""What TensorBoard shows at the end of a run of its activations: their curves, and how pre-activations and learned
parameters are distributed."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn

from actbench.activations.coupling import as_one_seed, coupling_of, is_known, selects, units_of
from actbench.measures.computing.histograms import Histogram, histogram, preactivation_histograms
from actbench.measures.computing.slopes import slopes
from actbench.measures.shapes import learned_shapes
from actbench.settings import Settings
from actbench.sinks.pictures import draw_activation, draw_learned
from actbench.stacking import activation_sites
from actbench.train import Training
from actbench.train.networks import activation_factory

_POINTS = 401


def draw(settings: Settings, training: Training, tensorboard: Any, step: int, *, diverged: Container[int] = ()) -> None:
    """Each activation as configured and what it has become, and how pre-activations and its parameters lie."""
    for group, choice in (("activation", settings.activation), ("upper_activation", settings.upper_activation)):
        if choice.target is not None:
            curve = _curve(activation_factory(choice, settings.trust, group)(1))
            if curve is not None:
                picture = draw_activation(choice.name, *(tuple(values.tolist()) for values in curve))
                tensorboard.write_activation(choice.name, picture, step)
    sample = training.splits.val_x[: training.eval_batch_size]
    tensorboard.write_histograms(preactivation_histograms(training.network, sample), step)
    learned = learned_shapes(training.network)
    sound = [seed not in diverged for seed in training.seeds]
    if learned and any(sound):
        tensorboard.write_histograms(_histograms(learned), step)
        name = settings.activation.name if settings.upper_activation.target is None else settings.label
        curves = _learned_curves(training, sound)
        if curves:
            tensorboard.write_activation("learned", draw_learned(name, curves), step)


def _axis(points: int = _POINTS) -> Tensor:
    """Values of z for a curve: new ones each time, since an activation may write to them."""
    return torch.linspace(-5, 5, points)


def _curve(module: nn.Module) -> tuple[Tensor, Tensor, Tensor] | None:
    """z, f(z) and f'(z); an activation that selects among units sees the values of z as the outputs of one layer.

    None of one that has no curve: a unit's output depends on the others, or it takes the outputs of a convolution only.
    """
    module = module.eval()
    over_a_layer = selects(as_one_seed(module), units=units_of(module))
    if not (over_a_layer or _has_curve(module)):
        return None
    z = _axis(max(_POINTS, getattr(module, "k", None) or 0))[None] if over_a_layer else _axis()[:, None]
    f, slope = slopes(lambda z: module(z.clone()), z)
    return z.flatten(), f.flatten(), slope.flatten()


def _has_curve(module: nn.Module) -> bool:
    if is_known(module):
        return True
    units = max((tensor.numel() for tensor in (*module.parameters(), *module.buffers())), default=1)
    try:
        coupling = coupling_of(lambda z: module(z.squeeze(0)).unsqueeze(0), torch.zeros(1, 8, max(units, 8)))
        return not coupling and module(_axis()[:, None]).shape == (_POINTS, 1)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return False


def _histograms(learned: Mapping[tuple[str, str], Tensor]) -> dict[str, list[Histogram | None]]:
    """Of the parameters that each unit has of its own."""
    return {
        f"learned_{parameter}/{layer}": [histogram(of_seed) for of_seed in values]
        for (layer, parameter), values in learned.items()
        if values.shape[1] > 1
    }


@torch.no_grad()
def _learned_curves(training: Training, sound: Sequence[bool]) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Layer -> z, f(z) before training, and the median, 5 % and 95 % of f(z) now, over sound seeds and units."""
    untrained = training.initial_activations
    before = {layer: _over_units(module) for layer, module in untrained.items() if _has_curve_of_units(module)}
    now: dict[str, list[Tensor]] = {layer: [] for layer in before}
    for number in compress(range(len(training.seeds)), sound):
        trained = activation_sites(training.network.plain_network(number))
        for layer, curves_of_layer in now.items():
            curves_of_layer.append(_over_units(trained[layer]))
    curves = {}
    for layer, of_seeds in now.items():
        share = torch.quantile(torch.cat(of_seeds, dim=1), torch.tensor([0.5, 0.05, 0.95]), dim=1)
        values = (_axis(), before[layer].median(1).values, *share)
        curves[layer] = tuple(tuple(value.tolist()) for value in values)
    return curves


def _over_units(module: nn.Module) -> Tensor:
    """f(z) over `_axis()`, for each unit that has parameters of its own: (401, units)."""
    units = max(parameter.numel() for parameter in module.parameters())
    return module(_axis()[:, None].repeat(1, units))


def _has_curve_of_units(module: nn.Module) -> bool:
    """Whether an activation learns something that can be drawn as one curve for each unit."""
    if not list(module.parameters()) or is_known(module):
        return bool(list(module.parameters()))
    try:
        return _has_curve(module) and _over_units(module).ndim == 2
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return False
