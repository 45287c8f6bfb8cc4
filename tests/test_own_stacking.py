"""Contract 1 for networks of one's own: a seed trained in a stack gives what it gives alone, and what cannot is told."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from helpers import in_double, own_module, random_splits, settings_of, training_of
from torch import nn

from actbench.command import trusting
from actbench.measures.computing.histograms import look_at_preactivations
from actbench.measures.computing.own_rows import _observed as observed
from actbench.stacking.protocol import NotStackable
from actbench.stacking.straight import check_straight
from actbench.train import Control, fit
from actbench.train.origin import origins

SOURCE = '''
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class Net(nn.Module):
    """A module, a function, dropout and batch normalisation."""

    def __init__(self, width=12, num_classes=4, drop=0.3):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(64, width), nn.Linear(width, width), nn.Linear(width, num_classes)
        self.norm, self.act, self.drop = nn.BatchNorm1d(width), nn.PReLU(width), nn.Dropout(drop)

    def forward(self, x):
        x = self.act(self.norm(self.fc1(x.view(-1, self.fc1.in_features))))
        return self.out(self.drop(F.relu(self.fc2(x))))


class Views(Net):
    """What people do to shapes; and it writes to its input."""

    def forward(self, x, double=False):
        B, C, H, W = x.shape
        x *= 0.5
        h = torch.relu(self.fc1(x.view(B, C * H * W)))
        h = F.leaky_relu_(self.fc2(h), 0.1) + h * (2 if double else 1)
        h = torch.cat([h[:, :6], h[:, 6:].tanh()], dim=1)
        return F.log_softmax(self.out(h), dim=-1)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.fc2, self.out = nn.Linear(8, 6), nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x):
        x = F.gelu(self.fc(x.squeeze(1)))
        return self.out((x + F.relu(self.fc2(self.norm(x)))).mean(1))


class Convolving(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.out = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(36, 4)

    def forward(self, x):
        return self.out(F.max_pool2d(F.relu(self.bn(self.conv(x))), 2).flatten(1))


def sequence():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(9, 9),
                         nn.PReLU(), nn.Linear(9, 4))


class Twice(Net):
    def forward(self, x):
        x = x.flatten(1)
        for layer in (self.fc1, self.fc2):
            x = F.relu(layer(x))
        return self.out(x)


class Loop(Net):
    def forward(self, x):
        h = F.relu(self.fc1(x.flatten(1)))
        for _ in range(1 + int(h.abs().max() > 1e6)):
            h = F.relu(self.fc2(h))
        return self.out(h)


class Branch(Net):
    def forward(self, x):
        h = F.relu(self.fc1(x.flatten(1)))
        return self.out(h if x.shape[0] < 100 else 2 * h)


class Typed(Net):
    """It takes another way while it is traced."""

    def forward(self, x):
        x = x.flatten(1) if isinstance(x, torch.Tensor) else 2 * x.flatten(1)
        return self.out(F.relu(self.fc1(x)))


class Guarded(Net):
    def forward(self, x):
        h = F.relu(self.fc1(x.flatten(1)))
        return self.out(torch.where(h.abs().amax(0) > 1e6, 0 * h, h))


class Tied(Net):
    def forward(self, x):
        return self.out(F.linear(F.relu(self.fc1(x.flatten(1))), self.fc2.weight))


class Held(Net):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(12))

    def forward(self, x):
        return self.out(F.relu(self.fc1(x.flatten(1))) * self.scale)


class Recomputed(Net):
    def forward(self, x):
        return self.out(checkpoint(lambda h: F.relu(self.fc2(h)), self.fc1(x.flatten(1)), use_reentrant=False))


class Dropping(Net):
    def __init__(self, again=True, reentrant=False):
        super().__init__()
        self.again, self.reentrant = again, reentrant

    def block(self, h):
        return self.drop(F.relu(self.fc2(h)))

    def forward(self, x):
        h = self.fc1(x.flatten(1))
        return self.out(checkpoint(self.block, h, use_reentrant=self.reentrant) if self.again else self.block(h))


class Drawing(Net):
    def forward(self, x):
        return self.out(F.dropout(F.relu(self.fc1(x.flatten(1))), 0.5, self.training))


class Doubling(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Derived(Net):
    def __init__(self):
        super().__init__()
        self.fc1 = Doubling(64, 12)


class Hooked(Net):
    def __init__(self):
        super().__init__()
        self.fc2.register_forward_hook(lambda module, given, output: 2 * output)
'''
STEPS_20 = ("train.batch_size=10", "train.epochs=2", "train.eval_batch_size=40")  # 100 samples: 2 × 10 steps


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with the networks, in a module of this name."""
    monkeypatch.chdir(tmp_path)
    return own_module(tmp_path, SOURCE)


def settings(module, network, *overrides):
    return settings_of.__wrapped__(*trusting.with_trust([f"model={module}:{network}", *STEPS_20, *overrides]))


def trained(settings, splits):
    training = training_of(settings, splits)
    return training, list(fit(training, control=Control()))


