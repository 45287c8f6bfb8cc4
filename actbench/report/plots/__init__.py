"""The plots of the report, one module each, which are discovered without being listed.

A plot module `plots/curves.py` becomes `curves.svg` and `curves.png` and has

    SECTION: str                                                  # of the page: a key of `report.sections.SECTIONS`
    ORDER: int                                                    # its place there, smallest first
    def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None

where `draw` returns None if the comparison has no data for it, and adds files that cannot be read to `problems`. What
several plots share is in `report.drawing`, `report.line_labels` and `report.score_axes`.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import matplotlib

from actbench.errors import Problem
from actbench.report import svg
from actbench.report.comparison import Comparison
from actbench.report.drawing import STYLE, Drawing


@dataclass(frozen=True)
class Plot:
    """A plot as SVG and PNG, with what it shows in a sentence."""

    name: str
    section: str
    caption: str
    svg: bytes
    png: bytes


def plot_modules() -> list[ModuleType]:
    """The modules of this package, in the order in which the page shows them."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    return sorted(modules, key=lambda module: (module.ORDER, module.__name__))


def draw_plots(comparison: Comparison, problems: list[Problem]) -> Iterator[Plot]:
    """Every plot that the block has data for; files that cannot be read are added to `problems`."""
    if not any(configuration.n for configuration in comparison.block.configurations):
        return
    for module in plot_modules():
        plot = draw_plot(module, comparison, problems)
        if plot is not None:
            yield plot


def name_of(module: ModuleType) -> str:
    """The name of a plot module's plot, and of its files."""
    return module.__name__.rpartition(".")[2]


def draw_plot(module: ModuleType, comparison: Comparison, problems: list[Problem]) -> Plot | None:
    """The plot of one of `plot_modules`; None if the comparison has no data for it."""
    name = name_of(module)
    with _ONE_AT_A_TIME, matplotlib.rc_context({**_USUAL, **STYLE, **svg.STYLE, "svg.hashsalt": name}):
        drawing = module.draw(comparison, problems)
        return _saved(name, module.SECTION, drawing) if drawing is not None else None


_ONE_AT_A_TIME = threading.RLock()  # Matplotlib's parameters belong to the process
_OF_A_PROGRAM = ("backend", "interactive", "toolbar", "timezone", "webagg", "tk", "macosx", "keymap", "docstring")
_USUAL = {  # whatever style a program or a matplotlibrc has set: the same picture everywhere
    name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith(_OF_A_PROGRAM)
}


def _saved(name: str, section: str, drawing: Drawing) -> Plot:
    figure, caption = drawing.figure, drawing.caption
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is the same for both files
    tips = svg.places(figure, drawing.tips)
    vectors, pixels = io.BytesIO(), io.BytesIO()
    figure.savefig(vectors, format="svg", metadata={"Date": None, "Title": caption})
    figure.savefig(pixels, format="png", metadata={"Title": caption})
    return Plot(name, section, caption, svg.finish(vectors.getvalue(), tips), pixels.getvalue())
