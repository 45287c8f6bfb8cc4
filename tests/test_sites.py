"""The activations of any network are found and exchanged, however they are written; as its own they compute its bits."""

from __future__ import annotations

import copy
import warnings
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

from actbench.errors import UserError
from actbench.sites.exchange import Exchanged
from actbench.sites.selection import selected


class MnistExample(nn.Module):
    """pytorch/examples, mnist/main.py: its activations are calls."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = self.conv1(x)
        x = F.relu(x)
        x = self.conv2(x)
        x = F.relu(x)
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = self.fc1(x)
        x = F.relu(x)
        x = self.dropout2(x)
        x = self.fc2(x)
        return F.log_softmax(x, dim=1)


class Looping(nn.Module):
    """As many passes through a layer as its input says, and a helper that is called twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def helper(self, x):
        return torch.tanh(x)

    def forward(self, x):
        x = self.helper(self.a(x))
        for _ in range(1 + len(x) % 3):
            x = F.relu(self.b(x))
        return self.c(self.helper(x).clamp(min=0))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act = nn.Linear(8, 8), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(F.relu(self.linear(x)) + x)


class Checkpointed(nn.Module):
    """Parts of it run again in the backward pass, where nothing but the frames of the stack tells where a call is."""

    def __init__(self, reentrant=False, recompute=True):
        super().__init__()
        self.a, self.block, self.b, self.c = nn.Linear(6, 8), Block(), nn.Linear(8, 8), nn.Linear(8, 3)
        self.reentrant, self.recompute = reentrant, recompute

    def part(self, x):
        return F.relu(self.b(x))

    def _run(self, part, x):
        if self.recompute and self.training:
            return checkpoint(part, x, use_reentrant=self.reentrant)
        return part(x)

    def forward(self, x):
        x = self._run(self.part, self._run(self.block, F.relu(self.a(x))))
        return self.c(self._run(lambda x: F.relu(self.b(x)), x))


class Overwriting(nn.Module):
    """What it adds at the end was overwritten by its activations."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.act = nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 3), nn.ReLU(inplace=True)

    def forward(self, x):
        skipped = x = self.a(x)
        x = self.b(self.act(x))
        F.relu_(x)
        return self.c(x + skipped)


class Gated(nn.Module):
    """A squeeze-and-excite gate, a SiLU written as a formula, and a PReLU that is called."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.slope = nn.Linear(12, 8), nn.Linear(8, 8), nn.Parameter(torch.full((8,), 0.3))

    def forward(self, x):
        x = F.prelu(self.a(x), self.slope)
        x = x * torch.sigmoid(self.b(x))
        y = self.b(x)
        return F.softmax(y * y.sigmoid(), 1)


IMAGES = (4, 3, 32, 32)
NETWORKS = {  # -> how it is made, its input, and its activations counted by hand: exchanged and left alone
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), IMAGES, {"relu": 17}, {}),
    "mobilenet_v3_small": (
        lambda: torchvision.models.mobilenet_v3_small(num_classes=10), IMAGES,
        {"relu": 14, "hardswish": 19}, {"hardsigmoid": 9},
    ),
    "efficientnet_b0": (
        lambda: torchvision.models.efficientnet_b0(num_classes=10), IMAGES, {"silu": 49}, {"sigmoid": 16},
    ),
    "vit_b_16": (lambda: torchvision.models.vit_b_16(image_size=32, num_classes=10), IMAGES, {"gelu": 12}, {"softmax": 12}),
    "mnist example": (MnistExample, (4, 1, 28, 28), {"relu": 3}, {"log_softmax": 1}),
    "looping": (Looping, (5, 12), {"tanh": 2, "relu": 2}, {}),
    "checkpointed": (Checkpointed, (5, 6), {"relu": 5}, {}),
    "checkpointed, reentrant": (lambda: Checkpointed(reentrant=True), (5, 6), {"relu": 5}, {}),
    "overwriting": (Overwriting, (5, 12), {"relu": 2}, {}),
    "gated": (Gated, (5, 12), {"prelu": 1}, {"sigmoid": 2, "softmax": 1}),
}  # fmt: skip
TIMM = {  # the same, of timm
    "convnext_atto": ((4, 3, 32, 32), {"gelu": 12}, {}),
    "mixer_s32_224": ((2, 3, 224, 224), {"gelu": 16}, {}),
    "regnety_002": ((4, 3, 32, 32), {"relu": 53}, {"sigmoid": 13}),
    "resnet26": ((4, 3, 32, 32), {"relu": 25}, {}),
    "densenet121": ((4, 3, 32, 32), {"relu": 121}, {}),
}


