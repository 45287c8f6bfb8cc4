"""What activations saw: against NumPy on known networks, curves against closed forms, the file, and its picture."""

from __future__ import annotations

import copy
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import build_training, fake_run, random_splits, settings_of
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import StepPatch
from test_probes import HAND_BIASES, HAND_WEIGHTS, HAND_X, replicas, wired
from torch import nn

from actbench.activations import BipolarReLU, Swish, TopK
from actbench.errors import UserError
from actbench.job.activations import look, look_before, preactivations
from actbench.measures.computing.curves import axis_over, curve_of_one, curve_of_units, units_are_alike
from actbench.measures.computing.histograms import BINS, look_at_preactivations
from actbench.report.command import make_report
from actbench.report.drawing import SKY
from actbench.report.plots import activations as plot
from actbench.report.preactivations import seen
from actbench.store import correctness
from actbench.store import preactivations as store
from actbench.store.preactivations import POINTS, Preactivations
from actbench.train import Control, fit

# ---------------------------------------------------------------- computed


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize(
    ("activation", "slope"), [(nn.ReLU, lambda z: z > 0), (nn.Tanh, lambda z: 1 - np.tanh(z) ** 2)]
)
def test_histograms_and_shares_are_those_of_numpy(stacked, activation, slope):
    weights = [torch.tensor(HAND_WEIGHTS), 2.0 * torch.tensor(HAND_WEIGHTS)]
    network = replicas([wired(activation(), of_seed.tolist(), HAND_BIASES) for of_seed in weights], stacked)
    found = look_at_preactivations(network, HAND_X)["hidden1"]
    for one, of_seed in zip(found, weights, strict=True):
        z = (HAND_X @ of_seed.T + torch.tensor(HAND_BIASES)).numpy().ravel()
        counts, edges = np.histogram(z, BINS)
        assert one.histogram.counts == pytest.approx(counts)
        assert one.histogram.edges == pytest.approx(edges, abs=1e-6)
        assert one.histogram.sum_squares == pytest.approx(float((z**2).sum()), rel=1e-6)
        assert one.flat == pytest.approx((slope(z) == 0).mean())
        assert one.nearly_flat == pytest.approx((np.abs(slope(z)) < 0.01).mean())


class Centred(nn.Module):
    """An activation of the user's own that is not elementwise."""

    def forward(self, z):
        return z - z.mean(1, keepdim=True)


@pytest.mark.parametrize("activation", [Centred, lambda: TopK(k=2)])
def test_there_is_no_share_where_units_depend_on_each_other(activation):
    network = replicas([wired(activation(), HAND_WEIGHTS, HAND_BIASES)], False)
    (one,) = look_at_preactivations(network, HAND_X)["hidden1"]
    assert one.histogram.num == 20 and math.isnan(one.flat) and math.isnan(one.nearly_flat)
    assert curve_of_units(activation(), torch.linspace(-2, 2, 9)) is None


@pytest.mark.parametrize(
    ("module", "f", "slope"),
    [
        (nn.ReLU(), lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
        (nn.Tanh(), np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        (nn.PReLU(init=0.3), lambda z: np.where(z > 0, z, 0.3 * z), lambda z: np.where(z > 0, 1, 0.3)),
        (Swish(), lambda z: z / (1 + np.exp(-z)), lambda z: (1 + np.exp(-z) * (1 + z)) / (1 + np.exp(-z)) ** 2),
    ],
)
def test_curves_are_the_closed_forms(module, f, slope):
    z = np.linspace(-4, 4, 80)  # without the 0, at which ReLU has no slope
    curve = curve_of_units(module, torch.tensor(z, dtype=torch.float32)).median()
    assert curve.f.numpy() == pytest.approx(f(z), abs=1e-5)
    assert curve.slope.numpy() == pytest.approx(slope(z), abs=1e-5)
    z, values, _ = (part.numpy() for part in curve_of_one(module))
    assert (len(z), z[0], z[-1]) == (401, -5, 5)
    assert values == pytest.approx(f(z), abs=1e-5)


def test_the_curve_of_a_layer_is_the_median_over_its_units():
    prelu = nn.PReLU(num_parameters=3)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.1, 0.2, 0.9]))
    curve = curve_of_units(prelu, torch.tensor([-2.0, 1.0]))
    assert curve.f.shape == (2, 3)
    assert curve.median().f.tolist() == pytest.approx([-0.4, 1.0])
    assert curve.median().slope.tolist() == pytest.approx([0.2, 1.0])


def test_units_with_different_curves_have_no_common_one():
    z = torch.linspace(-2, 2, 9)
    assert units_are_alike(nn.ReLU(), z) and units_are_alike(nn.PReLU(), z)
    assert not units_are_alike(BipolarReLU(), z)


