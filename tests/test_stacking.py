"""Contract 1: a seed trained in a stack gives what it gives alone."""

from __future__ import annotations

import copy
import importlib
from dataclasses import fields, replace
from functools import cache
from itertools import product

import pytest
import torch
from helpers import build_training, in_double, random_splits, settings_of, training_of
from torch import nn

from actbench.errors import UserError
from actbench.stacking import (
    NotStackable,
    SingleReplica,
    StackedReplicas,
    activation_sites,
    layer_of,
    layers,
    make_replicas,
    stack_layer,
)
from actbench.train import Control, fit
from actbench.train.networks import build_network
from actbench.train.seeding import generators
from actbench.train.updates import update_of

STEPS_20 = ("train.batch_size=10", "train.epochs=2", "train.eval_batch_size=40")  # 100 samples: 2 × 10 steps


@cache
def combined(*bundles):
    """The settings of all bundles of overrides. Each bundle is composed once, however many cases share it."""
    changes = {}
    for bundle in bundles:
        own = _changes(bundle)
        assert not own.keys() & changes.keys(), f"in two bundles: {own.keys() & changes.keys()}"
        changes |= own
    return replace(settings_of(), **changes)


@cache
def _changes(bundle):
    composed, usual = settings_of(*bundle), settings_of()
    both = ((field.name, getattr(composed, field.name), getattr(usual, field.name)) for field in fields(composed))
    return {name: value for name, value, default in both if value != default}


def train(settings, splits):
    """The training of these settings after its last step, and the records of all epochs."""
    training = training_of(settings, splits)
    return training, list(fit(training, control=Control()))


def assert_same_states(ours, theirs, atol):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