def of_timm(name):
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install -e '.[networks]'")
    shape, exchanged, alone = TIMM[name]
    return lambda: timm.create_model(name, num_classes=10), shape, exchanged, alone


def prelus(sites):
    return {site.name: nn.PReLU(site.units) for site in sites if site.exchangeable}


def tanhs(sites):
    return {site.name: nn.Tanh() for site in sites if site.exchangeable}


def passed(network, x, training):
    """What a network returns, and the gradients of its parameters."""
    torch.manual_seed(1)
    x = x.clone().requires_grad_()
    output = network.train(training)(x)
    with network.recomputing() if isinstance(network, Exchanged) else torch.enable_grad():
        output.square().sum().backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    return output.detach(), gradients


def same(a, b):
    return all(
        (one is None and other is None) or (one is not None and other is not None and torch.equal(one, other))
        for one, other in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("name", [*NETWORKS, *TIMM])
def test_all_sites_are_found_and_a_network_s_own_activations_compute_its_own_bits(name):
    make, shape, exchanged, alone = NETWORKS[name] if name in NETWORKS else of_timm(name)
    torch.manual_seed(0)
    plain, x = make(), torch.randn(shape)
    own = copy.deepcopy(Exchanged(copy.deepcopy(plain), x))  # as replicas copy it
    assert Counter(site.kind for site in own.found if site.exchangeable) == exchanged
    assert Counter(site.kind for site in own.found if not site.exchangeable) == alone
    assert len({site.name for site in own.found}) == len(own.found)
    assert list(own.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(own.state_dict())
    own.load_state_dict(plain.state_dict())
    for training in (False, True):
        expected, gradients = passed(plain, x, training)
        computed, own_gradients = passed(own, x, training)
        assert torch.equal(expected, computed)
        assert same(gradients, own_gradients)
    assert same(plain.state_dict().values(), own.state_dict().values())  # buffers


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "vit_b_16"])  # which is large
def test_each_site_gets_learnable_parameters_of_its_own(name):
    make, shape, kinds, _ = NETWORKS[name]
    torch.manual_seed(0)
    plain, x = make(), torch.randn(shape)
    network = copy.deepcopy(Exchanged(copy.deepcopy(plain), x, prelus))
    learned = {name: site.activation for name, site in network.at.items()}
    assert len(learned) == sum(kinds.values())
    assert {id(p) for a in learned.values() for p in a.parameters()} <= {id(p) for p in network.parameters()}
    _, gradients = passed(network, x, training=True)
    named = dict(zip((n for n, _ in network.named_parameters()), gradients, strict=True))
    of_sites = [gradient for key, gradient in named.items() if key.startswith("sites.")]
    assert len(of_sites) == len(learned) and all(gradient is not None for gradient in of_sites)
    beyond = network.state_dict().keys() - plain.state_dict().keys()
    assert beyond == {f"{site}.weight" for site in learned}
    for site in network.found:
        assert site.name not in learned or learned[site.name].weight.numel() == site.units
    other = Exchanged(make(), x, prelus)
    other.load_state_dict(network.state_dict())
    assert same(other.state_dict().values(), network.state_dict().values())


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_runs_again_is_exchanged_as_the_first_time(reentrant):
    torch.manual_seed(0)
    once = Checkpointed(recompute=False)
    twice = Checkpointed(reentrant)
    twice.load_state_dict(once.state_dict())
    x = torch.randn(5, 6)
    expected, gradients = passed(Exchanged(once, x, tanhs), x, training=True)
    computed, again = passed(Exchanged(twice, x, tanhs), x, training=True)
    assert torch.equal(expected, computed)
    assert same(gradients, again)


def test_the_exchange_is_what_one_would_write_by_hand():
    class Plain(nn.Module):
        def __init__(self, f):
            super().__init__()
            self.a, self.b, self.act, self.f = nn.Linear(12, 8), nn.Linear(8, 3), f(), f()

        def forward(self, x):
            return self.b(self.act(self.a(x)) * self.f(self.a(x)).sum())

    torch.manual_seed(0)
    by_hand, x = Plain(nn.Tanh), torch.randn(4, 12)
    network = Plain(nn.ReLU)
    network.load_state_dict(by_hand.state_dict())
    assert torch.equal(Exchanged(network, x, tanhs)(x), by_hand(x))


def test_one_instance_is_a_site_at_each_place_and_of_each_number_of_units():
    act = nn.ReLU()
    twice = nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 2))
    assert [site.name for site in Exchanged(twice, torch.randn(2, 6)).found] == ["1", "3"]

    class Widths(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 5), nn.Linear(5, 3)])

        def forward(self, x):
            for layer in self.layers[:-1]:
                x = F.relu(layer(x))
            return self.layers[-1](x)

    network = Exchanged(Widths(), torch.randn(2, 6), prelus)
    assert [(site.name, site.units) for site in network.found] == [("relu1", 8), ("relu2", 5)]
    network(torch.randn(7, 6))