@pytest.mark.parametrize(("low", "high"), [(-2, 2), (-50, 3), (-0.01, 900), (-1e6, 1e-3)])
def test_an_axis_covers_what_it_should_and_has_a_zero(low, high):
    first, step = axis_over(low, high, POINTS)
    z = first + step * np.arange(POINTS)
    assert z[0] <= low * (1 - 1e-12) and z[-1] >= high * (1 - 1e-12)
    assert np.abs(z).min() < 1e-9 * step


# ---------------------------------------------------------------- of a run

RICH = ("num_seeds=2", "model.width=8", "model.depth=2", "activation=prelu", "norm=batch", "dropout=0.2", "train.epochs=2",
        "train.batch_size=20", "optimizer.lr=0.01")  # fmt: skip


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_looking_changes_nothing(monkeypatch, execution):
    training = build_training(monkeypatch, random_splits(), *RICH, f"train.execution={execution}")
    generators = [torch.default_generator, *training.order, *training.dropout, *training.augmentation]
    weights = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    drawn = [generator.get_state() for generator in generators]
    look_before(training)
    look(training)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in training.network.state_dict().items())
    assert all(torch.equal(g.get_state(), before) for g, before in zip(generators, drawn, strict=True))
    assert all(not module._forward_pre_hooks for module in training.network.modules())


def of_a_run(training, untrained, sound=(0, 1)):
    return preactivations(training, untrained, look(training), sound)


def equal(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays(one), arrays(other), strict=True))


def arrays(of):
    return (of.ends, of.counts, of.shares, of.axes, of.curves)


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_a_resumed_run_saw_the_same_before_training(monkeypatch, execution):
    def built():
        return build_training(monkeypatch, random_splits(), *RICH, f"train.execution={execution}")

    first = built()
    untrained = look_before(first)
    states = [copy.deepcopy(first.state()) for epoch in fit(first, control=Control()) if epoch.number == 1]
    whole = of_a_run(first, untrained)
    second = built()
    untrained = look_before(second)
    second.load_state(states[0])
    list(fit(second, control=Control(), done=1))
    assert equal(whole, of_a_run(second, untrained))
    assert not np.array_equal(whole.counts[0], whole.counts[1])  # training has moved them


def test_what_is_kept_of_a_run(monkeypatch):
    training = build_training(monkeypatch, random_splits(), *RICH)
    untrained = look_before(training)
    with torch.no_grad():
        for module in training.network.groups[0].sites().values():
            module.weight[:] = 0.75
    kept = of_a_run(training, untrained, sound=(1,))
    assert (kept.layers, kept.seeds) == (("hidden1", "hidden2"), (1,))
    assert kept.counts.shape == (2, 2, 1, BINS) and kept.counts.sum((1, 2, 3)).tolist() == [2 * 40 * 8] * 2
    z = kept.z(0)
    assert kept.curves[0, 0, 0] == pytest.approx(np.where(z > 0, z, 0.25 * z), abs=1e-6)  # as it began
    assert kept.curves[1, 0, 0] == pytest.approx(np.where(z > 0, z, 0.75 * z), abs=1e-6)  # as learned
    assert z[0] <= kept.ends[:, 0, :, 0].min() and z[-1] >= kept.ends[:, 0, :, 1].max()
    assert preactivations(training, untrained, look(training), ()) is None  # every seed diverged
    assert preactivations(training, {}, look(training), (0,)) is None  # probe=false


# ---------------------------------------------------------------- the file


def some(layers=("hidden1",), seeds=(0, 1), moved=-10.0, flat=(0.5, 0.9)):
    """ReLU behind normal z, which training has `moved`."""
    shape = (2, len(layers), len(seeds))
    ends, counts = np.empty((*shape, 2)), np.empty((*shape, BINS), np.uint32)
    for moment, middle in enumerate((0.0, moved)):
        of, edges = np.histogram(np.random.default_rng(0).normal(middle, 1, 5000), BINS)
        ends[moment], counts[moment] = (edges[0], edges[-1]), of
    shares = np.broadcast_to(np.array(flat)[:, None, None, None], (*shape, 2)).copy()
    axes = np.array([axis_over(-20, 20, POINTS)] * len(layers))
    z = axes[0, 0] + axes[0, 1] * np.arange(POINTS)
    curves = np.full((2, len(layers), 2, POINTS), np.nan, np.float32)
    curves[0] = np.maximum(z, 0), z > 0
    return Preactivations(layers, tuple(seeds), ends, counts, shares, axes, curves)


