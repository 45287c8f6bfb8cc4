"""Simulated INT8: against real integer arithmetic, closed forms of rounding noise, and planted diseases."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers import random_splits, settings_of
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from actbench.activations import SquaredReLU
from actbench.measures.computing.rounding import Grid, quantise, round_weight
from actbench.measures.int8 import OUTPUT, SCHEMES, Fp32Score, QuantisedRecord, score
from actbench.stacking import SingleReplica
from actbench.train.networks import build_network

SPLITS = random_splits()
VIT = ["model=vit", "model.patch_size=4", "model.width=16", "model.heads=2", "model.depth=2"]


def sequential(**children):
    network = nn.Sequential()
    for name, child in children.items():
        network.add_module(name, child)
    return network


def perceptron(activation=None, width=24, seed=0):
    """flatten -> hidden1 -> output over the random images."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = sequential(linear=nn.Linear(64, width), activation=activation or nn.ReLU())
        return sequential(flatten=nn.Flatten(), hidden1=hidden, output=nn.Linear(width, 4))


def built(*overrides, splits=SPLITS, seed=0):
    """A network of the configuration, with the running statistics of some training batches."""
    network = build_network(settings_of(*overrides), splits.inputs, splits.classes, seed)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.uniform_(-1.0, 2.0)
                module.bias.uniform_(-1.0, 1.0)
        network.train()(3 * splits.train_x + 1)
    return network


def noise_of(result, scheme, layer):
    (found,) = [noise for noise in result.int8[scheme].layers if noise.layer == layer]
    return found


def decibels(signal, noise):
    return 10 * math.log10(signal.double().square().sum() / noise.double().square().sum())


# ---------------------------------------------------------------- against integers


def integers(x, scheme, over):
    """Real integers q with x ≈ s·(q - z), the range taken from `over`: (q int64, s, z)."""
    if scheme == "symmetric":
        s, z, lowest, highest = float(over.abs().max()) / 127, 0, -127, 127
    else:
        low, high = min(float(over.min()), 0.0), max(float(over.max()), 0.0)
        s = (high - low) / 255
        z, lowest, highest = round(-low / s), 0, 255
    q = torch.round(x.double() / s).long() + z
    return q.clamp(lowest, highest), s, z


def integer_weight(weight):
    s = weight.flatten(1).abs().amax(1).double() / 127  # one for each unit
    q = torch.round(weight.double() / s.view(-1, *(1,) * (weight.ndim - 1))).long()
    assert q.abs().max() <= 127
    return q, s


@pytest.mark.parametrize("scheme", SCHEMES)
@torch.no_grad()
def test_a_perceptron_computes_what_integer_arithmetic_gives(scheme):
    network = perceptron()
    result = quantise(network, SPLITS)

    def linear(x, over, layer):
        q, s, z = integers(x, scheme, over)
        weight, scales = integer_weight(layer.weight)
        sums = (q - z) @ weight.T  # int64
        return sums.double() * (s * scales) + layer.bias.double()

    train, test = SPLITS.train_x.flatten(1), SPLITS.test_x.flatten(1)
    hidden, output = network.hidden1.linear, network.output
    h_train, h = torch.relu(hidden(train)), torch.relu(hidden(test))
    h8 = torch.relu(linear(test, train, hidden))
    logits8 = linear(h8, h_train, output)
    q, s, z = integers(h, scheme, h_train)

    assert result.int8[scheme].loss == pytest.approx(float(F.cross_entropy(logits8, SPLITS.test_y)), rel=1e-5)
    hits = (logits8.argmax(1) == SPLITS.test_y).double().mean()
    assert result.int8[scheme].accuracy == pytest.approx(100 * float(hits))
    found = noise_of(result, scheme, "hidden1")
    assert found.snr == pytest.approx(decibels(h, h - h8), abs=0.01)
    assert found.own_snr == pytest.approx(decibels(h, h - s * (q - z)), abs=0.01)
    found = noise_of(result, scheme, OUTPUT)
    assert found.snr == pytest.approx(decibels(output(h), output(h) - logits8), abs=0.01)
    assert math.isnan(found.own_snr)
    assert 20 < found.snr < 60  # 8 bits, not 4 and not 16