MODELS = {
    "mlp": ("model=mlp", "model.width=12", "model.depth=3"),
    "cnn": ("model=cnn", "model.channels=[3,4]", "model.dense=6"),
    "deep cnn": ("model=deep_cnn", "model.channels=[3,4]", "model.kernel_size=3", "model.width=6", "model.depth=2"),
    "hybrid": ("model=hybrid", "model.width=10", "model.blocks=2"),
    "residual mlp": ("model=mlp", "model.width=12", "model.depth=4", "model.residual=true"),
    "gated mlp": ("model=mlp", "model.width=9", "model.depth=3", "model.residual=true", "model.gated=true"),
    "vit": ("model=vit", "model.patch_size=4", "model.width=6", "model.depth=2", "model.heads=2"),
    "gated vit": (
        "model=vit", "model.patch_size=2", "model.width=4", "model.depth=2", "model.heads=1", "model.gated=true",
    ),
}  # fmt: skip
NORMS = ["none", "batch", "layer"]
OPTIMIZERS = ["sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "nadam", "radam"]
CLIPS = {
    "none": ("clip=none",), "norm": ("clip=norm", "clip.max_norm=0.3"), "value": ("clip=value", "clip.clip_value=0.01"),
}  # fmt: skip
PARAMETRIC = {
    "prelu": ("activation=prelu",),
    "prelu per unit": (
        "activation=prelu",
        "activation.num_parameters=units",
    ),
    "swish": ("activation=swish",),
    "swish per unit": (
        "activation=swish",
        "activation.num_parameters=units",
    ),
    "pact": (
        "activation=pact",
        "activation.init=0.5",
    ),
    "pact per unit": (
        "activation=pact",
        "activation.init=0.5",
        "activation.num_parameters=units",
    ),
    "acon": ("activation=acon",),
    "acon per unit": (
        "activation=acon",
        "activation.num_parameters=units",
    ),
    "bipolar_relu": ("activation=bipolar_relu",),
    "topk": (
        "activation=topk",
        "activation.fraction=0.4",
    ),
    "topk of a number": (
        "activation=topk",
        "activation.k=2",
    ),
    "relu": ("activation=relu",),
}


def check_parity(*bundles, execution="auto"):
    """Composed once: the seeds alone have the settings of the stack but for their numbers."""
    splits = in_double(random_splits())
    settings = combined(*bundles, (*STEPS_20, f"train.execution={execution}", "probe=false"))
    together, _ = train(replace(settings, seed=3, num_seeds=3), splits)
    assert together.network.stacked
    for k, state in enumerate(together.network.state_dicts()):
        alone, _ = train(replace(settings, seed=3 + k, num_seeds=1), splits)
        assert_same_states(state, alone.network.state_dicts()[0], atol=1e-9)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_seed_in_a_stack_trains_as_alone_for_every_optimizer_and_clip(optimizer, clip):
    check_parity(MODELS["mlp"], ("norm=batch",), (f"optimizer={optimizer}",), CLIPS[clip], PARAMETRIC["prelu"])


@pytest.mark.parametrize(
    ("model", "norm", "activation"),
    [
        *product(["mlp", "cnn", "hybrid"], NORMS, ["prelu", "swish", "relu"]),
        *product(["mlp", "cnn"], ["none"], [name for name in PARAMETRIC if name not in ("prelu", "swish", "relu")]),
        *product(["deep cnn", "residual mlp", "gated mlp", "vit", "gated vit"], NORMS, ["relu"]),
        *product(["gated mlp", "vit", "gated vit"], ["none"], ["prelu per unit", "pact", "acon per unit", "topk"]),
        *product(["mlp", "cnn", "hybrid"], ["batch", "layer"], ["prelu per unit"]),
    ],
)
def test_seed_in_a_stack_trains_as_alone_for_every_model_norm_and_learned_activation(model, norm, activation):
    check_parity(
        MODELS[model], (f"norm={norm}",), ("optimizer=adam",), CLIPS["norm"], ("dropout=0.2",),
        ("augment=shift_rotate",), PARAMETRIC[activation], execution="stacked",
    )  # fmt: skip


@pytest.mark.parametrize("scheduler", ["constant", "step", "exponential", "cosine", "warmup_cosine", "onecycle"])
def test_seed_in_a_stack_trains_as_alone_under_every_scheduler(scheduler):
    check_parity(MODELS["mlp"], (f"scheduler={scheduler}",), ("optimizer=nadam",))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm", NORMS)
def test_stacked_training_is_that_of_ordinary_modules_in_an_ordinary_loop(model, norm):
    """An oracle that shares no code with the loop: plain modules, plain torch, the same batches."""
    splits = in_double(random_splits())
    settings = combined(
        MODELS[model], (f"norm={norm}",), ("clip=norm", "clip.max_norm=0.5"), ("activation=swish",),
        ("optimizer=adam",), ("num_seeds=2",), (*STEPS_20, "train.execution=stacked", "probe=false"),
    )  # fmt: skip
    training = training_of(settings, splits)
    before = training.network.state_dicts()
    list(fit(training, control=Control()))
    for k, order in enumerate(generators([0, 1], "order")):
        network = build_network(settings, splits.inputs, splits.classes, k).double()
        assert_same_states(before[k], network.state_dict(), atol=0)  # the same initial bits
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        network.train()
        for _ in range(2):
            for rows in torch.randperm(100, generator=order).split(10):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(splits.train_x[rows]), splits.train_y[rows])
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
                optimizer.step()
        assert_same_states(training.network.state_dicts()[k], network.state_dict(), atol=1e-9)


def test_stack_begins_with_the_bits_of_seeds_built_alone():
    splits, settings = random_splits(), combined(MODELS["cnn"])
    together = training_of(replace(settings, seed=2, num_seeds=3), splits).network.state_dicts()
    for k in range(3):
        (alone,) = training_of(replace(settings, seed=2 + k, num_seeds=1), splits).network.state_dicts()
        assert_same_states(together[k], alone, atol=0)


def test_random_slopes_alpha_dropout_and_spared_parameters_are_those_of_the_seed_alone():
    bundles = (
        MODELS["mlp"], ("norm=batch",), ("activation=rrelu",), ("dropout=0.2", "dropout_kind=alpha"),
        ("optimizer=adamw", "optimizer.weight_decay=0.3"),
    )  # fmt: skip
    check_parity(*bundles, execution="stacked")
    splits, settings = in_double(random_splits()), combined(*bundles, (*STEPS_20, "num_seeds=2", "probe=false"))
    ways = [replace(settings, train=replace(settings.train, execution=way)) for way in ("stacked", "seed_by_seed")]
    (stacked, _), (apart, _) = (train(way, splits) for way in ways)
    for ours, theirs in zip(apart.network.state_dicts(), stacked.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=1e-9)


