"""Laws of every plot, with 1, 2, 6 and 22 configurations: what is named, what overlaps, what readers are told of a point."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections import Counter
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from helpers import activation_choice, fake_run, settings_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Text
from scipy.optimize import minimize

from actbench.measures.layers import LayerRecord
from actbench.measures.lives import UnitEvent
from actbench.measures.scores import EpochRecord
from actbench.measures.shapes import ShapeRecord, symbol
from actbench.report import drawing
from actbench.report.command import Asked, make_report
from actbench.report.line_labels import spread
from actbench.report.plots import plot_modules
from actbench.report.score_axes import log_ticks

NAMES = [
    "relu",
    "gelu",
    "leaky_relu",
    "swish",
    "prelu",
    "sigmoid",
    "silu",
    "elu",
    "selu",
    "celu",
    "mish",
    "tanh",
    "softplus",
    "softsign",
    "relu6",
    "hardswish",
    "hardtanh",
    "acon",
    "pact",
    "topk",
    "bipolar_relu",
    "squared_relu",
]
LEARNED = {"prelu": ("weight",), "swish": ("weight",), "pact": ("alpha",), "acon": ("p1", "p2", "beta")}
ELSEWHERE = ("activations",)  # has tests of its own
MODULES = [module for module in plot_modules() if module.__name__.rpartition(".")[2] not in ELSEWHERE]
COUNTS = (1, 2, 6, 22)


def make_study(folder, number, *, epochs=4, layers=3, diverged=(), dead=None):
    """Runs of so many activations with curves of their own; units die in every second one, and one never learns."""
    rng = np.random.default_rng(number)
    base_settings = settings_of("dataset=digits", "num_seeds=3", f"train.epochs={epochs}")
    for place, name in enumerate(NAMES[:number]):
        own = replace(base_settings, activation=activation_choice(name))
        final = 11.0 if name == "squared_relu" else 97.0 - 0.3 * place
        last = 2 if name in diverged else epochs
        accuracies = {
            (seed, epoch): final - 8.0 / epoch + rng.normal(0, 0.2)
            for seed in own.seeds for epoch in range(1, last + 1)
        }  # fmt: skip
        history = [
            EpochRecord(seed, epoch, 1e-3, 0.5 + 0.01 * place, 90.0, 0.5, value, 1.0, 0.5) if epoch < last or last == epochs
            else EpochRecord(seed, epoch, 1e-3, math.nan, 90.0, math.nan, math.nan, 1.0, 0.5)
            for (seed, epoch), value in accuracies.items()
        ]  # fmt: skip
        share = (0.004 if place == 2 else 0.02 * place * (place % 2 == 0)) if dead is None else dead
        units = [
            LayerRecord(seed, epoch, f"hidden{layer}", 64, share * epoch / epochs * (layer != 2), 0.1, 0.1, 0.5, 0.0,
                        1.0, 1.0, dead_at_init=0.0, died=share * epoch / epochs)
            for seed in own.seeds for epoch in range(last + 1) for layer in range(1, layers + 1)
        ]  # fmt: skip
        events = [UnitEvent(seed, 10, 1.0, "hidden1", unit, "death") for seed in own.seeds for unit in range(place)]
        shapes = [
            ShapeRecord(seed, epoch, f"hidden{layer}", parameter, 0.3 + 0.1 * epoch + rng.normal(0, 0.01), 0.1, 0.0, 1.0)
            for parameter in LEARNED.get(name, ())
            for seed in own.seeds for epoch in range(epochs + 1) for layer in range(1, layers + 1)
        ]  # fmt: skip
        tables = {EpochRecord: history, LayerRecord: units, UnitEvent: events} | (
            {ShapeRecord: shapes} if shapes else {}
        )
        fake_run(
            folder / own.folder, own, [final + 0.1 * seed for seed in own.seeds], tables=tables,
            validation=[accuracies.get((seed, epochs), math.nan) for seed in own.seeds],
            diverged=dict.fromkeys(own.seeds, 2) if name in diverged else None,
            more_metrics={"dead_ratio": [share] * 3, "train_loss": [0.5 + 0.01 * place] * 3, "val_loss": [0.5] * 3,
                          "grad_norm": [0.5] * 3},
        )  # fmt: skip
    return folder


def drawings(folder, asked=None):
    """The comparison, and name -> drawing of each plot; rendered in the fixture below, and sketched in single tests."""
    report = make_report([folder], asked or Asked())
    (comparison,) = report.comparisons
    assert not report.problems
    found, problems = {}, []
    for module in MODULES:
        with matplotlib.rc_context(drawing.STYLE):
            drawn = module.draw(comparison, problems)
            if drawn is not None:
                FigureCanvasAgg(drawn.figure).draw()
                drawn.figure.set_layout_engine("none")
                found[module.__name__.rpartition(".")[2]] = drawn
    assert not problems
    return comparison, found


@pytest.fixture(scope="module", params=COUNTS)
def drawn(request, tmp_path_factory):
    """The comparison of a study with so many configurations, and the drawings."""
    folder = make_study(tmp_path_factory.mktemp(f"study{request.param}"), request.param)
    return drawings(folder)


def texts_of(figure):
    """The texts that are seen, with the boxes that they fill."""
    found = []
    for text in figure.findobj(Text):
        axis = next((axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)
                     if any(text in (tick.label1, tick.label2) for tick in axis.majorTicks)), None)  # fmt: skip
        if not text.get_visible() or not text.get_text().strip():
            continue
        if axis is not None:
            low, high = sorted(axis.get_view_interval())
            tick = next(tick for tick in axis.majorTicks if text in (tick.label1, tick.label2))
            slack = 1e-6 * (high - low)
            if not low - slack <= tick.get_loc() <= high + slack or (
                text is tick.label2 and not tick.label2.get_visible()
            ):
                continue
        found.append((text, text.get_window_extent()))
    return found


def series_of(artists):
    """The names of the configurations that the artists are marked with."""
    gids = [artist.get_gid() for artist in artists if artist.get_gid()]
    return Counter(gid.split(":", 2)[2] for gid in gids if gid.startswith("series:"))


# ---------------------------------------------------------------- laws of every plot


def test_no_text_leaves_the_figure_or_covers_another(drawn):
    _, found = drawn
    for name, plot in found.items():
        page, texts = plot.figure.bbox, texts_of(plot.figure)
        for text, box in texts:
            inside = box.x0 >= page.x0 - 1 and box.y0 >= page.y0 - 1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
            assert inside, (name, text.get_text(), box)
        for (one, first), (other, second) in itertools.combinations(texts, 2):
            if one.get_rotation() % 90 != 0.0 or other.get_rotation() % 90 != 0.0:
                continue  # their boxes are larger than they
            width = min(first.x1, second.x1) - max(first.x0, second.x0)
            height = min(first.y1, second.y1) - max(first.y0, second.y0)
            assert width < 2 or height < 2, (name, one.get_text(), other.get_text())


def test_every_configuration_that_is_drawn_has_its_name_in_the_figure(drawn):
    comparison, found = drawn
    names = {configuration.name for configuration in comparison.block.configurations}
    for name, plot in found.items():
        series = series_of(plot.figure.findobj())
        assert set(series) <= names
        words = [text.get_text() for text, _ in texts_of(plot.figure)]
        for one in series:
            assert any(re.search(rf"(^|\W){re.escape(one)}($|\W)", word) for word in words), (name, one)
        if name in ("curves", "accuracy"):
            assert set(series) == names
    assert ("differences" in found) == (len(names) > 1)


def test_the_heading_says_what_is_compared_and_on_which_data(drawn):
    comparison, found = drawn
    number = len(comparison.block.configurations)
    for plot in found.values():
        first = plot.figure.get_suptitle().splitlines()[0]
        assert (f"of {number} activations" if number > 1 else "of relu") in first
        assert comparison.block.title in first


def test_every_tip_lies_within_its_axes_and_they_are_not_too_many(drawn):
    comparison, found = drawn
    names = {configuration.name for configuration in comparison.block.configurations}
    for name, plot in found.items():
        assert 0 < len(plot.tips) <= 1500
        assert max(Counter((id(tip.axes), tip.series, tip.text.split(",")[1:2][0] if name == "shapes" else "")
                           for tip in plot.tips).values()) <= 26  # fmt: skip
        for tip in plot.tips:
            assert tip.series in names and tip.series in tip.text
            for value, limits in ((tip.x, tip.axes.get_xlim()), (tip.y, tip.axes.get_ylim())):
                assert min(limits) <= value <= max(limits), (name, tip.text)


def test_a_configuration_has_one_style_in_all_plots_of_a_page(drawn):
    comparison, found = drawn
    styles = drawing.line_styles(comparison)
    for name in {"curves", "dead", "accuracy", "shapes"} & set(found):
        for line in found[name].figure.findobj(Line2D):
            for one in series_of([line]):
                grey = len({to_hex(line.get_color())[k : k + 2] for k in (1, 3, 5)}) == 1
                assert grey or to_hex(line.get_color()) == to_hex(styles[one].colour)


def test_lines_and_texts_have_only_the_colours_that_a_dark_page_knows(drawn):
    _, found = drawn
    known = {to_hex(colour) for colour in (*drawing.COLOURS, drawing.GREY)}
    for plot in found.values():
        for artist in (*plot.figure.findobj(Line2D), *plot.figure.findobj(Text)):
            if artist.get_color() == "none":
                continue
            colour = to_hex(artist.get_color())
            assert colour in known or colour[1:3] == colour[3:5] == colour[5:7]


# ---------------------------------------------------------------- what single plots say


def rows(configuration, table):
    """The rows of one configuration's file, as the file has them."""
    (run,) = configuration.runs
    with (run.folder / f"{table}.csv").open() as file:
        return list(csv.DictReader(file))