@pytest.mark.parametrize("scheme", SCHEMES)
@torch.no_grad()
def test_a_convolution_computes_what_integer_arithmetic_gives(scheme):
    """Padding is 0 exactly, which in scheme `affine` is the integer z. Integers in float64 are exact."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv, output = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6 * 16, 4)
    stage = sequential(conv=conv, activation=nn.GELU(), pool=nn.MaxPool2d(2))
    result = quantise(sequential(conv1=stage, flatten=nn.Flatten(), output=output), SPLITS)

    q, s, z = integers(SPLITS.test_x, scheme, SPLITS.train_x)
    weight, scales = integer_weight(conv.weight)
    sums = F.conv2d((q - z).double(), weight.double(), padding=1)
    h8 = F.gelu(sums * (s * scales).view(-1, 1, 1) + conv.bias.double().view(-1, 1, 1))
    h = F.gelu(conv(SPLITS.test_x))
    assert noise_of(result, scheme, "conv1").snr == pytest.approx(decibels(h, h - h8), abs=0.01)

    pooled_train = F.max_pool2d(F.gelu(conv(SPLITS.train_x)), 2).flatten(1)  # the next layer's range is behind the pool
    q, s, z = integers(F.max_pool2d(h8, 2).flatten(1), scheme, pooled_train)
    weight, scales = integer_weight(output.weight)
    logits8 = ((q - z) @ weight.T).double() * (s * scales) + output.bias.double()
    assert result.int8[scheme].loss == pytest.approx(float(F.cross_entropy(logits8, SPLITS.test_y)), rel=1e-5)


@torch.no_grad()
def test_the_floating_point_scores_are_those_of_the_network():
    network = built("model=cnn", "model.channels=[4,5]", "model.dense=8", "norm=batch", "dropout=0.5")
    result = quantise(network, SPLITS)
    logits = network.eval()(SPLITS.test_x)
    assert result.loss == pytest.approx(float(F.cross_entropy(logits, SPLITS.test_y)), rel=1e-5)
    assert result.accuracy == pytest.approx(100 * float((logits.argmax(1) == SPLITS.test_y).double().mean()))


# ---------------------------------------------------------------- the noise of rounding


def test_a_range_that_few_values_need_costs_every_other_one():
    """Squaring stretches the range of a ReLU: its signal is further below its peak."""
    relu, squared = (quantise(perceptron(activation, width=200), SPLITS) for activation in (nn.ReLU(), SquaredReLU()))
    for scheme in SCHEMES:
        better, worse = (noise_of(result, scheme, "hidden1").own_snr for result in (relu, squared))
        assert better > worse + 3


def test_uniform_values_have_the_noise_of_the_closed_form():
    """Values uniform in -1..1: signal 1/3, noise s²/12 with s = 1/127 and 2/255."""
    g = torch.Generator().manual_seed(3)
    x = 2 * torch.rand(20_000, 1, 2, 2, generator=g) - 1
    x[0, 0, 0, 0], x[0, 0, 0, 1] = -1, 1
    splits = replace(SPLITS, train_x=x[:1000], test_x=x, test_y=torch.zeros(20_000, dtype=torch.long))
    linear = nn.Linear(4, 4, bias=False)
    nn.init.eye_(linear.weight)
    network = sequential(flatten=nn.Flatten(), hidden1=sequential(linear=linear, activation=nn.Identity()))
    result = quantise(network, splits)
    for scheme, s in (("symmetric", 1 / 127), ("affine", 2 / 255)):
        expected = 10 * math.log10((1 / 3) / (s**2 / 12))
        assert noise_of(result, scheme, "hidden1").own_snr == pytest.approx(expected, abs=0.1)
        assert noise_of(result, scheme, "hidden1").snr == pytest.approx(expected, abs=0.1)  # the input is rounded alike


def test_a_relu_gains_one_bit_from_a_zero_point_and_a_tanh_nothing():
    def gain(activation):
        result = quantise(perceptron(activation, width=200), SPLITS)
        return noise_of(result, "affine", "hidden1").own_snr - noise_of(result, "symmetric", "hidden1").own_snr

    assert gain(nn.ReLU()) == pytest.approx(20 * math.log10(255 / 127), abs=0.3)
    assert gain(nn.Tanh()) == pytest.approx(0, abs=0.3)


@torch.no_grad()
def test_one_large_unit_costs_the_others_their_resolution():
    """A unit that is always 100, and that nothing reads: in floating point it changes no logit."""
    network = perceptron()
    network.output.weight[:, 0] = 0
    outlier = copy.deepcopy(network)
    outlier.hidden1.linear.weight[0], outlier.hidden1.linear.bias[0] = 0, 100
    healthy, sick = quantise(network, SPLITS), quantise(outlier, SPLITS)
    assert sick.loss == pytest.approx(healthy.loss, rel=1e-6)
    largest = torch.relu(network.hidden1.linear(SPLITS.train_x.flatten(1)))[:, 1:].max()
    for scheme in SCHEMES:
        lost = noise_of(healthy, scheme, OUTPUT).snr - noise_of(sick, scheme, OUTPUT).snr
        assert 10 < lost < 20 * math.log10(100 / float(largest)) + 3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("low, high", [(-3.0, 5.0), (0.0, 7.0), (2.0, 9.0), (-4.0, -1.0), (0.0, 0.0), (-1e-30, 1e30)])
def test_a_grid_holds_zero_and_the_ends_of_its_range(scheme, low, high):
    grid = Grid.over(scheme, low, high)
    assert grid.lowest <= grid.zero_point <= grid.highest
    ends = torch.tensor([low, 0.0, high])
    assert grid.round(ends)[1] == 0
    torch.testing.assert_close(grid.round(ends), ends, rtol=1e-6, atol=grid.scale / 2)
    wild = grid.round(torch.tensor([-math.inf, -1e38, 1e38, math.inf]))  # beyond what an integer can hold
    assert wild.isfinite().all()
    torch.testing.assert_close(wild[:2], wild[1].expand(2))
    torch.testing.assert_close(wild[2:], wild[2].expand(2))
    assert wild[1] <= 0 <= wild[2]
    assert scheme == "affine" or wild[1] == -wild[2]
    torch.testing.assert_close(float(wild[2] - wild[1]), grid.scale * (grid.highest - grid.lowest), rtol=1e-5, atol=0.0)


# ---------------------------------------------------------------- batch normalisation


@pytest.mark.parametrize(
    "model, norms",
    [
        (["model=mlp", "model.width=12", "model.depth=3"], 3),
        (["model=cnn", "model.channels=[3,4]", "model.dense=6"], 3),
    ],
)
def test_batch_norm_folded_into_the_weights_has_the_same_integers(model, norms):
    network = built(*model, "norm=batch")
    folded = copy.deepcopy(network).eval()
    pairs = [part for part in folded if hasattr(part, "norm")]
    assert len(pairs) == norms
    slopes = torch.cat([part.norm.weight.detach() for part in pairs])
    assert slopes.min() < 0 < slopes.max()
    for part in pairs:
        if hasattr(part, "conv"):
            part.conv = fuse_conv_bn_eval(part.conv, part.norm)
        else:
            part.linear = fuse_linear_bn_eval(part.linear, part.norm)
        part.norm = nn.Identity()
    ours, theirs = quantise(network, SPLITS), quantise(folded, SPLITS)
    for scheme in SCHEMES:
        assert ours.int8[scheme].loss == pytest.approx(theirs.int8[scheme].loss, rel=1e-3)
        for noise in ours.int8[scheme].layers:
            assert noise_of(theirs, scheme, noise.layer).snr == pytest.approx(noise.snr, abs=0.1)


# ---------------------------------------------------------------- what it may not do


def test_only_training_samples_calibrate():
    network = perceptron()
    result = quantise(network, SPLITS)
    elsewhere = replace(SPLITS, val_x=torch.full_like(SPLITS.val_x, math.nan))
    assert repr(quantise(network, elsewhere)) == repr(result)
    wild = quantise(network, replace(SPLITS, test_x=1000 * SPLITS.test_x))
    for scheme in SCHEMES:  # all but clipped away; with a range from the test set they would have about 40 dB
        assert noise_of(result, scheme, "hidden1").own_snr > 30
        assert 0 < noise_of(wild, scheme, "hidden1").own_snr < 0.1


def test_calibration_reaches_through_a_sorted_training_set():
    """Samples from faint to bright: the first thousand would clip the others."""
    brightness = torch.linspace(0.001, 1, 5000).view(-1, 1, 1, 1)
    x = brightness * SPLITS.train_x.repeat(50, 1, 1, 1)
    splits = replace(SPLITS, train_x=x, test_x=x[4000:], test_y=torch.zeros(1000, dtype=torch.long))
    for scheme in SCHEMES:
        assert noise_of(quantise(perceptron(), splits), scheme, "hidden1").own_snr > 30


def test_it_gives_the_same_again_and_leaves_the_network_alone():
    network = built("model=cnn", "model.channels=[3,4]", "model.dense=6", "norm=batch", "dropout=0.3").train()
    network.conv1.eval()  # the modes are each module's own
    state = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    results = [repr(quantise(network, SPLITS)) for _ in range(2)]
    assert results[0] == results[1]
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert torch.is_grad_enabled()


def test_hooks_do_not_gather():
    seen = {"linear": set(), "activation": set()}  # hooks upon a module while it runs

    class Linear(nn.Linear):
        def forward(self, x):
            seen["linear"].add(len(self._forward_pre_hooks))
            return super().forward(x)

    class ReLU(nn.ReLU):
        def forward(self, z):
            seen["activation"].add(len(self._forward_hooks))
            return super().forward(z)

    network = perceptron(ReLU())
    network.hidden1.linear = Linear(64, 24)
    quantise(network, SPLITS, batch_size=7)
    assert seen == {"linear": {0, 1}, "activation": {1}}  # none in floating point, once that is calibrated


def test_the_batch_size_does_not_matter():
    network = perceptron()
    whole, parts = quantise(network, SPLITS), quantise(network, SPLITS, batch_size=7)
    for scheme in SCHEMES:
        assert parts.int8[scheme].loss == pytest.approx(whole.int8[scheme].loss, rel=1e-4)
        for noise in whole.int8[scheme].layers:
            assert noise_of(parts, scheme, noise.layer).snr == pytest.approx(noise.snr, abs=0.05)


def test_a_network_as_it_trains_alone_gives_the_same():
    """Its dropout, which has a generator of its own, is off and is copied."""
    network = built("model=mlp", "model.width=12", "dropout=0.5")
    plain = repr(quantise(network, SPLITS))
    generator = torch.Generator().manual_seed(5)
    before = generator.get_state()
    assert repr(quantise(SingleReplica(network, generator).network, SPLITS)) == plain
    assert torch.equal(generator.get_state(), before)


# ---------------------------------------------------------------- any network, any state


@pytest.mark.parametrize("activation", [["relu"], ["tanh"], ["prelu", "activation.num_parameters=units"]])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize(
    "model, layers",
    [
        (["model=mlp", "model.width=16", "model.depth=2"], ["hidden1", "hidden2", OUTPUT]),
        (["model=hybrid", "model.width=16"], ["block1.lower", "block1.upper", OUTPUT]),
        (["model=cnn", "model.channels=[3,4]", "model.dense=8"], ["conv1", "conv2", "dense", OUTPUT]),
        (VIT, ["block1.hidden", "block2.hidden", OUTPUT]),
        ([*VIT, "model.gated=true"], ["block1.hidden.gate", "block2.hidden.gate", OUTPUT]),
    ],
)
def test_every_model_keeps_most_of_its_signal(model, layers, norm, activation):
    name, *params = activation
    result = quantise(built(*model, f"norm={norm}", f"activation={name}", *params), SPLITS)
    least = 20 if "model.gated=true" in model else 25  # dB: a product has longer tails than its factors
    for scheme in SCHEMES:
        assert [noise.layer for noise in result.int8[scheme].layers] == layers
        assert all(noise.snr > 15 for noise in result.int8[scheme].layers)
        assert all(noise.own_snr > least for noise in result.int8[scheme].layers[:-1])
        assert abs(result.int8[scheme].accuracy - result.accuracy) <= 10


def test_the_output_of_a_gated_layer_is_what_the_gate_lets_through():
    network = built("model.gated=true", "model.width=16").eval()
    gated = network.get_submodule("hidden1")
    with torch.no_grad():
        h, calibration = gated(SPLITS.test_x.flatten(1)), gated(SPLITS.train_x.flatten(1))
    for scheme in SCHEMES:
        grid = Grid.over(scheme, float(calibration.min()), float(calibration.max()))
        found = noise_of(quantise(network, SPLITS), scheme, "hidden1.gate")
        assert found.own_snr == pytest.approx(decibels(h, h - grid.round(h)), abs=0.01)


def test_records_are_the_rows_of_the_table():
    result = quantise(perceptron(), SPLITS)
    *rows, scores = score({7: perceptron}, SPLITS, precision="fp32", batch_size=250)
    assert all(isinstance(row, QuantisedRecord) and row.seed == 7 for row in rows)
    assert [(row.scheme, row.layer) for row in rows] == [(s, l) for s in SCHEMES for l in ("hidden1", OUTPUT)]
    assert rows[2].own_snr == noise_of(result, "affine", "hidden1").own_snr
    for scheme in SCHEMES:
        assert getattr(scores, f"int8_{scheme}_accuracy") == result.int8[scheme].accuracy
        assert getattr(scores, f"int8_{scheme}_snr") == noise_of(result, scheme, OUTPUT).snr
    *_, exact = score({7: perceptron}, SPLITS, precision="bf16", batch_size=250)
    assert exact == Fp32Score(7, result.accuracy)


@pytest.mark.parametrize("constant", [0.0, 5.0, -5.0])
def test_a_constant_layer(constant):
    network = perceptron(nn.Identity())
    with torch.no_grad():
        network.hidden1.linear.weight.zero_()
        network.hidden1.linear.bias.fill_(constant)
    result = quantise(network, SPLITS)
    for scheme in SCHEMES:
        assert math.isfinite(result.int8[scheme].loss)
        noise = noise_of(result, scheme, "hidden1")
        if constant == 0:
            assert math.isnan(noise.snr)
            assert math.isnan(noise.own_snr)
        else:
            assert noise.snr == math.inf
            assert noise.own_snr > 120  # an end of the range, but for the last digit of a float


def test_a_layer_that_was_silent_in_calibration_stays_at_zero():
    network = perceptron()
    splits = replace(SPLITS, train_x=torch.zeros_like(SPLITS.train_x))
    with torch.no_grad():
        network.hidden1.linear.bias.zero_()
    result = quantise(network, splits)
    for scheme in SCHEMES:
        assert noise_of(result, scheme, "hidden1").own_snr == pytest.approx(0, abs=1e-3)
        assert math.isfinite(result.int8[scheme].loss)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["one weight", "all", "output"])
def test_a_diverged_network_is_measured_as_such(where, value):
    network = perceptron()
    with torch.no_grad():
        if where == "one weight":
            network.hidden1.linear.weight[3, 5] = value
        elif where == "all":
            for parameter in network.parameters():
                parameter.fill_(value)
        else:
            network.output.bias.fill_(value)
    result = quantise(network, SPLITS)
    for scheme in SCHEMES:
        assert math.isnan(result.int8[scheme].loss)
        assert 0 <= result.int8[scheme].accuracy <= 100
        assert math.isnan(noise_of(result, scheme, OUTPUT).snr)
        if where == "output":
            assert noise_of(result, scheme, "hidden1").snr > 20  # what is below is as it was


def test_weights_are_rounded_unit_by_unit():
    weight = torch.tensor([[1.27, -0.014, 0.016], [127.0, 1.4, -1.6], [0.0, 0.0, 0.0], [math.nan, 1.0, math.inf]])
    expected = torch.tensor([[1.27, -0.01, 0.02], [127.0, 1.0, -2.0], [0.0, 0.0, 0.0], [math.nan, 1.0, math.nan]])
    torch.testing.assert_close(round_weight(weight), expected, equal_nan=True)
    assert round_weight(weight.double()).dtype == torch.float64


class Odd(nn.Module):
    """One linear layer and one activation in use twice, tied weights, and a layer whose forward never runs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 16)
        self.again, self.tied = nn.Linear(16, 16), nn.Linear(16, 16)
        self.tied.weight = self.again.weight
        self.activation = nn.GELU()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.output = nn.Linear(16, 4)

    def forward(self, x):
        x = self.activation(self.first(x.squeeze(1)))  # rows of the image as tokens
        x = self.activation(self.again(self.again(x)) + x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.output(self.tied(x).mean(1))


def test_a_network_of_another_kind():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Odd()
    result = quantise(network, SPLITS)
    for scheme in SCHEMES:
        assert [noise.layer for noise in result.int8[scheme].layers] == ["", OUTPUT]
        assert all(15 < noise.snr < 60 for noise in result.int8[scheme].layers)
    assert network.tied.weight is network.again.weight


def test_a_network_in_double():
    network = perceptron().double()
    splits = replace(SPLITS, **{name: getattr(SPLITS, name).double() for name in ("train_x", "test_x")})
    result, single = quantise(network, splits), quantise(perceptron(), SPLITS)
    for scheme in SCHEMES:
        assert result.int8[scheme].loss == pytest.approx(single.int8[scheme].loss, rel=1e-4)
