"""Learning curves: validation accuracy and training loss, every line with its name at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator

from actbench.errors import Problem
from actbench.measures.scores import EpochRecord
from actbench.records import Estimate
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.drawing import (
    Drawing,
    LineStyle,
    Tip,
    heading,
    line_styles,
    of_series,
    shown_configurations,
    tips_each,
    tips_of_line,
)
from actbench.report.formatting import listed
from actbench.report.line_labels import End, column_height, column_width, label_ends, placed, shortened
from actbench.report.score_axes import accuracy_axis, loss_axis
from actbench.report.seed_records import read_each
from actbench.store import reader

SECTION = "curves"
ORDER = 10
_WIDTH, _LEFT, _TOP, _BOTTOM = 10.0, 0.85, 0.62, 0.55  # inches of the figure, and around axes
_NARROWEST = 2.3  # inches of axes beside each other; narrower ones are drawn below each other
_FULL, _FAINT = 0.18, 0.035  # opacity of one band, and of each of many

Curves = Mapping[str, np.ndarray]  # "epoch" (E), and for each column mean, low and high (3, E)


def draw(comparison: Comparison, problems: list[Problem]) -> Drawing | None:
    """Validation accuracy and training loss of each configuration, also of one that diverged."""
    shown, selection = shown_configurations(comparison, diverged=True)
    histories = {name: curves for name, curves in read_each(shown, history, problems).items() if curves["epoch"].size}
    if not histories:
        return None
    figure, tips = learning_curves(histories, line_styles(comparison))
    heading(figure, comparison, "Learning curves", "lines: mean over seeds; bands: its 95 % interval")
    caption = "Learning curves: mean over seeds, bands: its 95 % interval."
    lost = [name for name, curves in histories.items() if not np.isfinite(curves["val_accuracy"][0]).any()]
    caption += f" Diverged before the end of the first epoch: {listed(lost, len(lost))}." if lost else ""
    return Drawing(figure, caption + selection, tuple(tips))


def history(configuration: Configuration) -> Curves:
    """Mean and interval over seeds of each epoch.

    Raises:
        UserError: a file cannot be read.
    """
    by_epoch: dict[int, dict[int, EpochRecord]] = {}
    for run in configuration.runs:  # where two runs have a seed, the newer one counts
        for record in reader.table(run.folder, EpochRecord):
            by_epoch.setdefault(record.epoch, {})[record.seed] = record
    epochs = sorted(by_epoch)
    curves = {"epoch": np.array(epochs)}
    for column in ("val_accuracy", "train_loss"):
        curves[column] = _bands([[getattr(r, column) for r in by_epoch[epoch].values()] for epoch in epochs])
    return curves


def _bands(by_epoch: Sequence[Sequence[float]]) -> np.ndarray:
    """(3, E): the mean, and the ends of its interval."""
    estimates = [Estimate.of(values) for values in by_epoch]
    rows = [(e.mean, *(e.ci95 or (e.mean, e.mean))) for e in estimates]
    return np.array(rows, dtype=float).reshape(-1, 3).T


def learning_curves(histories: Mapping[str, Curves], styles: Mapping[str, LineStyle]) -> tuple[Figure, list[Tip]]:
    """Accuracy and loss beside each other; below each other where names are long."""
    widest = 0.38 * _WIDTH
    last = max(int(curves["epoch"][-1]) for curves in histories.values())
    broken = {name: _breaks(curves, last) for name, curves in histories.items()}
    texts = {name: shortened(name, widest) + " (diverged)" * broken[name] for name in histories}
    column = column_width(list(texts.values()))
    beside = (_WIDTH - 2 * (_LEFT + column)) / 2 >= _NARROWEST
    height = max(3.4 if beside else 2.8, column_height(len(histories)))
    step = height + _TOP + _BOTTOM
    figure = Figure(figsize=(_WIDTH, step if beside else 2 * step - 0.25))
    width = (_WIDTH / 2 if beside else _WIDTH) - _LEFT - column
    left = placed(figure, _LEFT, _BOTTOM if beside else _BOTTOM + step - 0.25, width, height)
    right = placed(figure, _LEFT + (_WIDTH / 2 if beside else 0), _BOTTOM, width, height)
    tips: list[Tip] = []
    each = tips_each(2 * len(histories))
    for axes, column_name in ((left, "val_accuracy"), (right, "train_loss")):
        _lines(axes, column_name, histories, styles)
        tips += _tips(axes, column_name, histories, each)
        label_ends(axes, [
            End(name, texts[name], *point, styles[name], broke=broken[name])
            for name, curves in histories.items()
            if (point := _last(curves["epoch"], curves[column_name][0]))
        ])  # fmt: skip
    return figure, tips


def _lines(axes: Axes, column: str, histories: Mapping[str, Curves], styles: Mapping[str, LineStyle]) -> None:
    """The means and bands of one column, and the axes around them."""
    bands = {name: curves[column] for name, curves in histories.items()}
    last = max(int(curves["epoch"][-1]) for curves in histories.values())
    first = min(int(curves["epoch"][0]) for curves in histories.values())
    axes.set_xlim(first if first < last else first - 1, last)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True) if first < last else FixedLocator([last]))
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.25)
    if column == "val_accuracy":
        accuracy_axis(axes, np.concatenate([band[0] for band in bands.values()]), _ends(bands.values()))
        leaving = [False] * len(bands)
    else:
        leaving = loss_axis(axes, [band[0] for band in bands.values()])
    alpha = max(_FAINT, _FULL / len(bands) ** 0.6)
    bottom, top = axes.get_ylim()
    for (name, (mean, low, high)), leaves in zip(bands.items(), leaving, strict=True):
        epochs, style = histories[name]["epoch"], styles[name]
        marker = "o" if len(epochs) == 1 else ""
        line = axes.plot(
            epochs, np.maximum(mean, bottom), color=style.colour, linestyle=style.dash, linewidth=1.6, marker=marker,
            markersize=5, clip_on=len(epochs) > 1,
        )  # fmt: skip
        if len(epochs) == 1:  # a band without a width
            ends = np.clip([*low, *high], bottom, top)
            line += axes.plot([*epochs] * 2, ends, color=style.colour, linewidth=3, alpha=0.3, clip_on=False)
        band = axes.fill_between(
            epochs, np.clip(low, bottom, top), np.clip(high, bottom, top), color=style.colour, alpha=alpha, linewidth=0
        )
        of_series(name, *line, band)
        if leaves:
            of_series(name, *_edges(axes, epochs, mean, style))


def _edges(axes: Axes, epochs: np.ndarray, mean: np.ndarray, style: LineStyle) -> list[Line2D]:
    """Arrow heads where a line goes on beyond the axes."""
    bottom, top = axes.get_ylim()
    how: dict[str, Any] = {"color": style.colour, "linestyle": "", "clip_on": False, "markersize": 7, "zorder": 5}
    above, below = mean > top, mean < bottom
    return [
        *axes.plot(epochs[above], np.full(above.sum(), top), marker="^", **how),
        *axes.plot(epochs[below], np.full(below.sum(), bottom), marker="v", **how),
    ]


def _ends(bands: Iterable[np.ndarray]) -> np.ndarray:
    """The ends of all bands in one array."""
    return np.concatenate([band[1:].ravel() for band in bands])


def _breaks(curves: Curves, last: int) -> bool:
    """Whether no seed has a finite score in the last epoch."""
    return bool(curves["epoch"][-1] < last or not np.isfinite(curves["val_accuracy"][0][-1]))


def _last(epochs: np.ndarray, mean: np.ndarray) -> tuple[float, float] | None:
    """The last point that is a number."""
    finite = np.flatnonzero(np.isfinite(mean))
    return (float(epochs[finite[-1]]), float(mean[finite[-1]])) if len(finite) else None


def _tips(axes: Axes, column: str, histories: Mapping[str, Curves], each: int) -> list[Tip]:
    """`relu, epoch 3: 97.81 % (97.60 to 98.02)`."""
    number = "{:.2f}".format if column == "val_accuracy" else "{:.4g}".format
    unit = "%" if column == "val_accuracy" else "nats"
    tips = []
    for name, curves in histories.items():
        epochs, band = curves["epoch"], curves[column]
        texts = [
            f"{name}, epoch {epoch}: {number(mean)} {unit}"
            + (f" ({number(low)} to {number(high)})" if low < high else "")
            for epoch, mean, low, high in zip(epochs, *band, strict=True)
        ]
        tips += tips_of_line(axes, epochs, band[0], texts, name, each)
    return tips