def test_what_is_written_is_read(tmp_path):
    written = some(("a", "b.c"), (3, 5))
    store.write(tmp_path, written)
    read = store.read(tmp_path)
    assert (read.layers, read.seeds) == (("a", "b.c"), (3, 5))
    assert equal(read, written)
    assert store.read(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("largest", [5.6e18, 3.4e38, 1e300])
def test_z_may_be_as_large_as_a_number_can_be(tmp_path, largest):
    """A network whose weights grow sees such z, and has results all the same."""
    content = some(seeds=(0, 1))
    content.ends[1, :, :, 0] = -largest
    folder = a_run(tmp_path, "relu", content=content)
    a_run(tmp_path, "gelu")
    assert equal(store.read(folder), content)
    (comparison,) = make_report([tmp_path]).comparisons
    problems = []
    assert plot.draw(comparison, problems) is not None and not problems


def test_fifty_layers_of_five_seeds_take_little_space(tmp_path):
    rng = np.random.default_rng(0)
    many = some(tuple(f"hidden{k}" for k in range(50)), range(5))
    many.counts[:] = rng.poisson(500 * np.exp(-(np.linspace(-3, 3, BINS) ** 2) / 2), many.counts.shape)
    many.ends[:] = np.sort(rng.normal(size=many.ends.shape), axis=-1)
    many.curves[0] = rng.normal(size=many.curves[0].shape)
    store.write(tmp_path, many)
    assert (tmp_path / store.FILE).stat().st_size < 200_000


def _with(**changed):
    def spoil(path):
        content = dict(np.load(path))
        np.savez(path, **{**content, **{key: change(content[key]) for key, change in changed.items()}})

    return spoil


def _without(key):
    def spoil(path):
        np.savez(path, **{name: array for name, array in np.load(path).items() if name != key})

    return spoil


def _put(value):
    def change(array):
        array = array.copy()
        array.flat[0] = value
        return array

    return change


DAMAGE = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no"),
    "objects": _with(layers=lambda _: np.array([None], object)),
    "no curves": _without("curves"),
    "another shape": _with(counts=lambda counts: counts[:, :, :1]),
    "another type": _with(counts=lambda counts: counts.astype(float)),
    "one seed twice": _with(seeds=lambda seeds: 0 * seeds),
    "a name that would move the cursor": _with(layers=lambda _: np.array(["\x1b[2J"])),
    "no order": _with(ends=lambda ends: ends[..., ::-1]),
    "infinite": _with(ends=_put(-np.inf)),
    "a share of two": _with(shares=_put(2.0)),
    "a step of 0": _with(axes=lambda axes: 0 * axes),
    "an axis without an end": _with(axes=_put(np.nan)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_one_problem_and_the_rest_is_drawn(tmp_path, kind):
    folders = {name: a_run(tmp_path, name) for name in ("relu", "gelu")}
    path = folders["gelu"] / store.FILE
    DAMAGE[kind](path)
    with pytest.raises(UserError):
        store.read(folders["gelu"])
    (comparison,) = make_report([tmp_path]).comparisons
    problems = []
    drawing = plot.draw(comparison, problems)
    assert [(problem.where, bool(problem.how)) for problem in problems] == [(str(path), True)]
    assert problems[0].what.startswith("cannot be read")
    assert {tip.series for tip in drawing.tips} == {"relu"}


# ---------------------------------------------------------------- the picture


def a_run(home, activation, *overrides, content=None, accuracy=97.0, **other):
    own = settings_of("dataset=digits", "num_seeds=2", f"activation={activation}", *overrides)
    folder = fake_run(home / own.folder, own, (accuracy, accuracy + 0.1), **other)
    if content is not False:
        store.write(folder, content or some())
    return folder


def picture(home):
    (comparison,) = make_report([home]).comparisons
    return plot.draw(comparison, [])


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in (axes.title, *axes.texts)]


def test_the_picture_says_where_the_pre_activations_are(tmp_path):
    a_run(tmp_path, "relu")
    (comparison,) = make_report([tmp_path]).comparisons
    drawing = plot.draw(comparison, [])
    said = texts(drawing.figure)
    assert "f' = 0: 90 % of z, was 50 %" in said
    assert "relu: hidden1, 10 % dead" in said  # by layers.csv
    (configuration,) = comparison.block.configurations
    (layer,) = seen(configuration)
    assert layer.share_below(0, np.array([0.0])) == pytest.approx(0.5, abs=0.02)
    assert layer.share_below(1, np.array([-10.0])) == pytest.approx(0.5, abs=0.02)
    low, high = layer.range()
    assert -14 < low < -12 and 2 < high < 4
    assert layer.exactly and not layer.vanishing[layer.z > 0].any() and layer.vanishing[layer.z <= 0].all()


def test_a_slope_of_a_hundredth_does_not_vanish():
    kept = some()
    z = kept.z(0)
    kept.curves[0, 0] = np.where(z > 0, z, 0.01 * z), np.where(z > 0, 1, np.float32(0.01))
    from actbench.report.preactivations import LayerSeen

    leaky = LayerSeen("l", (), (0.0, 0.0), (0.0, 0.0), 0.0, z, kept.curves[:, 0].astype(float))
    assert not leaky.vanishing.any() and not leaky.exactly


def test_of_a_seed_that_was_trained_again_the_newer_counts_and_none_of_one_that_diverged(tmp_path):
    a_run(tmp_path / "old", "relu", time="2026-01-01", content=some(moved=-10.0))
    a_run(tmp_path / "new", "relu", time="2026-02-01", content=some(seeds=(0,), moved=5.0))
    (comparison,) = make_report([tmp_path]).comparisons
    (configuration,) = comparison.block.configurations
    (layer,) = seen(configuration)
    (_, (ends, counts)) = layer.histograms
    assert len(ends) == len(counts) == 1  # seed 1 diverged in the newer run, which kept nothing of it
    assert ends[0].mean() == pytest.approx(5, abs=0.5)


def test_a_run_without_the_file_has_no_picture(tmp_path):
    a_run(tmp_path, "relu", content=False)
    (comparison,) = make_report([tmp_path]).comparisons
    problems = []
    assert plot.draw(comparison, problems) is None and not problems


def test_of_many_the_best_and_those_that_died_are_drawn(tmp_path):
    names = ("relu", "gelu", "elu", "tanh", "selu", "mish", "silu", "celu", "sigmoid")
    for place, name in enumerate(names):  # the worst two have died
        layers = tuple(f"hidden{k}" for k in range(6))
        dead = 0.9 if place > 6 else 0.0
        a_run(tmp_path, name, accuracy=98.0 - place, content=some(layers), dead=dead)
    (comparison,) = make_report([tmp_path]).comparisons
    drawing = plot.draw(comparison, [])
    drawn = list(dict.fromkeys(tip.series for tip in drawing.tips))
    assert len(drawn) == plot.CONFIGURATIONS
    assert {"relu", "gelu", "celu", "sigmoid"} <= {*drawn}
    assert "6 of 9 configurations" in drawing.caption and "4 of 6 layers" in drawing.caption
    assert len(drawing.figure.axes) == 2 * plot.CONFIGURATIONS * plot.LAYERS


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("reads", [store, correctness])
def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(tmp_path, reads):
    os.mkfifo(tmp_path / reads.FILE)
    with pytest.raises(UserError, match="not a plain file"):
        reads.read(tmp_path)


def test_before_stands_out_on_after_on_a_light_and_on_a_dark_page(tmp_path):
    """WCAG's contrast of the outline with the filling under it, in the colours that the page gives both."""

    def luminance(colour):
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    a_run(tmp_path, "relu", content=some())
    figure = picture(tmp_path).figure
    filled, outline = (
        next(patch for patch in figure.findobj(StepPatch) if patch.get_fill() == fill) for fill in (True, False)
    )
    style = (Path(plot.__file__).parents[1] / "template" / "page.css").read_text()
    dark = dict(
        re.findall(r"--([\w-]+): (#\w{6});", style.partition("(prefers-color-scheme: dark)")[2].partition("\n}\n")[0])
    )
    names = {to_hex(SKY): dark["sky"], "#000000": dark["ink"]}  # as `svg` turns colours into those of the page
    for paper, of in (("#ffffff", lambda colour: colour), (dark["paper"], names.__getitem__)):
        line, sky = of(to_hex(outline.get_edgecolor())), np.array(to_rgb(of(to_hex(filled.get_facecolor()))))
        under = filled.get_alpha() * sky + (1 - filled.get_alpha()) * np.array(to_rgb(paper))
        light, shade = sorted((luminance(line), luminance(under)), reverse=True)
        assert (light + 0.05) / (shade + 0.05) >= 4


def test_a_million_is_written_at_its_tick(tmp_path):
    far = replace(some(moved=-1e6), axes=np.array([axis_over(-2e6, 2e6, POINTS)]))
    a_run(tmp_path, "relu", content=far)
    axes = picture(tmp_path).figure.axes
    FigureCanvasAgg(axes[0].figure).draw()
    assert all(one.xaxis.get_offset_text().get_text() == "" for one in axes)
    told = [label.get_text() for one in axes for label in one.get_xticklabels()]
    assert any(re.fullmatch(r"−\de[56]", text) for text in told), told