def test_rrelu_draws_slopes_between_its_bounds_and_their_mean_is_used_afterwards():
    z = torch.randn(2, 500, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = stack_layer(nn.RReLU(0.2, 0.6), [nn.RReLU(0.2, 0.6)] * 2, generators([0, 1], "dropout"))
    h = layer(z)
    (slopes,) = torch.autograd.grad(h.sum(), z)
    below = z < 0
    torch.testing.assert_close(h, z * slopes)
    assert (slopes[~below] == 1).all()
    assert slopes[below].min() >= 0.2 and slopes[below].max() <= 0.6
    assert slopes[below].mean().item() == pytest.approx(0.4, abs=0.01)
    assert slopes[below].std().item() == pytest.approx(0.4 / 12**0.5, abs=0.01)
    torch.testing.assert_close(layer.eval()(z), nn.RReLU(0.2, 0.6).eval()(z))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_gives_the_values_that_torch_gives(p):
    layer = stack_layer(nn.AlphaDropout(p), [nn.AlphaDropout(p)], generators([0], "dropout"))
    x = torch.full((1, 10_000), 0.7)
    ours, theirs = layer(x), nn.AlphaDropout(p)(x)
    torch.testing.assert_close(ours.unique(), theirs.unique())
    assert (ours == ours.min()).double().mean().item() == pytest.approx(p, abs=0.02)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
@pytest.mark.parametrize("decay", ["weights", "all"])
def test_weight_decay_is_for_weights_alone_unless_asked_for(execution, decay):
    """Without gradients, a step of SGD shrinks what it decays by lr·weight_decay, and nothing else moves."""
    settings = combined(
        MODELS["mlp"], ("norm=batch",), ("activation=prelu", "activation.num_parameters=units"), ("num_seeds=2",),
        ("optimizer=sgd", "optimizer.lr=0.1", "optimizer.weight_decay=0.5", f"optimizer.decay={decay}"),
        (f"train.execution={execution}",),
    )  # fmt: skip
    training = training_of(settings, random_splits())
    before = training.network.state_dicts()
    for parameter in training.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in training.optimizers:
        update_of(optimizer)()
    for earlier, now in zip(before, training.network.state_dicts(), strict=True):
        for name, value in earlier.items():
            shrinks = value.ndim == 2 or (decay == "all" and "running" not in name and "tracked" not in name)
            torch.testing.assert_close(now[name], value * 0.95 if shrinks else value, rtol=1e-6, atol=0)
        assert {name.split(".")[-2] for name in earlier} >= {"linear", "norm", "activation", "output"}


@pytest.mark.parametrize("model", MODELS)
def test_a_seed_that_diverges_leaves_the_others_bit_equal(model):
    splits = random_splits()
    settings = combined(
        MODELS[model], ("norm=batch",), ("clip=norm",), ("activation=prelu",), ("dropout=0.1",), ("num_seeds=3",),
        (*STEPS_20, "train.execution=stacked"),
    )  # fmt: skip

    def trained(poisoned):
        training = training_of(settings, splits)
        if poisoned:
            with torch.no_grad():
                next(training.network.parameters())[1].fill_(float("nan"))
        return training.network, list(fit(training, control=Control()))

    healthy, healthy_epochs = trained(poisoned=False)
    poisoned, epochs = trained(poisoned=True)
    for k in (0, 2):
        assert_same_states(poisoned.state_dicts()[k], healthy.state_dicts()[k], atol=0)
    assert [epoch.diverged for epoch in epochs if epoch.number] == [(1,), ()]
    assert [{r.seed for r in epoch.records} for epoch in epochs if epoch.number] == [{0, 1, 2}, {0, 2}]
    for ours, theirs in zip(epochs, healthy_epochs, strict=True):
        assert [l for l in ours.layers if l.seed != 1] == [l for l in theirs.layers if l.seed != 1]


# ---------------------------------------------------------------- taking apart, and what cannot be stacked


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_plain_network_is_the_ordinary_module_of_a_seed_and_shares_nothing(model, norm, execution):
    splits = random_splits()
    settings = combined(
        MODELS[model], (f"norm={norm}",), ("activation=prelu", "activation.num_parameters=units"), ("dropout=0.2",),
        ("num_seeds=2",), (*STEPS_20, f"train.execution={execution}", "probe=false"),
    )  # fmt: skip
    training, _ = train(settings, splits)
    training.network.eval()
    logits = training.network(splits.val_x.expand(2, *splits.val_x.shape))
    states = training.network.state_dicts()
    for k, state in enumerate(states):
        network = training.network.plain_network(k)
        assert_same_states(network.state_dict(), state, atol=0)
        assert not any(module.training for module in network.modules())
        torch.testing.assert_close(network(splits.val_x), logits[k], rtol=1e-4, atol=1e-5)
        built = build_network(settings, splits.inputs, splits.classes, 99)  # which a checkpoint can be loaded into
        assert [type(module) for module in network.modules()] == [type(module) for module in built.modules()]
        built.load_state_dict(state)
        torch.testing.assert_close(built.eval()(splits.val_x), logits[k], rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.fill_(7)
    for state, after in zip(states, training.network.state_dicts(), strict=True):
        assert_same_states(after, state, atol=0)
    assert_same_states(training.network.plain_network(1).state_dict(), states[1], atol=0)
    for number in (-1, 2):
        with pytest.raises(IndexError):
            training.network.plain_network(number)


def test_a_plain_network_of_a_module_that_draws_or_keeps_a_graph_is_built_from_its_state():
    replicas = replicas_of(Keeps)
    replicas.train()(torch.randn(3, 4, 6))
    replicas.network_of_one = replicas.plain_network(2)
    assert "global random number" in replicas.execution
    assert_same_states(replicas.network_of_one.state_dict(), replicas.state_dicts()[2], atol=0)


class OwnLayer(nn.Module):
    """A module of a user's own with a parameter: there is no stacked form of it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z):
        return torch.relu(z) * self.scale


class CountsDimensions(nn.Module):
    def forward(self, z):
        if z.ndim != 2:
            raise ValueError("two dimensions")
        return z.relu()


class AcrossTheBatch(nn.Module):
    def forward(self, z):
        return z - z.mean(0)


class Noisy(nn.Module):
    def forward(self, z):
        return z.relu() + (torch.randn_like(z) if self.training else 0)


class Keeps(Noisy):
    """Keeps a tensor of the last pass, which cannot be copied."""

    def forward(self, z):
        self.last = super().forward(z)
        return self.last


class OwnRReLU(nn.RReLU):
    """What it does is not known to be what torch's does."""


class Elementwise(nn.Module):
    def forward(self, z):
        return z * (z > 0)


def small(activation):
    network = nn.Sequential()
    hidden = nn.Sequential()
    hidden.add_module("linear", nn.Linear(6, 5))
    hidden.add_module("activation", activation)
    network.add_module("hidden1", hidden)
    network.add_module("drop", nn.Dropout(0.3))
    network.add_module("output", nn.Linear(5, 3))
    return network


def replicas_of(activation, seeds=(0, 1, 2), optimizer=torch.optim.Adam, execution="auto"):
    networks = []
    for seed in seeds:
        torch.manual_seed(seed)
        networks.append(small(activation()))
    return make_replicas(
        networks, generators(seeds, "dropout"), optimizer=optimizer, sample=torch.randn(4, 6),
        device=torch.device("cpu"), execution=execution,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("activation", "stacked", "reason"),
    [
        (nn.ReLU, True, ""),
        (Elementwise, True, ""),
        (OwnLayer, False, "OwnLayer has no stacked form"),
        (CountsDimensions, False, "does not compute"),
        (AcrossTheBatch, False, "does not compute"),
        (Noisy, False, "global random number generator"),
        (OwnRReLU, False, "global random number generator"),
        (nn.RReLU, True, ""),
    ],
)
def test_what_cannot_be_stacked_runs_seed_by_seed_and_says_why(activation, stacked, reason):
    replicas = replicas_of(activation)
    assert [type(group) for group in replicas.groups] == ([StackedReplicas] if stacked else [SingleReplica] * 3)
    assert reason in replicas.execution


def test_an_optimizer_that_is_not_elementwise_runs_seed_by_seed():
    replicas = replicas_of(nn.ReLU, optimizer=torch.optim.LBFGS)
    assert [type(group) for group in replicas.groups] == [SingleReplica] * 3
    assert "LBFGS" in replicas.execution


@pytest.mark.parametrize("activation", [OwnLayer, Noisy])
def test_seed_by_seed_gives_each_seed_what_it_gives_alone_with_its_own_random_numbers(activation):
    x, state = torch.randn(3, 4, 6), torch.get_rng_state()
    together = replicas_of(activation).train()
    first, second = together(x), together(x)
    assert not torch.equal(first, second)  # dropout goes on
    for s in range(3):
        alone = replicas_of(activation, seeds=(s,)).train()
        assert torch.equal(alone(x[s : s + 1])[0], first[s])
        assert torch.equal(alone(x[s : s + 1])[0], second[s])
    torch.set_rng_state(state)


def test_seed_by_seed_leaves_the_global_random_numbers_alone():
    replicas = replicas_of(Noisy).train()
    before = torch.get_rng_state()
    replicas(torch.zeros(3, 4, 6))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.RReLU, lambda: nn.AlphaDropout(0.4)])
