"""The comparison as pictures."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from actbench.errors import Problem
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.depths import series_of
from actbench.report.plots.cost import cost
from actbench.report.plots.curves import history, overlay, panels_of
from actbench.report.plots.dead import dead_overlay, dead_panels, dead_units
from actbench.report.plots.depth import over_depth
from actbench.report.plots.heatmap import axes_of, grid_of, heatmap
from actbench.report.plots.intervals import differences, intervals
from actbench.report.plots.raster import chosen, raster, rasters, seeds_of
from actbench.report.plots.shapes import learned, shape_panels, shapes
from actbench.report.plots.style import OVERLAID, STYLE
from actbench.report.readings import most_dead, of_which, readable

SHOWN = 20  # configurations in a picture; the tables have all
_OVER_DEPTH = (
    "Test accuracy over depth: mean with 95 % interval, and every seed as a ring; above the dotted line a seed counts "
    "as trained, a cross at the bottom: all seeds diverged."
)
_RASTERED = 8  # configurations whose units are drawn one by one


@dataclass(frozen=True)
class Picture:
    """A plot as SVG and PNG, with what it shows in a sentence."""

    name: str
    caption: str
    svg: bytes
    png: bytes


def pictures(comparison: Comparison, problems: list[Problem]) -> Iterator[Picture]:
    """Every plot that the block has data for; files that cannot be read are added to `problems`."""
    shown, left_out = _shown(comparison)
    if not shown:
        return
    baseline = comparison.ranking.baseline.configuration if comparison.ranking.baseline else None
    histories = readable(shown, history, problems)
    layers = readable(shown, dead_units, problems)
    few = f" The best {len(shown)} of {len(shown) + left_out} configurations." if left_out else ""
    band = "Bands: 95 % interval of the mean over seeds."
    several = len(histories) > OVERLAID
    if histories:
        yield _picture("curves", f"Learning curves. {band}{few}", panels_of if several else overlay, histories)
    caption = f"Test accuracy: mean with 95 % interval, and every seed as a dot.{few}"
    yield _picture("accuracy", caption, intervals, shown, baseline)
    rows = [row for row in comparison.ranking.rows if row.against and row.configuration in shown]
    if rows and baseline:
        caption = f"Difference from {baseline.name}, paired seed by seed, with 95 % interval.{few}"
        yield _picture("differences", caption, differences, rows, baseline.name)
    if len(shown) > 1:
        yield _picture("cost", f"Test accuracy against the time of an epoch.{few}", cost, shown)
    series = dict(list(series_of(comparison.block).items())[:SHOWN])
    if series:
        yield _picture("depth", _OVER_DEPTH, over_depth, series)
    layers = {name: of_layers for name, of_layers in layers.items() if of_layers}
    if layers:
        caption = f"Dead units of each layer over epochs (0: before training), mean over seeds.{few}"
        plain = len(layers) <= OVERLAID and all(len(of_layers) == 1 for of_layers in layers.values())
        yield _picture("dead", caption, dead_overlay if plain else dead_panels, layers)
    yield from _inside(comparison, problems)
    axes = axes_of(comparison)
    if axes:
        grid = grid_of(comparison, *axes)
        more = " Of further settings the one with the best validation accuracy." if grid.chosen else ""
        yield _picture("heatmap", f"Mean test accuracy (%) over {axes[0]} and {axes[1]}.{more}", heatmap, grid)


def _inside(comparison: Comparison, problems: list[Problem]) -> Iterator[Picture]:
    """Units that died, and what activations learned."""
    usable = [one for one in comparison.block.configurations if one.n]
    dead = most_dead(usable, _RASTERED)
    panels, left_out = chosen(readable(dead, rasters, problems))
    if panels:
        few = f" Only {of_which(dead, usable)} were looked at." if len(dead) < len(usable) else ""
        words = f"{seeds_of(panels)} {left_out}".strip()
        caption = f"Every unit over training, sorted by when it was first found dead (dark: dead). {words}{few}"
        yield _picture("raster", caption, partial(raster, named=len(usable) > 1), panels)
    of_shapes = shape_panels(readable(usable[:SHOWN], shapes, problems))
    if of_shapes:
        caption = "Learned parameters of the activations (0: before training), mean over each layer's units."
        yield _picture("shapes", f"{caption} Bands: 95 % interval of the mean over seeds.", learned, of_shapes)


def _shown(comparison: Comparison) -> tuple[list[Configuration], int]:
    """The best configurations, and the baseline among them."""
    usable = [row.configuration for row in comparison.ranking.rows if row.configuration.n]
    shown, baseline = usable[:SHOWN], comparison.ranking.baseline
    if baseline is not None and baseline.configuration not in shown:
        shown[-1] = baseline.configuration
    return shown, len(usable) - len(shown)


def _picture(name: str, caption: str, draw: Callable[..., Figure], *arguments: Any) -> Picture:
    with matplotlib.rc_context(STYLE):
        figure = draw(*arguments)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # once is enough for both files
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Title": caption})
        figure.savefig(png, format="png", metadata={"Title": caption})
    return Picture(name, caption, svg.getvalue(), png.getvalue())
