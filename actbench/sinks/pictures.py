"""Pictures of activations."""

from __future__ import annotations

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
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