def test_seed_by_seed_and_stacked_draw_the_same_dropout_and_slopes(activation):
    stacked = replicas_of(activation).train()
    apart = replicas_of(activation, optimizer=torch.optim.LBFGS).train()
    assert stacked.stacked and not apart.stacked
    x = torch.randn(3, 4, 6)
    torch.testing.assert_close(stacked(x), apart(x))
    torch.testing.assert_close(stacked(x), apart(x))


@pytest.mark.parametrize(
    ("model", "memory_format"), [*((model, "contiguous") for model in MODELS), ("cnn", "channels_last")]
)
def test_training_seed_by_seed_is_that_of_the_stack(model, memory_format):
    """The same loop by another way: parameters agree in float64, whatever the order in memory."""
    splits = in_double(random_splits())
    settings = combined(
        MODELS[model], ("norm=batch",), ("dropout=0.2",), CLIPS["norm"], ("activation=swish",),
        ("augment=shift_rotate",), ("num_seeds=2",), (*STEPS_20, f"train.memory_format={memory_format}"),
    )  # fmt: skip
    ways = [replace(settings, train=replace(settings.train, execution=way)) for way in ("stacked", "seed_by_seed")]
    (stacked, stacked_epochs), (apart, epochs) = (train(way, splits) for way in ways)
    for ours, theirs in zip(apart.network.state_dicts(), stacked.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=1e-9)
    for ours, theirs in zip(epochs, stacked_epochs, strict=True):
        for a, b in zip(ours.layers, theirs.layers, strict=True):
            assert (a.seed, a.layer, a.units) == (b.seed, b.layer, b.units)
            for name in ("dead", "dormant", "saturated", "active", "mean", "std", "grad_norm"):
                assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-6)