def test_curves_show_accuracy_and_loss_of_all_and_tell_the_numbers_of_the_files(drawn):
    comparison, found = drawn
    accuracy, loss = found["curves"].figure.axes
    assert "accuracy" in accuracy.get_ylabel() and "training loss" in loss.get_ylabel()
    assert 0 <= accuracy.get_ylim()[0] < accuracy.get_ylim()[1] <= 100.5
    for one in comparison.block.configurations:
        means = {}
        for column in ("val_accuracy", "train_loss"):
            for row in rows(one, "history"):
                means.setdefault((column, int(row["epoch"])), []).append(float(row[column]))
        for axes, column, pattern in (
            (accuracy, "val_accuracy", r"([\d.]+) %"),
            (loss, "train_loss", r"([\d.]+) nats"),
        ):
            told = {tip.x: tip for tip in found["curves"].tips if tip.axes is axes and tip.series == one.name}
            assert sorted(told) == [1, 2, 3, 4]
            for epoch, tip in told.items():
                value = float(re.search(pattern, tip.text)[1])
                assert value == pytest.approx(np.mean(means[column, epoch]), abs=0.006)
                assert tip.y == pytest.approx(np.mean(means[column, epoch]))
                assert tip.text.startswith(f"{one.name}, epoch {epoch:.0f}:")