@pytest.mark.parametrize(
    ("network", "typed"),
    [
        ("Net", ("activation=own", "optimizer=adamw")),
        ("Net", ("activation=swish", "activation.num_parameters=units", "clip=norm", "clip.max_norm=0.3")),
        ("Net", ("activation=rrelu", "optimizer=momentum", "sites=act", "clip=value", "clip.clip_value=0.01")),
        ("Views", ("activation=own",)),
        ("Views", ("activation=prelu", "augment=shift_rotate", "init=he_normal")),
        ("Tokens", ("activation=own",)),
        ("Tokens", ("activation=prelu", "activation.num_parameters=units")),
        ("sequence", ("activation=own", "scheduler=cosine")),
        ("Convolving", ("activation=prelu", "train.execution=stacked")),
    ],
)
def test_a_seed_in_a_stack_trains_as_alone(here, network, typed):
    splits, before = in_double(random_splits()), random_splits()
    asked = settings(here, network, "probe=false", *typed)
    together, _ = trained(replace(asked, seed=3, num_seeds=3), splits)
    assert together.network.stacked and together.execution == "stacked, eager"
    alone_way = replace(asked.train, execution="seed_by_seed")
    for k, state in enumerate(together.network.state_dicts()):
        alone, _ = trained(replace(asked, seed=3 + k, num_seeds=1, train=alone_way), splits)
        (expected,) = alone.network.state_dicts()
        assert [*state] == [*expected]  # in this order
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=1e-9)
    for part in ("train_x", "val_x", "test_x"):
        assert torch.equal(getattr(splits, part), getattr(before, part).double())


def test_it_begins_with_the_bits_of_the_networks_and_gives_them_back(here):
    splits = random_splits()
    stacked = training_of(settings(here, "Net", "num_seeds=3"), splits)
    one_by_one = training_of(settings(here, "Net", "num_seeds=3", "train.execution=seed_by_seed"), splits)
    for ours, theirs in zip(stacked.network.state_dicts(), one_by_one.network.state_dicts(), strict=True):
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    logits = stacked.network.eval()(splits.val_x.expand(3, *splits.val_x.shape))
    for k in range(3):
        torch.testing.assert_close(stacked.network.plain_network(k)(splits.val_x), logits[k])


@pytest.mark.parametrize(("network", "activation"), [("Net", "own"), ("Tokens", "own"), ("Net", "prelu")])
def test_all_that_is_measured_is_that_of_seeds_one_by_one(here, network, activation):
    splits, tables = in_double(random_splits()), []
    for execution in ("auto", "seed_by_seed"):
        typed = ("num_seeds=2", f"activation={activation}", "probe_every=5", f"train.execution={execution}")
        training, epochs = trained(settings(here, network, *typed), splits)
        tables.append((training.network.stacked, [[*epoch.rows] for epoch in epochs]))
    (stacked, ours), (seed_by_seed, theirs) = tables
    assert stacked and not seed_by_seed
    for our_rows, their_rows in zip(ours, theirs, strict=True):
        assert len(our_rows) == len(their_rows) > 0
        for our, their in zip(our_rows, their_rows, strict=True):
            assert type(our) is type(their)
            for name, value in vars(their).items():
                same = pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True) if isinstance(value, float) else value
                assert getattr(our, name) == same or name in ("seconds", "waiting"), (our, name)


def test_a_seed_that_diverges_leaves_the_others_bit_equal_and_is_explained_as_alone(here):
    splits, found = random_splits(), {}

    def run(execution, poisoned):
        typed = ("num_seeds=3", "activation=prelu", "clip=norm", f"train.execution={execution}")
        parts = training_of(settings(here, "Net", *typed), splits)
        if poisoned:
            group = parts.network.groups[0 if parts.network.stacked else 1]
            with torch.no_grad():
                weight = group.network.get_parameter("network.fc2.weight")
                (weight[1] if parts.network.stacked else weight).fill_(3e38)
            found[execution] = origins(parts, 1, (1,))
            return None
        return parts

    run("auto", True), run("seed_by_seed", True)
    assert [tuple(one)[:5] for one in found["auto"]] == [tuple(one)[:5] for one in found["seed_by_seed"]]
    assert found["auto"]

    states = []
    for poisoned in (False, True):
        parts = run("auto", False)
        if poisoned:
            with torch.no_grad():
                parts.network.groups[0].network.get_parameter("network.fc1.weight")[1].fill_(math.nan)
        list(fit(parts, control=Control()))
        states.append(parts.network.state_dicts())
    for k in (0, 2):
        assert all(torch.equal(states[0][k][name], states[1][k][name]) for name in states[0][k])