def test_every_stacked_layer_has_no_hidden_mixing_of_seeds():
    """The gradient of one seed's loss reaches that seed's parameters alone."""
    splits = random_splits()
    settings = combined(
        MODELS["cnn"], ("norm=batch",), ("activation=swish",), ("num_seeds=3",), ("train.execution=stacked",)
    )
    training = training_of(settings, splits)
    (group,) = training.network.groups
    logits = training.network(splits.train_x[:10].expand(3, -1, -1, -1, -1))
    logits[1].sum().backward()
    for name, gradient in group.gradients().items():
        assert gradient[0].abs().sum() == 0, name
        assert gradient[2].abs().sum() == 0, name
    assert sum(float(gradient[1].abs().sum()) for gradient in group.gradients().values()) > 0


def test_a_layer_can_be_stacked_once_a_module_for_it_is_added(monkeypatch, tmp_path):
    """One file in `stacking/layers`, and nothing else: it is found by itself."""
    replicas = [nn.Bilinear(2, 3, 4) for _ in range(2)]
    with pytest.raises(NotStackable, match="Bilinear"):
        stack_layer(replicas[0], replicas, [])
    (tmp_path / "bilinear.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "from actbench.stacking.protocol import StackedLayer, stack_layer, stack_parameters\n"
        "class StackedBilinear(StackedLayer):\n"
        "    def __init__(self, replicas):\n"
        "        super().__init__()\n"
        "        stack_parameters(self, replicas)\n"
        "    def forward(self, x):\n"
        "        a, b = x.split([2, 3], dim=2)\n"
        "        y = torch.einsum('sbi,soij,sbj->sbo', a, self.weight, b)\n"
        "        return y + self.bias.unsqueeze(1)\n"
        "@stack_layer.register(nn.Bilinear)\n"
        "def _(layer, replicas, generators):\n"
        "    return StackedBilinear(replicas)\n"
    )
    monkeypatch.setattr(layers, "__path__", [*layers.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    layers.import_all()
    x = torch.randn(2, 5, 5)
    expected = torch.stack([layer(*part.split([2, 3], dim=1)) for layer, part in zip(replicas, x, strict=True)])
    torch.testing.assert_close(stack_layer(replicas[0], replicas, [])(x), expected)


def test_a_module_with_parameters_of_its_own_is_not_taken_for_a_shell():
    class Scaling(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(3, 3))
            self.scale = nn.Parameter(torch.ones(()))

    with pytest.raises(NotStackable, match="Scaling has parameters of its own"):
        stack_layer(Scaling(), [Scaling(), Scaling()], [])


def test_a_sequence_with_a_forward_of_its_own_keeps_it_in_a_stack():
    class Twice(nn.Sequential):
        def forward(self, x):
            return super().forward(super().forward(x))

    replicas = [Twice(nn.Linear(3, 3), nn.Tanh()) for _ in range(2)]
    x = torch.randn(2, 4, 3)
    stacked = stack_layer(replicas[0], replicas, [])
    torch.testing.assert_close(
        stacked(x), torch.stack([replica(part) for replica, part in zip(replicas, x, strict=True)])
    )
    assert isinstance(replicas[0][0], nn.Linear)  # the seeds' own modules are as they were
    assert replicas[0][0].weight.shape == (3, 3)


@pytest.mark.parametrize("activation", ["topk", "bipolar_relu"])
@pytest.mark.parametrize("shape", [(3, 5, 8), (3, 5, 8, 2, 2)])
def test_units_that_are_not_alike_are_told_apart_in_a_stack(activation, shape):
    """Which units are kept or turned over depends on the sample and the unit, and not on the seed."""
    from actbench.activations import BipolarReLU, TopK
    from actbench.activations.coupling import selects

    replicas = [TopK(fraction=0.25) if activation == "topk" else BipolarReLU() for _ in range(3)]
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    stacked = stack_layer(replicas[0], replicas, [])
    assert torch.equal(stacked(z), torch.stack([replica(part) for replica, part in zip(replicas, z, strict=True)]))
    assert selects(stacked, seeds=3) == (activation == "topk")


def test_unregistered_layer_type_is_named():
    with pytest.raises(NotStackable, match="LSTM"):
        stack_layer(nn.LSTM(2, 2), [nn.LSTM(2, 2)], [])


def test_sites_are_found_by_name_in_order_of_the_network():
    network = small(nn.ReLU())
    assert list(activation_sites(network)) == ["hidden1"]
    assert layer_of("hidden1.linear.weight", ["hidden1", "hidden10"]) == "hidden1"
    assert layer_of("hidden10.linear.weight", ["hidden1", "hidden10"]) == "hidden10"
    assert layer_of("output.weight", ["hidden1"]) is None
    gates = ["hidden1.gate", "hidden10.gate"]
    assert [layer_of(f"hidden10.{half}.weight", gates) for half in ("gate.linear", "value")] == ["hidden10.gate"] * 2


def test_one_layer_norm_without_affine_and_one_with_stack_alike():
    for make in (
        lambda: nn.LayerNorm(5),
        lambda: nn.LayerNorm(5, elementwise_affine=False),
        lambda: nn.LayerNorm(5, bias=False),
    ):
        replicas = [make() for _ in range(2)]
        for k, replica in enumerate(replicas):
            for parameter in replica.parameters():
                nn.init.normal_(parameter, generator=torch.Generator().manual_seed(k))
        x = torch.randn(2, 3, 5)
        ours = stack_layer(replicas[0], replicas, [])(x)
        torch.testing.assert_close(ours, torch.stack([copy.deepcopy(p)(x[k]) for k, p in enumerate(replicas)]))


class OwnDropout(nn.Dropout):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5, self.training)


def test_a_dropout_of_ones_own_draws_from_the_seeds_random_numbers():
    replicas = replicas_of(OwnDropout).train()
    assert "global random number generator" in replicas.execution
    before, x = torch.get_rng_state(), torch.randn(3, 4, 6)
    torch.set_rng_state(before)
    first = replicas(x)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, replicas_of(OwnDropout).train()(x))


