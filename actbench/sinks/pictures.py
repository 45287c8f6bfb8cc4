"""Pictures of activations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Curve = tuple[float, ...]


@lru_cache(maxsize=64)  # a sweep shows the same activation in many runs
def draw_activation(name: str, z: Curve, f: Curve, slope: Curve) -> NDArray[np.uint8]:
    """f(z) and f'(z) over z: (height, width, 3)."""
    figure = Figure(figsize=(6, 4), dpi=110)
    axes = figure.subplots(gridspec_kw={"left": 0.1, "right": 0.97, "bottom": 0.16, "top": 0.9})
    axes.tick_params(labelsize=14)
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.axvline(0, color="0.8", linewidth=0.8)
    axes.plot(z, f, color="#0072B2", linewidth=2, label="f(z)")
    axes.plot(z, slope, color="#D55E00", linewidth=2, linestyle="--", label="f'(z)")
    axes.set_title(name, fontsize=18)
    axes.set_xlabel("pre-activation z", fontsize=14)
    axes.set_xlim(min(z), max(z))
    axes.legend(frameon=False, fontsize=16)
    axes.spines[["top", "right"]].set_visible(False)
    return _pixels(figure)


def draw_learned(name: str, layers: Mapping[str, Sequence[Curve]]) -> NDArray[np.uint8]:
    """What a learned activation has become, in a panel for each layer: (height, width, 3).

    A layer's curves are z, f(z) before training, and the median, 5 % and 95 % of f(z) now, over seeds and units.
    """
    columns = min(len(layers), 4)
    rows = math.ceil(len(layers) / columns)
    figure = Figure(figsize=(max(2.6 * columns, 5), 0.9 + 2.3 * rows), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, (layer, (z, before, now, low, high)) in zip(panels, layers.items(), strict=False):
        axes.axhline(0, color="0.8", linewidth=0.8)
        axes.axvline(0, color="0.8", linewidth=0.8)
        axes.fill_between(z, low, high, color="#0072B2", alpha=0.25, linewidth=0)
        axes.plot(z, before, color="#D55E00", linewidth=1.6, linestyle="--", label="before training")
        axes.plot(z, now, color="#0072B2", linewidth=1.8, label="after: median, 5 % to 95 % of seeds and units")
        axes.set_title(layer, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    for number, axes in enumerate(panels):
        axes.set_visible(number < len(layers))
        if number + columns >= len(layers):
            axes.set_xlabel("pre-activation z")
            axes.tick_params(labelbottom=True)
    figure.supylabel("f(z)", fontsize=11)
    figure.suptitle(f"{name}, as learned", fontsize=13)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=9)
    return _pixels(figure)


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