@pytest.mark.parametrize(
    ("layers", "shape", "axis", "units"),
    [
        ([nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 2)], (4, 6), 1, 7),
        ([nn.Conv2d(3, 5, 3), nn.GELU(), nn.Conv2d(5, 2, 3)], (4, 3, 6, 6), 1, 5),
        ([nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 2)], (4, 9, 6), 2, 7),
        ([nn.Conv1d(6, 7, 3), nn.GELU(), nn.Conv1d(7, 2, 3)], (4, 6, 9), 1, 7),
        ([nn.Linear(6, 7), nn.GELU(), nn.Linear(7, 2)], (4, 5, 5, 6), 3, 7),  # channels last
    ],
)
def test_units_are_found_along_their_axis(layers, shape, axis, units):
    network = Exchanged(nn.Sequential(*layers), torch.randn(shape))
    (site,) = network.found
    assert (site.axis, site.units, site.weights) == (axis, units, ("0.weight", "0.bias"))
    seen = []
    (activation,) = network.activation_sites().values()
    activation.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    network(torch.randn(shape))
    assert seen == [units]


def test_a_fused_encoder_layer_of_torch_is_looked_into():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=nn.GELU())
    network = Exchanged(nn.Sequential(encoder, nn.Flatten()), torch.randn(2, 3, 8)).eval()
    seen = []
    (activation,) = network.activation_sites().values()
    activation.register_forward_pre_hook(lambda *_: seen.append(1))
    with torch.no_grad():
        network(torch.randn(2, 3, 8))
    assert seen == [1]
    assert [site.why_not for site in network.found] == ["the softmax of an attention", ""]


def test_a_place_is_the_same_however_often_it_is_passed():
    """Python runs code in another way once it has run some times: a builtin such as `sum` is called differently."""

    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            parts = tuple(F.relu(self.layer(part)) for part in (x, 2 * x))
            return sum(F.relu(self.layer(part)) for part in parts)

    network = Exchanged(Summed(), torch.randn(4, 4), lambda sites: {site.name: nn.Tanh() for site in sites})
    for _ in range(30):
        network(torch.randn(4, 4))
    assert len(network.exchanged) == 2


def test_finding_sites_leaves_the_network_and_random_numbers_alone():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout())
    before = copy.deepcopy(network.state_dict())
    numbers = torch.get_rng_state()
    Exchanged(network, torch.randn(2, 6, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert same(before.values(), network.state_dict().values())


class Late(nn.Module):
    """Takes another branch for a large batch."""

    def __init__(self):
        super().__init__()
        self.a, self.act = nn.Linear(6, 6), nn.SiLU()

    def forward(self, x):
        x = F.relu(self.a(x))
        return self.act(x) if len(x) == 5 else torch.tanh(x) if len(x) > 5 else x.sum(1)


@pytest.mark.parametrize(
    ("batch", "what"), [(5, r"act of \(B, 6\)"), (6, r"tanh of \(B, 6\) \(test_sites.py, line \d+")]
)
def test_a_branch_that_the_trial_did_not_take_is_an_error_once_something_is_exchanged(batch, what):
    x = torch.randn(batch, 6)
    Exchanged(Late(), torch.randn(2, 6))(x)
    with pytest.raises(UserError, match=f"{what}.* was not met by the trial passes"):
        Exchanged(Late(), torch.randn(2, 6), tanhs)(x)


NAMES = ["stem.relu", "block.0.relu1", "block.0.relu2", "head.relu"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("all", NAMES), ("last", NAMES[3:]), ("-last", NAMES[:3]), ("block.*", NAMES[1:3]),
        (("all", "-stem.*"), NAMES[1:]), (("head.relu", "stem.*"), [NAMES[0], NAMES[3]]),
        (("-block.*", "block.0.relu2"), [NAMES[0], *NAMES[2:]]),
    ],
)  # fmt: skip
def test_patterns_select(patterns, expected):
    assert selected(NAMES, patterns) == expected


@pytest.mark.parametrize(("patterns", "what"), [("blocks.*", "matches no"), (("last", "-head.*"), "leaves nothing")])
def test_a_pattern_without_an_activation_names_all_there_are(patterns, what):
    with pytest.raises(UserError) as caught:
        selected(NAMES, patterns)
    assert what in str(caught.value)
    assert all(name in str(caught.value) for name in NAMES)


@pytest.fixture(autouse=True)
def _expected_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="None of the inputs have requires_grad")  # of the trial
        yield