def test_one_dropout_at_two_places_is_seeded_at_both():
    def networks():
        found = []
        for seed in range(2):
            torch.manual_seed(seed)
            drop = nn.Dropout(0.5)
            found.append(nn.Sequential(nn.Conv2d(1, 2, 3), drop, nn.ReLU(), drop, nn.Flatten(), nn.Linear(8, 3)))
        return found

    x = torch.randn(2, 5, 1, 4, 4)
    outcomes = []
    for execution in ("seed_by_seed", "seed_by_seed", "stacked"):
        replicas = make_replicas(
            networks(), generators([0, 1], "dropout"), optimizer=torch.optim.Adam, sample=x[0],
            device=torch.device("cpu"), execution=execution,
        )  # fmt: skip
        outcomes.append(replicas.train()(x))
        torch.randn(7)  # whatever others draw
    assert torch.equal(outcomes[0], outcomes[1])
    torch.testing.assert_close(outcomes[0], outcomes[2])


@pytest.mark.parametrize(("width", "stacked"), [(1023, True), (1024, False)])
def test_a_cpu_takes_large_layers_one_after_the_other(width, stacked):
    """Whatever the number of seeds: alone and in a stack they run the same way."""
    for seeds in (1, 2):
        networks = [nn.Sequential(nn.Linear(4, 1024), nn.ReLU(), nn.Linear(1024, width)) for _ in range(seeds)]
        replicas = make_replicas(
            networks, generators(range(seeds), "dropout"), optimizer=torch.optim.Adam, sample=torch.randn(3, 4),
            device=torch.device("cpu"),
        )  # fmt: skip
        assert replicas.stacked == stacked
    assert stacked or "1,048,576 or more weights" in replicas.execution


