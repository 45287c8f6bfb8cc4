"""Dead, dormant, saturated, active: against a hand-wired network whose answers are known, and against definitions in a loop."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import build_training, random_splits
from torch import nn

from actbench.measures import registry
from actbench.measures.computing.histograms import look_at_preactivations
from actbench.measures.computing.sites import SiteSums, watch_units
from actbench.measures.computing.slopes import slopes, steepest_slope
from actbench.measures.gradients import gradient_norms, untrained_gradient_norms
from actbench.measures.layers import LayerRecord
from actbench.measures.units import STATISTICS, network_ratio
from actbench.stacking import Replicas, SingleReplica, StackedReplicas
from actbench.train import Control, fit
from actbench.train.seeding import generators


def wired(activation, weights, biases):
    """One hidden layer of known weights over two inputs."""
    network = nn.Sequential()
    hidden = nn.Sequential()
    linear = nn.Linear(2, len(weights))
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weights))
        linear.bias.copy_(torch.tensor(biases))
    hidden.add_module("linear", linear)
    hidden.add_module("activation", activation)
    network.add_module("hidden1", hidden)
    network.add_module("output", nn.Linear(len(weights), 3))
    return network


def replicas(networks, stacked):
    noise = generators(range(len(networks)), "dropout")
    members = (
        [StackedReplicas(networks, noise)]
        if stacked
        else [SingleReplica(*pair) for pair in zip(networks, noise, strict=True)]
    )
    return Replicas(members, "")


def judged(network, *batches):
    """Layer -> statistic -> (S,) over the batches x (B, ...)."""
    network.eval()
    with torch.no_grad(), watch_units(network) as watch:
        for x in batches:
            network(x.expand(network.seeds, *x.shape))
    return {
        layer: dict(zip(STATISTICS, values, strict=True))
        for layer, values in zip(watch.layers, watch.statistics(), strict=True)
    }


#                 z = x1      z = -5      z = 3       z = -x1     z = 0.001·x1 + 0.001
HAND_WEIGHTS = [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [0.001, 0.0]]
HAND_BIASES = [0.0, -5.0, 3.0, 0.0, 0.001]
HAND_X = torch.tensor([[2.0, 9.0], [-1.0, 9.0], [1.0, 9.0], [-2.0, 9.0]])  # x1 in 2, -1, 1, -2


class Extremes:
    """An observer of the least z, the largest h and the sum of slopes of each unit."""

    def __init__(self):
        self.parts = []

    def update(self, z, h, slope):
        assert not (z.requires_grad or h.requires_grad or slope.requires_grad)
        over = (1, *range(3, z.ndim))
        self.parts.append(torch.stack([z.amin(over), h.amax(over), slope.sum(over)], dim=1))

    def finish(self):
        parts = torch.stack(self.parts)  # (portions, S, 3, F)
        return torch.stack([parts[:, :, 0].amin(0), parts[:, :, 1].amax(0), parts[:, :, 2].sum(0)], dim=1)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_an_observer_sees_every_sample_of_every_seed_once(stacked, activation):
    weights = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1))
    network = replicas([wired(activation(), w.tolist(), HAND_BIASES) for w in weights], stacked).eval()
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad(), watch_units(network, observers=[Extremes]) as watch:
        for part in (x[:100], x[100:]):
            network(part.expand(2, *part.shape))
    z = torch.einsum("sfi,bi->sbf", weights, x) + torch.tensor(HAND_BIASES)
    slope = (z > 0).float() if activation is nn.ReLU else 1 - z.tanh().square()
    expected = torch.stack([z.amin(1), activation()(z).amax(1), slope.sum(1)], dim=1)
    torch.testing.assert_close(watch.observed(Extremes)["hidden1"], expected)
    with pytest.raises(KeyError):
        watch.observed(nn.ReLU)
    with watch_units(network, thorough=False, observers=[Extremes]) as brief, torch.no_grad():
        network(x.expand(2, *x.shape))
    assert brief.peaks()["hidden1"].shape == (2, 5)  # a look at dead units alone calls no observer
    with pytest.raises(KeyError):
        brief.observed(Extremes)


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_observers_change_no_bit_of_training(monkeypatch, execution, model):
    words = (
        "num_seeds=2",
        "train.epochs=2",
        f"train.execution={execution}",
        f"model={model}",
        "dropout=0.2",
        "init=he_normal",
    )
    small = {"mlp": ["model.width=16"], "cnn": ["model.channels=[2,3]", "model.dense=8"]}[model]
    splits = random_splits(side=12)

    def trained():
        training = build_training(monkeypatch, splits, *words, *small, "train.batch_size=20")
        epochs = list(fit(training, control=Control()))
        return {name: p.clone() for name, p in training.network.named_parameters()}, [e.of(LayerRecord) for e in epochs]

    before, rows = trained()
    monkeypatch.setattr(registry, "observers", lambda: (Extremes,))
    after, same = trained()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert repr(rows) == repr(same)


@pytest.mark.parametrize("stacked", [True, False])
def test_relu_of_a_hand_wired_network(stacked):
    """Worked out by hand.

    z of the five units: (2,-1,1,-2), -5, 3, (-2,1,-1,2), (.003,0,.002,-.001). ReLU's slope at z = 0 is 0.
    mean |h|: .75, 0, 3, .75, .00125; their mean .90025, times .025 = .0225: units 2 and 5 are dormant.
    Active pairs: 2 + 0 + 4 + 2 + 2 = 10 of 20.
    """
    network = replicas([wired(nn.ReLU(), HAND_WEIGHTS, HAND_BIASES)] * 2, stacked)
    for batches in ([HAND_X], [HAND_X[:1], HAND_X[1:]]):  # however the samples come
        found = judged(network, *batches)["hidden1"]
        for seed in range(2):
            assert found["dead"][seed] == pytest.approx(1 / 5)
            assert found["dormant"][seed] == pytest.approx(2 / 5)
            assert found["saturated"][seed] == pytest.approx(1 / 5)
            assert found["active"][seed] == pytest.approx(10 / 20)
            assert found["mean"][seed] == pytest.approx((0.75 + 0 + 3 + 0.75 + 0.00125) / 5, rel=1e-5)
            square = ((4 + 1) / 4 + 0 + 9 + (1 + 4) / 4 + (9e-6 + 4e-6) / 4) / 5
            assert found["std"][seed] == pytest.approx(math.sqrt(square - 0.90025**2), rel=1e-5)


def test_a_leaky_relu_unit_in_the_negative_region_is_not_dead():
    found = judged(replicas([wired(nn.LeakyReLU(0.01), HAND_WEIGHTS, HAND_BIASES)], True), HAND_X)["hidden1"]
    assert found["dead"] == 0
    assert found["saturated"] == 0  # slope 0.01 is not below 0.01 of the steepest
    flatter = judged(replicas([wired(nn.LeakyReLU(0.009), HAND_WEIGHTS, HAND_BIASES)], True), HAND_X)["hidden1"]
    assert flatter["dead"] == 0
    assert flatter["saturated"] == pytest.approx(1 / 5)  # the unit at z = -5


def test_sigmoid_units_saturate_long_before_they_are_dead():
    """Slope σ(1-σ) is below 1 % of its largest, 1/4, beyond |z| = 5.9862; in float32 it is 0 beyond about z = 17."""
    weights, biases = [[0.0, 0.0]] * 6, [0.0, 5.9, 6.1, -6.1, -20.0, 40.0]
    found = judged(replicas([wired(nn.Sigmoid(), weights, biases)], True), HAND_X)["hidden1"]
    assert found["saturated"] == pytest.approx(4 / 6)
    assert found["dead"] == pytest.approx(1 / 6)


def test_channels_are_units_over_all_positions():
    """A channel is alive as soon as one position of one sample is."""
    network = nn.Sequential()
    stage = nn.Sequential()
    conv = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1))
        conv.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    stage.add_module("conv", conv)
    stage.add_module("activation", nn.ReLU())
    network.add_module("conv1", stage)
    x = torch.zeros(2, 1, 4, 4)
    x[1, 0, 3, 3] = 8.0
    found = judged(replicas([network], True), x)["conv1"]
    assert found["dead"] == pytest.approx(2 / 3)
    assert found["active"] == pytest.approx(1 / (3 * 32))
    assert found["mean"] == pytest.approx(8 / (3 * 32))


@pytest.mark.parametrize(
    "model", [["model.width=12", "model.depth=2"], ["model=cnn", "model.channels=[3]", "model.dense=7"]]
)
@pytest.mark.parametrize("activation", ["relu", "gelu", "swish", "prelu", "hardtanh", "squared_relu"])
def test_statistics_are_those_of_a_loop_over_units(monkeypatch, model, activation):
    """The definitions once more, unit by unit, with autograd at each single unit."""
    splits = random_splits()
    training = build_training(monkeypatch, splits, "num_seeds=2", *model, f"activation={activation}", "init.gain=2.5")
    found = judged(training.network, splits.val_x[:25], splits.val_x[25:])
    for seed in range(2):
        network = build_training(
            monkeypatch, splits, "num_seeds=2", *model, f"activation={activation}", "init.gain=2.5"
        )
        z_of = {}
        plain = plain_copy(network, seed, model, activation, splits)
        for name, module in plain.named_modules():
            if name.endswith("activation"):
                module.register_forward_pre_hook(
                    lambda m, a, n=name, z_of=z_of: z_of.__setitem__(n.rpartition(".")[0], (m, a[0]))
                )
        plain.eval()(splits.val_x)
        for layer, (module, z) in z_of.items():
            z = z.detach()
            z = z.movedim(1, 0).reshape(z.shape[1], -1)  # (F, pairs)
            h, slope, steepest = torch.empty_like(z), torch.empty_like(z), []
            grid = torch.linspace(-10, 10, 801)
            for unit in range(len(z)):
                own = z[unit].clone().requires_grad_()
                h[unit] = module(own)
                slope[unit] = torch.autograd.grad(h[unit].sum(), own, retain_graph=True)[0]
                wide = grid.clone().requires_grad_()
                steepest.append(torch.autograd.grad(module(wide).sum(), wide)[0].abs().max())
            h = h.detach()
            size = h.abs().mean(1)
            expected = {
                "dead": (slope == 0).all(1).float().mean(),
                "dormant": (size <= 0.025 * size.mean()).float().mean(),
                "saturated": (slope.abs() < 0.01 * torch.stack(steepest)[:, None]).all(1).float().mean(),
                "active": (z > 0).float().mean(),
                "mean": h.mean(),
                "std": h.std(unbiased=False),
            }
            for name, value in expected.items():
                assert float(found[layer][name][seed]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), (layer, name)


def plain_copy(training, seed, model, activation, splits):
    from helpers import settings_of

    from actbench.train.networks import build_network

    network = build_network(settings_of(*model, f"activation={activation}"), splits.inputs, splits.classes, 0)
    network.load_state_dict(training.network.state_dicts()[seed])
    return network


def test_per_unit_slopes_are_judged_unit_by_unit():
    """PReLU with slope 0 in one unit only: that unit alone is dead at z = -5."""
    prelu = nn.PReLU(num_parameters=2)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.0, 0.5]))
    network = replicas([wired(prelu, [[0.0, 0.0]] * 2, [-5.0, -5.0])], True)
    assert judged(network, HAND_X)["hidden1"]["dead"] == 0.5


def test_slopes_are_autograds():
    z = torch.linspace(-3, 3, 13)
    value, slope = slopes(torch.tanh, z)
    torch.testing.assert_close(value, torch.tanh(z))
    torch.testing.assert_close(slope, 1 - torch.tanh(z) ** 2)
    assert float(steepest_slope(torch.tanh, 1, 1, torch.empty(()))) == pytest.approx(1.0)


def test_a_constant_activation_is_dead_everywhere():
    class Constant(nn.Module):
        def forward(self, z):
            return torch.ones_like(z)

    assert judged(replicas([wired(Constant(), HAND_WEIGHTS, HAND_BIASES)], True), HAND_X)["hidden1"]["dead"] == 1.0


def test_hooks_are_gone_and_no_gradient_is_left(monkeypatch):
    splits = random_splits()
    training = build_training(monkeypatch, splits, "num_seeds=2", "model.width=8")
    judged(training.network, splits.val_x)
    untrained_gradient_norms(training.network, splits.val_x, splits.val_y)
    look_at_preactivations(training.network, splits.val_x)
    assert all(not module._forward_pre_hooks for module in training.network.modules())
    assert all(parameter.grad is None for parameter in training.network.parameters())


def test_gradient_norms_are_those_of_each_seed_alone(monkeypatch):
    splits = random_splits()
    training = build_training(monkeypatch, splits, "num_seeds=2", "model.width=8", "model.depth=2", "activation=prelu")
    x, y = splits.train_x[:20], splits.train_y[:20]
    norms = torch.cat([part.view(-1, 2) for part in untrained_gradient_norms(training.network, x, y)])  # (3, 2)
    from helpers import settings_of

    from actbench.train.networks import build_network

    for seed in range(2):
        network = build_network(
            settings_of("model.width=8", "model.depth=2", "activation=prelu"), splits.inputs, splits.classes, seed
        )
        nn.functional.cross_entropy(network(x), y).backward()
        for row, prefix in enumerate(["", "hidden1", "hidden2"]):
            gradients = [p.grad.flatten() for name, p in network.named_parameters() if name.startswith(prefix)]
            assert float(norms[row, seed]) == pytest.approx(float(torch.cat(gradients).norm()), rel=1e-5)
    logits = training.network(x.expand(2, *x.shape))
    nn.functional.cross_entropy(logits[0], y).backward()
    again = torch.cat([part.view(-1, 2) for part in gradient_norms(training.network.groups[0])])
    torch.testing.assert_close(again[:, 0], norms[:, 0])
    assert torch.equal(again[:, 1], torch.zeros(3))


def test_histograms_count_every_preactivation(monkeypatch):
    splits = random_splits()
    training = build_training(monkeypatch, splits, "num_seeds=2", "model.width=8")
    for seen in look_at_preactivations(training.network, splits.val_x)["hidden1"]:
        histogram = seen.histogram
        assert sum(histogram.counts) == histogram.num == 40 * 8
        assert len(histogram.edges) == len(histogram.counts) + 1
        assert histogram.min == pytest.approx(histogram.edges[0])
        assert histogram.max == pytest.approx(histogram.edges[-1])


def test_the_ratio_of_a_network_weighs_units_equally():
    def layer(units, dead):
        return LayerRecord(0, 1, "l", units, dead, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

    assert network_ratio([layer(30, 1.0), layer(10, 0.2)], "dead") == pytest.approx(32 / 40)
    assert math.isnan(network_ratio([], "dead"))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "seeds inside"])
def test_moments_and_shares_are_those_of_float64(layout):
    z = 1000 + torch.randn(2, 30, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    z[:, :, 1] -= 1000
    z[:, :, 2] -= 3000
    if layout == "channels_last":
        z = torch.stack([part.contiguous(memory_format=torch.channels_last) for part in z])[:1]
        z = z[0].contiguous(memory_format=torch.channels_last).unsqueeze(0)
    elif layout == "seeds inside":
        z = z.transpose(0, 1).contiguous().transpose(0, 1)
    site = SiteSums(torch.relu, 0)
    for part in z.split(7, dim=1):
        site.observe(part)
    dead, _, _, active, mean, std = site.statistics()
    h = z.double().relu().flatten(1)
    torch.testing.assert_close(mean, h.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(std, h.std(1, correction=0), rtol=1e-4, atol=0)
    torch.testing.assert_close(active, (z > 0).double().flatten(1).mean(1), rtol=0, atol=1e-12)
    assert dead.tolist() == [0.25] * len(z)


def test_a_large_constant_has_no_spread():
    site = SiteSums(lambda z: z, 0)
    site.observe(torch.full((1, 400, 3), 1000.0))
    assert float(site.statistics()[5]) == pytest.approx(0, abs=1e-3)