def test_connectors_to_the_names_do_not_cross(drawn):
    _, found = drawn
    for name in {"curves", "dead"} & set(found):
        for axes in found[name].figure.axes:
            slants = [line for line in axes.lines if line.get_linewidth() == 0.7]
            ends = sorted(tuple(line.get_ydata()) for line in slants)
            assert len(slants) == len(axes.texts)
            for (low, left), (high, right) in itertools.pairwise(ends):
                assert low <= high and left < right


def test_dead_units_have_a_panel_for_each_layer_in_which_some_died(drawn):
    comparison, found = drawn
    dying = {one.name for one in comparison.block.configurations
             if any(float(row["dead"]) > 0 for row in rows(one, "layers"))}  # fmt: skip
    if not dying:
        assert "dead" not in found
        return
    plot = found["dead"]
    assert [axes.get_title("left") for axes in plot.figure.axes] == ["hidden1", "hidden3"]
    assert {axes.get_ylim()[0] for axes in plot.figure.axes} == {0.0}
    assert set(series_of(plot.figure.findobj())) == dying
    for one in comparison.block.configurations:
        assert (one.name in plot.caption) == (one.name not in dying)
    tip = next(tip for tip in plot.tips if "epoch 4" in tip.text and tip.series == "leaky_relu")
    assert tip.text == "leaky_relu, hidden1, epoch 4: 0.4 % dead" and tip.y == pytest.approx(0.4)