@pytest.mark.parametrize(("patch_size", "stacked"), [(14, True), (7, False)])
def test_a_cpu_takes_many_tokens_one_seed_after_the_other(patch_size, stacked):
    settings = settings_of("model=vit", f"model.patch_size={patch_size}", "model.depth=1")  # 4 or 16 tokens of 64
    replicas = make_replicas(
        [build_network(settings, (1, 28, 28), 10, seed) for seed in (0, 1)], generators([0, 1], "dropout"),
        optimizer=torch.optim.Adam, sample=torch.randn(3, 1, 28, 28), device=torch.device("cpu"),
    )  # fmt: skip
    assert replicas.stacked == stacked
    assert stacked or "1,024 or more values" in replicas.execution


def test_layers_that_share_a_parameter_are_not_taken_apart():
    shared = nn.Linear(4, 4)
    networks = [nn.Sequential(shared, nn.ReLU(), shared)]
    replicas = make_replicas(
        networks, generators([0], "dropout"), optimizer=torch.optim.Adam, sample=torch.randn(3, 4),
        device=torch.device("cpu"),
    )  # fmt: skip
    assert "share a parameter" in replicas.execution


def test_resumed_in_another_memory_format_is_as_never_interrupted(monkeypatch):
    splits = random_splits()
    overrides = ["num_seeds=2", *MODELS["cnn"], *STEPS_20, "train.epochs=3"]

    def training(memory_format):
        return build_training(monkeypatch, splits, *overrides, f"train.memory_format={memory_format}")

    straight = training("contiguous")
    list(fit(straight, control=Control()))
    first, second = training("contiguous"), training("channels_last")
    for epoch in fit(first, control=Control()):
        if epoch.number == 1:
            break
    second.load_state(copy.deepcopy(first.state()))
    list(fit(second, control=Control(), done=1))
    for ours, theirs in zip(second.network.state_dicts(), straight.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=1e-5)


