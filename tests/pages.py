"""Pages of made-up studies with plots of their own, which are drawn in a moment: for tests of what the page can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import fake_run, settings_of
from matplotlib.figure import Figure

from actbench.report import page, plots
from actbench.report.command import make_report
from actbench.report.drawing import BLUE, COLOURS, Drawing, Tip, of_series
from actbench.report.sections import TOP
from actbench.report.text_table import TextTable
from actbench.settings import Choice

NAMES = (
    "relu", "gelu", "elu", "tanh", "silu", "celu", "relu6", "selu", "mish", "softplus", "softsign", "sigmoid", "hardtanh",
    "hardswish", "leaky_relu", "prelu", "swish", "acon", "pact", "topk", "squared_relu", "bipolar_relu",
)  # fmt: skip
NASTY = ('<script>alert("1")</script>', "]]> \"x\" 'y' &amp; `z`", "series:1:$x$ {{ 7 * 7 }} \\ |")


def study(folder: Path, names: Sequence[str], *, unfinished: str | None = None) -> Path:
    """Runs of three seeds each, the first name the best by far."""
    settings = settings_of("dataset=digits", "num_seeds=3", "train.epochs=3")
    for number, name in enumerate(names):
        own = replace(settings, activation=Choice(name, "torch.nn.ReLU", {"p": number}))
        fake_run(folder / f"run{number}", own, [97 - number / 2 + 0.01 * seed for seed in (0, 1, 2)])
    if unfinished:
        own = replace(settings, activation=Choice(unfinished, "torch.nn.ReLU", {"p": -1}))
        fake_run(folder / "begun", own, [90.0, 90.0, 90.0], status="interrupted")
    return folder


def write_page(
    folder: Path, study_folder: Path, *, own_plots: bool = True, studies: TextTable | None = None
) -> Path:  # fmt: skip
    """The page of a study; with `own_plots` two plots of ours in the place of those of the package."""
    with pytest.MonkeyPatch.context() as patch:
        if own_plots:
            patch.setattr(plots, "plot_modules", lambda: [_module("means", TOP), _module("curves", "curves")])
        report = make_report([study_folder])
        page.write(report.comparisons, report.problems, folder, studies=studies)
    return folder / "report.html"


def _module(name: str, section: str) -> SimpleNamespace:
    return SimpleNamespace(__name__=name, SECTION=section, draw=_means if section == TOP else _curves)


def _means(comparison, _problems) -> Drawing:
    """A point for each configuration, with its value as a tip."""
    figure = Figure(figsize=(9, 3))
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    tips = []
    for place, configuration in enumerate(comparison.block.configurations):
        value = configuration.mean("test_accuracy")
        of_series(configuration.name, axes.scatter([value], [place], color=COLOURS[place % len(COLOURS)]))
        tips.append(Tip(axes, value, place, f"{configuration.name}: {value:.2f} %", configuration.name))
    axes.set_xlabel("test accuracy (%)")
    return Drawing(figure, "Means.", tuple(tips))


def _curves(comparison, _problems) -> Drawing:
    figure = Figure(figsize=(10, 3))
    axes = figure.add_axes((0.1, 0.2, 0.8, 0.7))
    for place, configuration in enumerate(comparison.block.configurations):
        (line,) = axes.plot([0, 1, 2], [place, place + 1, place + 1.5], color=BLUE)
        of_series(configuration.name, line, axes.fill_between([0, 1, 2], place, place + 0.5, color=BLUE, alpha=0.2))
    axes.grid(color="0.8")
    return Drawing(figure, "Curves.")