def test_resumed_is_bit_equal_to_never_interrupted(here):
    asked, splits = settings(here, "Net", "activation=prelu", "num_seeds=2", "train.epochs=3"), random_splits()
    straight, first, second = trained(asked, splits)[0], training_of(asked, splits), training_of(asked, splits)
    for epoch in fit(first, control=Control()):
        if epoch.number == 1:
            break
    second.load_state(first.state())
    list(fit(second, control=Control(), done=1))
    for ours, theirs in zip(second.network.state_dicts(), straight.network.state_dicts(), strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        ("Loop", "torch.fx cannot follow its forward"),
        ("Branch", "torch.fx cannot follow its forward"),
        ("Typed", "another way than it takes"),
        ("Guarded", "amax returns something else than a value for each sample"),
        ("Tied", "its forward uses fc2.weight itself"),
        ("Held", "Held (the network) has no stacked form"),
        ("Recomputed", "torch.utils.checkpoint runs parts of it again"),
        ("Drawing", "draws from torch's global random number generator"),
        ("Derived", "Doubling (fc1) has no stacked form"),
        ("Hooked", "fc2 has hooks"),
        ("Convolving", "convolutions of a network of your own are no faster stacked"),
    ],
)
def test_what_is_not_safe_or_not_faster_trains_seed_by_seed_and_says_why(here, network, why):
    training = training_of(settings(here, network, "num_seeds=2", "activation=gelu"), random_splits())
    assert training.execution.startswith("seed by seed, ") and why in training.execution


@pytest.mark.parametrize("execution", ["auto", "seed_by_seed"])
@torch.no_grad()
def test_a_site_that_runs_twice_in_a_pass_is_seen_once_for_each_seed(here, execution):
    splits = random_splits()
    network = training_of(settings(here, "Twice", "num_seeds=3", f"train.execution={execution}"), splits).network.eval()
    assert network.stacked == (execution == "auto")
    (seen,) = look_at_preactivations(network, splits.val_x).values()
    z, h = observed(network, splits.val_x, [])
    expected = [network.plain_network(k).network.fc1(splits.val_x.flatten(1)) for k in range(3)]
    torch.testing.assert_close(z["relu"], torch.stack(expected))
    torch.testing.assert_close(h["relu"], torch.stack(expected).relu())
    assert [one.histogram.sum for one in seen] == pytest.approx([float(z.sum()) for z in expected], abs=1e-3)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # of torch, in passes without gradients
@pytest.mark.parametrize("reentrant", ["false", "true"])
def test_dropout_that_a_checkpoint_runs_again_has_the_mask_of_the_first_time(here, reentrant):
    splits, weights = in_double(random_splits()), []
    for again in ("true", "false"):
        own = f"model.again={again}", f"model.reentrant={reentrant}", "activation=own", "train.execution=seed_by_seed"
        training, _ = trained(settings(here, "Dropping", "num_seeds=2", *own), splits)
        weights.append(training.network.state_dicts())
    for ours, expected in zip(*weights, strict=True):
        for name, value in expected.items():
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-9)


def test_one_seed_is_no_stack(here):
    training = training_of(settings(here, "Net", "num_seeds=1"), random_splits())
    assert training.execution == "seed by seed, eager: there is one seed"


# ---------------------------------------------------------------- functions of samples


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(6, 6), function

    def forward(self, x):
        return self.function(self.layer(x))


MIXING = {
    "mean": lambda x: x - x.mean(0, keepdim=True).expand_as(x),
    "norm": lambda x: nn.functional.normalize(x, dim=0),
    "softmax": lambda x: x.softmax(0),
    "roll": lambda x: x.roll(1, 0),
    "flip": lambda x: x.flip(0),
    "sort": lambda x: x.sort(0).values,
    "cumsum": lambda x: x.cumsum(0),
    "batch_norm": lambda x: nn.functional.batch_norm(x, None, None, training=True),
    "attention over samples": lambda x: x @ x.transpose(0, 1) @ x,
    "of shape": lambda x: x * x.shape[0],
    "of size": lambda x: x / x.size(-2),
    "first samples": lambda x: x[:64],
    "split": lambda x: x.split(64)[0],
    "split by keyword": lambda x: torch.split(x, 64, dim=0)[0],
    "folded": lambda x: x.view(-1, 12).view(-1, 6),
    "number in the code": lambda x: x.reshape(7, -1),
    "values": lambda x: x * x.max().item(),
    "a constant": lambda x: x * torch.tensor([1.0, 2, 3, 4, 5, 6]),
    "guard": lambda x: x.nan_to_num() / x.nan_to_num().abs().max(dim=0, keepdim=True).values.expand_as(x),
}
ALONE = {
    "softmax": lambda x: x.softmax(-1),
    "relu": lambda x: x.relu_() + x,
    "folded back": lambda x: x.view(x.size(0), 2, 3).transpose(1, 2).flatten(1),
    "chunks": lambda x: x.chunk(2, dim=1)[0].mul(2),
    "unbound": lambda x: x.view(-1, 2, 3).unbind(1)[1] + 1,
    "attention of a sample": lambda x: (y := x.view(x.shape[0], 2, 3)) @ y.transpose(1, 2),
    "largest": lambda x: x.topk(2, dim=1).values,
    "sizes": lambda x: x / x.shape[1] ** 0.5,
}


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_samples_or_knows_their_number_is_noticed(name):
    with pytest.raises(NotStackable):
        check_straight(Function(MIXING[name]), ["layer"], [], torch.randn(4, 6))


@pytest.mark.parametrize("name", ALONE)
def test_what_treats_each_sample_by_itself_is_taken(name):
    check_straight(Function(ALONE[name]), ["layer"], [], torch.randn(4, 6))