def test_a_view_of_its_input_keeps_a_network_in_the_usual_order_of_memory():
    class Views(nn.Module):
        def forward(self, z):
            return z.view(z.shape[0], -1).relu().view(z.shape)

    def build(memory_format):
        network = nn.Sequential(nn.Conv2d(1, 2, 3), Views(), nn.Flatten(), nn.Linear(8, 3))
        return make_replicas(
            [network], generators([0], "dropout"), optimizer=torch.optim.Adam, sample=torch.randn(4, 1, 4, 4),
            device=torch.device("cpu"), memory_format=memory_format,
        )  # fmt: skip

    assert "channels_last" not in build("auto").execution
    with pytest.raises(UserError, match="depends on the memory layout"):
        build("channels_last")


class TrainMax(nn.Module):
    """Couples samples in training alone: stacked, it would mix the seeds."""

    def forward(self, z):
        return z.relu() / (1e-6 + z.detach().abs().max()) if self.training else z.relu() / 3.0


class Beside(nn.Module):
    """Couples whatever lies in front, in both modes."""

    def forward(self, z):
        return z - z.mean(0, keepdim=True)


@pytest.mark.parametrize("activation", [TrainMax, Beside])
def test_what_mixes_samples_is_not_stacked_in_whichever_mode_it_does(activation):
    networks = [small(activation()) for _ in range(3)]
    dropout = [torch.Generator().manual_seed(k) for k in range(3)]
    replicas = make_replicas(
        networks, dropout, optimizer=torch.optim.SGD, sample=torch.randn(4, 6), device=torch.device("cpu")
    )
    assert [type(group) for group in replicas.groups] == [SingleReplica] * 3
    assert "does not compute what one network computes" in replicas.execution


def test_the_trial_of_a_stack_leaves_it_as_it_was():
    """Batch norm's statistics, and the generators of dropout."""
    networks = [
        nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 4))
        for _ in range(2)
    ]
    dropout = [torch.Generator().manual_seed(k) for k in range(2)]
    before = [generator.get_state() for generator in dropout]
    replicas = make_replicas(
        networks, dropout, optimizer=torch.optim.SGD, sample=torch.randn(4, 1, 4, 4), device=torch.device("cpu")
    )
    assert replicas.stacked
    assert all(torch.equal(old, new.get_state()) for old, new in zip(before, dropout, strict=True))
    for network, state in zip(networks, replicas.state_dicts(), strict=True):
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert [module.p for module in replicas.modules() if hasattr(module, "p")] == [0.5]


def test_an_optimizer_of_ones_own_is_not_taken_for_what_it_inherits_from():
    class Lars(torch.optim.SGD):
        """Its step depends on the norm of a whole parameter, which in a stack is that of all seeds."""

    dropout = [torch.Generator().manual_seed(k) for k in range(2)]
    replicas = make_replicas(
        [small(nn.ReLU()) for _ in range(2)], dropout, optimizer=Lars, sample=torch.randn(4, 6),
        device=torch.device("cpu"),
    )  # fmt: skip
    assert replicas.execution == "seed by seed: Lars is not known to be elementwise"