def test_the_words_of_the_verdict_are_written_at_the_rows(drawn):
    comparison, found = drawn
    if "differences" not in found:
        return
    (axes,) = found["differences"].figure.axes
    words = [text.get_text() for text in axes.texts]
    for decision in comparison.verdict.decisions:
        assert words.count(decision.word) == len(comparison.verdict.with_word(decision.word))
    assert any("±0.1 points" in word for word in words)


# ---------------------------------------------------------------- other studies


def test_where_no_unit_died_nothing_is_drawn(tmp_path):
    _, found = drawings(make_study(tmp_path, 2, dead=0.0))
    assert "dead" not in found


def test_a_deep_network_is_drawn_in_shades_and_learned_parameters_over_its_layers(tmp_path):
    _, found = drawings(make_study(tmp_path, 5, layers=50))
    figure = found["dead"].figure
    assert [axes.get_title() for axes in figure.axes if axes.images] == ["leaky_relu", "prelu"]
    grid = figure.axes[0].images[0].get_array()
    assert grid.shape == (50, 5)
    assert grid.mask[1].all() and grid.mask[:, 0].all() and not grid.mask[0, 1:].any()  # 0.4 % is seen, 0 is not
    assert grid[0, 4] == pytest.approx(0.4)
    (_, prelu) = sorted(found["shapes"].figure.axes, key=lambda axes: axes.get_title("left") == "prelu: slope a")
    assert {text.get_text() for text in prelu.texts} == {"before training", "epoch 2", "epoch 4"}
    assert prelu.get_xlim() == (1, 50)


def test_of_a_configuration_that_diverged_the_curve_is_drawn_as_far_as_it_goes(tmp_path):
    _, found = drawings(make_study(tmp_path, 3, diverged=("gelu",)))
    accuracy, _ = found["curves"].figure.axes
    assert "gelu (diverged)" in [text.get_text() for text in accuracy.texts]
    assert [tip.x for tip in found["curves"].tips if tip.series == "gelu" and tip.axes is accuracy] == [1]
    assert "gelu" in found["differences"].caption


def test_one_epoch_and_many_epochs_have_their_curves(tmp_path):
    _, found = drawings(make_study(tmp_path / "one", 2, epochs=1))
    assert len(found["curves"].tips) == 4
    _, found = drawings(make_study(tmp_path / "many", 2, epochs=120))
    for axes in found["curves"].figure.axes:
        told = [tip.x for tip in found["curves"].tips if tip.axes is axes and tip.series == "relu"]
        assert len(told) == 25 and (told[0], told[-1]) == (1, 120)
        assert max(np.diff(told)) - min(np.diff(told)) <= 1


@pytest.mark.parametrize(("margin", "words"), [(0.001, "±0.001 points"), (50.0, "±50 points, wider than this picture")])
def test_a_margin_of_any_size_is_drawn_and_named(tmp_path, margin, words):
    _, found = drawings(make_study(tmp_path, 3), Asked(margin=margin))
    (axes,) = found["differences"].figure.axes
    assert f"as good: within {words}" in [text.get_text() for text in axes.texts]
    left, right = axes.get_xlim()
    assert right - left < 20


def test_the_intervals_of_contenders_are_in_view_and_far_off_is_an_arrow(tmp_path):
    """Two that differ by less than their intervals, and two that learn nothing."""
    base = settings_of("dataset=digits", "num_seeds=3")
    accuracies = {
        "relu": (97.0, 97.5, 97.1),
        "gelu": (97.2, 96.9, 97.3),
        "elu": (10.0, 10.5, 9.0),
        "tanh": (9.0, 11, 10),
    }
    for name, of_seeds in accuracies.items():
        own = replace(base, activation=activation_choice(name))
        fake_run(tmp_path / own.folder, own, of_seeds)
    comparison, found = drawings(tmp_path)
    (axes,) = found["differences"].figure.axes
    left, right = axes.get_xlim()
    contenders = comparison.verdict.with_word("undecided", "as good", "best")
    assert {one.name for one in contenders} == {"relu", "gelu"}
    assert all(left < one.low < one.high < right for one in contenders)
    assert left > -20
    told = [text.get_text() for text in axes.texts]
    assert all(f"−{-one.difference:.2f}" in told for one in comparison.verdict.with_word("worse"))


