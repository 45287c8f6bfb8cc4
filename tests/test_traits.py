"""What an activation is like is measured: ours against the lists of names that were kept before, anyone's by the same rule."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import activation_choice, activation_files
from torch import nn

from actbench.activations import AconC, TopK, coupling
from actbench.activations.traits import measure
from actbench.records import Traits
from actbench.train.networks import activation_factory

NAMES = [path.stem for path in activation_files()]

# As they were listed by name, before they were measured.
FLAT = {"relu", "relu6", "squared_relu", "hardtanh", "hardswish", "pact", "topk", "bipolar_relu"}
BOUNDED = {"sigmoid", "tanh", "hardtanh", "softsign", "relu6", "pact"}
NEVER_NEGATIVE = {"sigmoid", "relu", "relu6", "squared_relu", "softplus", "pact", "topk"}
SELECTS = COUPLED = {"topk"}
# The list had not `identity`, whose slope is 1 everywhere: nothing ever came of that, and the measurement is right.
UNSATURATED = {"leaky_relu", "prelu", "rrelu", "squared_relu", "identity"}
# These were called smooth, "never quite flat: a slope of 0 is a saturated one that was rounded". That is as true of
# every other activation without a flat part, which the list had not.
SMOOTH = {"sigmoid", "tanh", "softsign"}


@pytest.fixture(scope="module")
def measured() -> dict[str, Traits]:
    return {name: measure(activation_factory(activation_choice(name), ())(8)) for name in NAMES}


@pytest.mark.parametrize(
    ("trait", "listed"),
    [
        ("flat", FLAT),
        ("bounded", BOUNDED),
        ("never_negative", NEVER_NEGATIVE),
        ("saturates", {*NAMES} - UNSATURATED),
        ("coupled", COUPLED),
        ("selects", SELECTS),
    ],
)
def test_the_traits_of_ours_are_those_that_were_listed(measured, trait, listed):
    assert {name for name in NAMES if getattr(measured[name], trait)} == listed


def test_what_was_called_smooth_is_nowhere_flat(measured):
    assert not any(measured[name].flat for name in SMOOTH)


def made(function):
    class Made(nn.Module):
        def forward(self, z):
            return function(z)

    return Made()


class Bend(nn.Module):
    """A slope of its own below 0 for each unit, as anyone may write a PReLU."""

    def __init__(self, units=8, start=0.0):
        super().__init__()
        self.slope = nn.Parameter(torch.full((units,), start))

    def forward(self, z):
        return torch.where(z > 0, z, self.slope * z)


class Spatial(nn.Module):
    """Takes the outputs of convolutions alone."""

    def forward(self, z):
        _, _, height, width = z.shape
        return torch.relu(z) / (height * width)


ANYONES = {
    "relu": (made(lambda z: z.clamp(min=0)), Traits(flat=True, never_negative=True, saturates=True)),
    "flat in the middle": (nn.Softshrink(), Traits(flat=True, saturates=True)),
    "flat far out": (nn.Hardtanh(-20.0, 20.0), Traits(flat=True, bounded=True, saturates=True)),
    "steps": (made(torch.sign), Traits(flat=True, bounded=True, saturates=True)),
    "nothing": (made(lambda z: 0 * z), Traits(flat=True, bounded=True, never_negative=True, saturates=True)),
    "naive sigmoid": (
        made(lambda z: 1 / (1 + torch.exp(-z))),
        Traits(bounded=True, never_negative=True, saturates=True),
    ),
    "naive elu": (made(lambda z: torch.where(z > 0, z, z.clamp(max=0).exp() - 1)), Traits(saturates=True)),
    "gelu by tanh": (nn.GELU(approximate="tanh"), Traits(saturates=True)),
    "log": (made(lambda z: z.sign() * torch.log1p(z.abs())), Traits()),
    "sine": (made(torch.sin), Traits(bounded=True)),
    "square": (made(torch.square), Traits(never_negative=True)),
    "exponential": (made(torch.exp), Traits(never_negative=True)),
    "bell": (made(lambda z: torch.exp(-z * z)), Traits(bounded=True, never_negative=True, saturates=True)),
    "small slope": (nn.LeakyReLU(1e-4), Traits()),
    "learned from 0 on": (Bend(), Traits(saturates=True)),
    "learned": (Bend(start=0.1), Traits()),
    "softmax": (nn.Softmax(dim=1), Traits(bounded=True, never_negative=True, saturates=True, coupled=True)),
    "winner": (
        made(lambda z: z * (z == z.amax(1, keepdim=True))),
        Traits(flat=True, never_negative=True, saturates=True, coupled=True, selects=True),
    ),
    "over the batch": (made(lambda z: z - z.mean(0, keepdim=True)), Traits(saturates=True, coupled=True)),
    "of one width": (nn.LayerNorm(8), Traits(saturates=True, coupled=True)),
    "fails": (made(lambda z: z.nothing()), Traits()),
    "elsewhere": (Spatial(), Traits()),
}


@pytest.mark.parametrize("name", ANYONES)
def test_the_traits_of_anyones(name):
    module, expected = ANYONES[name]
    values = [parameter.clone() for parameter in module.parameters()]
    before = torch.get_rng_state()
    assert measure(module) == expected
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(*pair) for pair in zip(values, module.parameters(), strict=True))


@pytest.mark.parametrize("kept", [0.1, 0.25, 0.9])
def test_top_k_keeps_what_is_negative_where_it_keeps_more_than_half(kept):
    traits = measure(activation_factory(activation_choice("topk", fraction=kept), ())(8))
    assert (traits.selects, traits.flat, traits.never_negative) == (True, True, kept < 0.5)


@pytest.mark.parametrize("changed", [{"k": 3}, {"k": 50}, {"k": 2000}, {"fraction": 0.01}])
def test_a_layer_is_as_large_as_a_number_of_kept_units_asks_for(changed):
    module = activation_factory(activation_choice("topk", **changed), ())(8)
    traits = measure(module)
    assert (traits.flat, traits.coupled, traits.selects) == (True, True, True)
    coupling._KNOWN.pop(TopK, None)
    assert coupling.is_known(module) and coupling.is_known(TopK(k=3))


def test_what_is_known_was_written_here_and_harms_nothing():
    assert coupling.is_known(nn.ReLU()) and coupling.is_known(nn.PReLU(7)) and coupling.is_known(AconC(5, p2=0.5))
    for unknown in (
        nn.ReLU(inplace=True),
        nn.Softmax(dim=1),
        nn.LayerNorm(8),
        made(torch.relu),
        nn.Sequential(nn.ReLU()),
    ):
        assert not coupling.is_known(unknown)


def test_an_interval_is_told_from_a_point_and_from_rounding():
    """z² has a slope of 0 at one point, tanh one that is rounded to 0 beyond |z| = 19, a dead zone one that is exact."""
    assert not measure(made(torch.square)).flat
    assert float(1 - math.tanh(20.0) ** 2) == 0.0 and not measure(nn.Tanh()).flat
    assert measure(made(lambda z: torch.relu(z.abs() - 1) * z)).flat