def test_one_bad_configuration_does_not_squash_the_others(drawn):
    """squared_relu is 86 points below: its row ends in an arrow with the number, and its accuracy is in view."""
    comparison, found = drawn
    decision = next((one for one in comparison.verdict.decisions if one.name == "squared_relu"), None)
    if decision is None:
        return
    (axes,) = found["differences"].figure.axes
    assert axes.get_xlim()[0] > -40
    assert any(text.get_text() == f"−{-decision.difference:.2f}" for text in axes.texts)
    for name, side in (("accuracy", 0), ("curves", 1)):
        axes = found[name].figure.axes[0]
        low, middle, high = (axes.transData.transform((value, value))[side] for value in (11.0, 90.0, 97.0))
        assert high - middle > 0.3 * (middle - low)  # on a straight axis it would be 0.09 of it


def test_a_baseline_has_a_panel_of_its_own(tmp_path):
    _, found = drawings(make_study(tmp_path, 3), Asked(baseline="gelu"))
    best, baseline = found["differences"].figure.axes
    assert "gelu" in baseline.get_xlabel() and "best of the others" in best.get_xlabel()
    assert "baseline" in [text.get_text() for text in baseline.texts]


# ---------------------------------------------------------------- the parts


def test_names_are_spread_as_little_as_possible():
    rng = np.random.default_rng(0)
    for number in (1, 2, 5, 9):
        for _ in range(4):
            wanted, gap = rng.random(number), 0.1
            found = np.array(spread(wanted.tolist(), gap))
            assert found.min() >= 0 and found.max() <= 1
            order = np.argsort(wanted, kind="stable")
            assert (np.diff(found[order]) >= gap - 1e-6).all()
            conditions = [{"type": "ineq", "fun": lambda y, gap=gap: np.diff(y) - gap}] if number > 1 else []
            start = np.linspace(0, 1, number) if number > 1 else np.array([0.5])
            best = minimize(lambda y, w=wanted[order]: ((y - w) ** 2).sum(), start, bounds=[(0, 1)] * number,
                            constraints=conditions)  # fmt: skip
            assert ((found - wanted) ** 2).sum() == pytest.approx(best.fun, abs=1e-4)
    assert spread([0.2, 0.8], 0.1) == [0.2, 0.8]
    assert np.diff(spread([0.5] * 30, 0.1)) == pytest.approx(1 / 29)


def test_ticks_of_logarithmic_axes_are_round_apart_and_enough():
    for low in (1e-9, 0.003, 0.7, 12.0):
        for ratio in (1.3, 2.0, 30.0, 1e5, 1e12):
            ticks = log_ticks(low, low * ratio)
            assert 2 <= len(ticks) <= 14
            assert low <= ticks[0] and ticks[-1] <= low * ratio
            assert min(np.diff(np.log(ticks))) >= 0.05 * math.log(ratio) - 1e-9


def test_styles_differ_and_neighbours_differ_in_colour_and_dash():
    styles = [drawing.line_style(place) for place in range(36)]
    assert len({(style.colour, str(style.dash)) for style in styles}) == 36
    for start in range(0, 36, 6):
        assert len({style.colour for style in styles[start : start + 6]}) == 6
        assert len({str(style.dash) for style in styles[start : start + 6]}) == 6


def test_learned_parameters_have_the_letters_of_their_formulas():
    """Of every activation that learns, `weight` is nobody's name for a parameter."""
    import torch

    from actbench.choices import packaged_conf

    learned = {}
    for path in sorted((packaged_conf() / "activation").glob("*.yaml")):
        choice = activation_choice(path.stem)
        if choice.target is None:  # that of a network of one's own
            continue
        module, _, attribute = choice.target.rpartition(".")
        cls = getattr(__import__(module, fromlist=[attribute]), attribute)
        if not (isinstance(cls, type) and issubclass(cls, torch.nn.Module)):
            continue
        parameters = {key: 1 if value == "units" else value for key, value in choice.params.items()}
        learned[path.stem] = [symbol(name, [choice.target]) for name, _ in cls(**parameters).named_parameters()]
    assert not any("weight" in letters for letters in learned.values())
    known = {"acon": ["p1", "p2", "β"], "pact": ["α"], "prelu": ["slope a"], "swish": ["β"]}
    assert {name: learned[name] for name in known} == known
    assert symbol("weight", ["mine.Own", None]) == "weight"
    assert symbol("weight", ["torch.nn.PReLU", "actbench.activations.Swish"]) == "slope a or β"
