"""A network of the user's own: named in a YAML file or on the command line, trained, measured and stored like ours."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from helpers import in_double, own_module, random_splits, settings_of, training_of

from actbench.command import listing, own_models, suggestions, trusting
from actbench.custom import signatures
from actbench.diagnosis import remedies
from actbench.errors import UserError
from actbench.measures.gradients import untrained_gradient_norms
from actbench.sinks.tags import Tags
from actbench.store import reader
from actbench.train import Control, fit
from actbench.train.checks import check

SOURCE = '''
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class Net(nn.Module):
    """As a user would write it: a module, a call, and dropout."""

    def __init__(self, width: int = 16, *, num_classes=10, drop=0.0, norm=nn.Identity):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, 2, 1)
        self.bn = nn.BatchNorm2d(4)
        self.act1 = nn.ReLU(inplace=True)
        self.fc1 = nn.Linear(4 * 16, width)
        self.dropout = nn.Dropout(drop)
        self.fc2 = nn.Linear(width, num_classes)

    def forward(self, x):
        x = self.act1(self.bn(self.conv(x)))
        x = F.relu(self.fc1(F.adaptive_avg_pool2d(x, 4).flatten(1)))
        return self.fc2(self.dropout(x))


class Small(Net):
    pass


class Pair(Net):
    def forward(self, x):
        return super().forward(x), x


class Gated(Net):
    def forward(self, x):
        x = F.relu(self.fc1(F.adaptive_avg_pool2d(self.act1(self.bn(self.conv(x))), 4).flatten(1)))
        return self.fc2(F.relu(x * torch.sigmoid(x.mean(1, keepdim=True))))  # which no layer's output reaches alone


class Straight(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.linear = nn.LazyLinear(classes) if classes < 0 else nn.Linear(784, classes)

    def forward(self, x):
        return self.linear(x.flatten(1))


class Broken(Net):
    def __init__(self):
        raise KeyError("no file")


class Away(Straight):
    def __init__(self, classes):
        super().__init__(classes)
        self.to("meta")


class Flat(Straight):
    def forward(self, x):
        return self.linear(x)


class Large(Net):
    """Its second activation is called with no more than two samples."""

    def forward(self, x):
        return super().forward(x).tanh() if len(x) > 2 else super().forward(x)


class Recomputed(Net):
    """Its second half runs again in the backward pass."""

    def half(self, x):
        return self.fc2(self.dropout(F.relu(self.fc1(x))))

    def forward(self, x):
        x = self.act1(self.bn(self.conv(x)))
        return checkpoint(self.half, F.adaptive_avg_pool2d(x, 4).flatten(1), use_reentrant=False)


def sized(width, depth=2, *, rate=0.5):
    return Net(width, drop=rate)


def house(components, *, inputs, classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), components.activation(width), nn.Linear(width, classes))
'''
TINY = ["dataset=digits", "train.epochs=1", "num_seeds=2", "train.threads=1", "dataset.train_size=200", "study=s"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with the networks, in a module of this name."""
    monkeypatch.chdir(tmp_path)
    return own_module(tmp_path, SOURCE)


def settings(module, network="Net", *overrides):
    words = trusting.with_trust([f"model={module}:{network}", *overrides])
    return settings_of.__wrapped__(*words)


def trained(settings, splits):
    training = training_of(settings, splits)
    for _ in fit(training, control=Control()):
        pass
    return training


# ---------------------------------------------------------------- what is typed


def test_the_signature_is_read_from_the_source(here):
    net = signatures.signature_of(f"{here}.Net")
    assert net == signatures.Signature({"width": 16, "num_classes": 10, "drop": 0.0})  # a class is not for typing
    assert signatures.signature_of(f"{here}.Small") == net
    assert signatures.signature_of(f"{here}.sized") == signatures.Signature({"width": "???", "depth": 2, "rate": 0.5})
    assert signatures.signature_of(f"{here}.house") == signatures.Signature({"width": 8}, takes_components=True)
    assert signatures.signature_of(f"{here}.Straight") == signatures.Signature()  # the data say `classes`
    assert signatures.signature_of(f"{here}.torch.nn") is None


def test_who_types_a_module_trusts_it_and_a_file_does_not():
    assert trusting.with_trust(["model=a.b:N,c:M,mlp", "seed=1"]) == ["model=a.b:N,c:M,mlp", "seed=1", "trust=[a.b,c]"]
    assert trusting.with_trust(["trust=[x]", "model=a:N"]) == ["model=a:N", "trust=[x,a]"]
    for typed in (["model=mlp"], ["trust=a", "model=a:N"], ["activation=a:N"], ["+sweep=evil"]):
        assert trusting.with_trust(typed) == typed


def test_a_preset_of_a_stranger_imports_nothing(here, tmp_path, actbench):
    (tmp_path / "conf" / "sweep").mkdir(parents=True)
    (tmp_path / "conf" / "sweep" / "evil.yaml").write_text(
        f"# x\nhydra:\n  sweeper:\n    params:\n      model: {here}:Net\n"
    )
    done = actbench("-m", "+sweep=evil", *TINY)
    assert done.returncode != 0 and "is not trusted" in done.stderr


def test_a_network_starts_as_its_code_has_it_where_no_init_is_typed(here, tmp_path):
    assert settings(here).init.name == "own"
    assert settings(here, "Net", "init=he_normal").init.name == "he_normal"
    assert settings(here, "house").init.name == "he_normal"
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text(f"# mine\n_target_: {here}.Net\nwidth: 4\n")
    mine = settings_of.__wrapped__("model=mine", f"trust={here}")
    assert (mine.init.name, mine.model.params) == ("own", {"width": 4})


def test_parameters_are_keys_and_what_is_missing_is_said(here):
    assert settings(here, "Net", "model.width=8").model.params == {"width": 8, "num_classes": 10, "drop": 0.0}
    with pytest.raises(UserError, match=r"model\.width: has no default"):
        settings(here, "sized")
    assert own_models.problem_of("nowhere_at_all:Net").what == "there is no module `nowhere_at_all`"
    assert "did you mean" in own_models.problem_of(f"{here}:Nett").how
    assert "a module of your own" in own_models.problem_of("torchvision.models:resnet18").what


def test_sites_and_weights_are_part_of_the_identity_where_they_are_given(here, tmp_path):
    usual = settings(here)
    assert usual.id == replace(usual, sites="all", weights=None).id
    assert len({usual.id, settings(here, "Net", "sites=last").id, settings(here, "Net", "sites=[last,act1]").id}) == 3
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (settings(here, "Net", f"weights={name}").id for name in "abc")
    assert a == b != c != usual.id


# ---------------------------------------------------------------- what is built


def network_of(settings, classes=10):
    from actbench.train.networks import build_network

    return build_network(settings, (1, 28, 28), classes, 0)


def test_activation_own_is_the_network_as_it_is(here):
    network = network_of(settings(here, "Net", "activation=own"))
    plain = import_module(here).Net()
    plain.load_state_dict(network.state_dict())
    x = torch.randn(3, 1, 28, 28)
    relu = network_of(settings(here, "Net", "activation=relu"))
    assert torch.equal(relu(x), network(x))  # the comparison is paired
    assert torch.equal(plain.eval()(x), network_of(settings(here, "Net", "activation=own")).eval()(x))


def test_other_inits_are_for_the_layers_in_front_of_an_activation(here):
    own, he = (network_of(settings(here, "Net", f"init={init}")) for init in ("own", "he_normal"))
    changed = {
        n for n, p in he.network.named_parameters() if not torch.equal(p, dict(own.network.named_parameters())[n])
    }
    assert changed == {"conv.weight", "conv.bias", "fc1.weight", "fc1.bias"}
    assert he.network.fc1.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert not he.network.fc1.bias.any()


def test_sites_select_and_the_upper_part_may_have_another(here):
    chosen = network_of(settings(here, "Net", "activation=gelu", "sites=last"))
    assert chosen.exchanged == {"relu"}
    both = network_of(settings(here, "Net", "activation=gelu", "upper_activation=tanh"))
    assert [type(site.activation).__name__ for site in both.at.values()] == ["GELU", "Tanh"]


def test_weights_start_a_network_and_other_weights_are_refused(here, tmp_path):
    network = network_of(settings(here, "Net", "activation=own"))
    state = {
        name: torch.randn_like(value) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    torch.save(state, tmp_path / "w.pt")
    loaded = network_of(settings(here, "Net", "weights=w.pt", "activation=prelu")).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    torch.save({**{k: v for k, v in state.items() if k != "conv.bias"}, "more": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"lacks conv\.bias; it has beyond it more"):
        network_of(settings(here, "Net", "weights=x.pt"))
    with pytest.raises(UserError, match=r"has other shapes: fc1\.weight"):
        network_of(settings(here, "Net", "weights=w.pt", "model.width=4"))
    (tmp_path / "y.pt").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as a state_dict"):
        network_of(settings(here, "Net", "weights=y.pt"))


@pytest.mark.parametrize("probe", ["true", "false"])
def test_given_weights_have_scores_before_training(here, tmp_path, probe):
    typed = ["model.num_classes=4", "num_seeds=2", "train.epochs=1", "activation=tanh", f"probe={probe}"]
    splits = random_splits()
    torch.save(training_of(settings(here, "Net", *typed), splits).network.state_dicts()[0], tmp_path / "w.pt")
    network = import_module(here).Net(num_classes=4)
    network.load_state_dict(torch.load(tmp_path / "w.pt"))
    network.act1 = torch.nn.Tanh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "relu", torch.tanh)
        logits = network.eval()(splits.val_x)
    loss = torch.nn.functional.cross_entropy(logits, splits.val_y).item()
    first, last = fit(training_of(settings(here, "Net", "weights=w.pt", *typed), splits), control=Control())
    assert (first.number, last.number) == (0, 1)
    assert bool(first.layers) == (probe == "true")
    for record in first.records:
        assert record.val_loss == pytest.approx(loss, rel=1e-5)
        assert record.val_accuracy == pytest.approx(100 * (logits.argmax(1) == splits.val_y).double().mean().item())
    steps = {tag: step for seed, tag, step, _ in Tags().of(first) if seed == 0 and not tag.startswith("layer")}
    assert steps["accuracy/val"] == 0 and "loss/train" not in steps
    untrained, *_ = fit(training_of(settings(here, "Net", *typed), splits), control=Control())
    assert untrained.number == (0 if probe == "true" else 1)
    assert untrained.number == 1 or not untrained.records  # as it always was


@pytest.mark.parametrize(
    ("network", "typed", "what"),
    [
        ("Broken", [], "KeyError: 'no file'"),
        ("Flat", ["activation=own"], r"given float32 samples \(B, 1, 28, 28\)"),
        ("Pair", [], "returns a tuple of 2"),
        ("Net", ["model.num_classes=3"], "the data have 10 classes.*\n.*model.num_classes=10"),
        ("Straight", [], "no activation was found"),
        ("Away", ["activation=own"], "is built on meta"),
        ("Net", ["sites=block.*"], "matches no activation.*\n.*act1, relu"),
        (
            "Net",
            ["norm=batch", "dropout=0.5", "train.engine=compiled"],
            r"(?s)norm=batch.*dropout=0.5.*engine=compiled",
        ),
        ("house", ["activation=own"], "is for a network of your own"),
        ("house", ["sites=last"], "is for a network of your own"),
    ],
)
def test_what_cannot_be_is_said_in_one_message(here, network, typed, what):
    with pytest.raises(UserError, match=what):
        check(settings(here, network, "dataset=digits", *typed))


# ---------------------------------------------------------------- training


def test_a_seed_alone_is_the_seed_among_others(here):
    splits = in_double(random_splits())
    typed = ["model.num_classes=4", "model.drop=0.3", "activation=prelu", "train.epochs=2", "train.batch_size=10"]
    together = trained(settings(here, "Net", "num_seeds=3", *typed), splits)
    alone = trained(settings(here, "Net", "num_seeds=1", "seed=2", *typed), splits)
    assert "convolutions of a network of your own are no faster stacked" in together.network.execution
    for name, value in alone.network.state_dicts()[0].items():
        assert torch.equal(value, together.network.state_dicts()[2][name]), name


@pytest.mark.parametrize("network", ["Net", "Recomputed"])
def test_resumed_is_bit_equal_to_never_interrupted(here, network):
    """Dropout, running statistics, and the parameters and moments of the activations that were put in."""
    typed = ["model.num_classes=4", "model.drop=0.3", "activation=prelu", "train.epochs=3", "num_seeds=2"]
    asked, splits = settings(here, network, *typed), random_splits()
    check(replace(asked, dataset=settings(here, "Net", "dataset=digits").dataset, model=settings(here, network).model))
    straight, first, second = trained(asked, splits), training_of(asked, splits), training_of(asked, splits)
    for epoch in fit(first, control=Control()):
        if epoch.number == 1:
            break
    second.load_state(first.state())
    list(fit(second, control=Control(), done=1))
    for ours, theirs in zip(second.network.state_dicts(), straight.network.state_dicts(), strict=True):
        assert ours.keys() == theirs.keys() >= {"act1.weight", "relu.weight"}
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_no_remedy_puts_layers_into_a_network_of_ones_own(here):
    for network, taken in (("Net", ()), ("house", ("norm=batch", "dropout=0.3"))):
        asked = settings(here, network)
        assert remedies.batch_norm(asked) + remedies.dropout(asked) == taken


def test_a_run_leaves_its_sites_and_checkpoints_for_the_plain_network(here, tmp_path, actbench, monkeypatch):
    done = actbench(f"model={here}:Net", "activation=own", "quantise=int8", "probe_every=2", *TINY)
    assert done.returncode == 0, done.stderr
    assert "act1" in done.stdout and "relu" in done.stdout
    (folder,) = (tmp_path / "outputs" / "s").glob("own-*")
    with (folder / "sites.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [(row["name"], row["kind"], row["units"], row["exchanged"]) for row in rows] == [
        ("act1", "relu", "4", "no"), ("relu", "relu", "16", "no"),
    ]  # fmt: skip
    assert {layer.layer for layer in reader.last_layers(folder)} == {"act1", "relu"}
    monkeypatch.syspath_prepend(tmp_path)
    import_module(here).Net().load_state_dict(torch.load(folder / "checkpoints" / "seed=0.pt"))


def test_learned_parameters_are_trained_and_stored_for_each_site(here):
    training = trained(settings(here, "Net", "model.num_classes=4", "activation=prelu", "num_seeds=2"), random_splits())
    for state in training.network.state_dicts():
        assert {"act1.weight", "relu.weight"} <= state.keys()
        assert (state["act1.weight"] != 0.25).all() and (state["relu.weight"] != 0.25).all()
    network = training.network.plain_network(1)
    assert torch.equal(network.state_dict()["relu.weight"], training.network.state_dicts()[1]["relu.weight"])


def test_the_gradient_of_a_layer_is_that_of_what_lies_in_front_of_its_site(here):
    splits = random_splits()
    network = training_of(
        settings(here, "Net", "model.num_classes=4", "activation=prelu", "num_seeds=1"), splits
    ).network
    x, y = splits.val_x, splits.val_y
    _, layers = untrained_gradient_norms(network, x, y)
    plain = network.groups[0].network.eval()
    torch.nn.functional.cross_entropy(plain(x), y).backward()
    parts = {
        "act1": (plain.network.conv, plain.network.bn, plain.at["act1"]),
        "relu": (plain.network.fc1, plain.at["relu"]),
    }
    for number, (name, modules) in enumerate(parts.items()):
        gradients = [p.grad.flatten() for module in modules for p in module.parameters()]
        assert network.layers()[number] == name
        assert layers[number, 0].item() == pytest.approx(torch.cat(gradients).norm().item(), rel=1e-5)


def test_a_site_that_no_layer_reaches_alone_has_no_gradient_of_a_layer(here):
    """And so none that is 0, from which gradients would seem to explode."""
    splits = random_splits(64, side=8, classes=10)
    training = training_of(settings(here, "Gated", "num_seeds=2"), splits)
    epochs = [*fit(training, control=Control())]
    rows = [row for epoch in epochs for row in epoch.layers]
    names = list(dict.fromkeys(row.layer for row in rows))
    assert [{row.grad_norm > 0 for row in rows if row.layer == name} for name in names] == [{True}, {True}, {False}]
    assert all(row.grad_norm != row.grad_norm for row in rows if row.layer == names[-1])


def test_a_branch_of_a_large_batch_ends_the_run_with_a_message(here, actbench):
    done = actbench(f"model={here}:Large", "activation=gelu", *TINY)
    assert done.returncode != 0
    assert "was not met by the trial passes" in done.stderr and "Traceback" not in done.stderr


def test_sites_are_listed_without_training(here, tmp_path, capsys):
    assert listing.show(["sites", f"model={here}:Net", "dataset=digits", "activation=gelu", "sites=last"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1 of 2 activations exchanged:"
    assert [line.split()[:2] for line in lines[1:]] == [["act1", "relu,"], ["relu", "relu,"]]
    assert "not selected" in lines[1]
    assert not (tmp_path / "outputs").exists()
    for words, what in (
        ([], "of which network"), (["model=mlp", "dataset=digits"], "is built of what is chosen"),
        ([f"model={here}:Nett", "dataset=digits"], "did you mean"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=what):
            listing.show(["sites", *words])


# ---------------------------------------------------------------- what else a newcomer types


def test_sites_are_no_part_of_a_network_as_it_is(here):
    own, usual = settings(here, "Net", "activation=own", "sites=last"), settings(here, "Net", "activation=own")
    assert own.id == usual.id and own.sites == "all"


def test_a_parameter_that_is_called_as_one_of_ours_has_its_own_rule(here):
    assert settings(here, "Net", "model.width=0").model.params["width"] == 0  # of our MLP at least 1


@pytest.mark.parametrize(
    ("network", "what"),
    [
        ("Scripted", r"its part `fc1` is compiled by torch\.jit"),
        ("Compiled", r"its part `fc1` is compiled by torch\.compile"),
        ("Weighted", r"its part `fc1` has `weight`, which is computed"),
        ("Locked", "cannot be copied, as it is for each seed"),
        ("Halved", r"it is given float32 samples \(B, 1, 28, 28\)"),
    ],
)
def test_what_cannot_be_seen_or_copied_is_named(here, tmp_path, network, what):
    (tmp_path / f"more_{here}.py").write_text(f"""
import threading
import warnings

import torch
from {here} import Net

class Scripted(Net):
    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.fc1 = torch.jit.script(self.fc1)

class Compiled(Net):
    def __init__(self):
        super().__init__()
        self.fc1._compiled_call_impl = print  # as `compile()` does, in ten seconds

class Weighted(Net):
    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.nn.utils.weight_norm(self.fc1)

class Locked(Net):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

class Halved(Net):
    def __init__(self):
        super().__init__()
        self.half()
""")
    with pytest.raises(UserError, match=what):
        check(settings(f"more_{here}", network, "dataset=digits", "activation=own"))


def test_a_network_names_what_is_not_to_decay(here, tmp_path):
    (tmp_path / f"decay_{here}.py").write_text(f"""
import torch
from {here} import Net

class Tokens(Net):
    def __init__(self):
        super().__init__(num_classes=4)
        self.pos_embed, self.table = (torch.nn.Parameter(torch.zeros(1, 4, 4, 4)) for _ in range(2))

    def forward(self, x):
        return super().forward(x + (self.pos_embed + self.table).mean())

    def no_weight_decay(self):
        return {{"pos_embed", "dist_token"}}
""")
    training = training_of(settings(f"decay_{here}", "Tokens", "optimizer=adamw", "num_seeds=1"), random_splits())
    network = training.network.groups[0].network
    named = {id(p): name.removeprefix("network.") for name, p in network.named_parameters()}
    decayed, spared = ({named[id(p)] for p in group["params"]} for group in training.optimizers[0].param_groups)
    assert {"table", "fc1.weight", "conv.weight"} <= decayed
    assert {"pos_embed", "fc1.bias", "bn.weight"} <= spared


@pytest.mark.parametrize("activation", ["own", "relu"])
def test_dead_units_are_counted_at_each_kind_of_site(here, tmp_path, activation):
    """Wired by hand: 1 of 4 channels, 2 of 8 features of tokens, 3 of 16 features never get above 0."""
    (tmp_path / f"dead_{here}.py").write_text("""
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.tokens, self.fc, self.out = (
            nn.Conv2d(1, 4, 3, 2), nn.Linear(3, 8), nn.Linear(8, 16), nn.Linear(16, 4))
        with torch.no_grad():
            for layer, dead in ((self.conv, 1), (self.tokens, 2), (self.fc, 3)):
                layer.bias[:dead] = -1e4
                layer.bias[dead:] = 1.0

    def forward(self, x):
        x = F.relu(self.conv(x), inplace=True).mean(1)  # (B, 3, 3)
        x = torch.relu(self.tokens(x)).mean(1)
        return self.out(self.fc(x).relu_())
""")
    asked = settings(f"dead_{here}", "Net", f"activation={activation}", "num_seeds=2", "train.epochs=1")
    training = training_of(asked, random_splits())
    first = next(iter(fit(training, control=Control())))
    dead = {(row.layer, row.seed): (row.units, row.dead) for row in first.layers}
    expected = {"relu1": (4, 1 / 4), "relu2": (8, 2 / 8), "relu3": (16, 3 / 16)}
    assert dead == {(layer, seed): known for layer, known in expected.items() for seed in (0, 1)}


def test_a_module_that_is_nearly_named_is_suggested(here):
    assert own_models.problem_of(f"{here}.py:Net").how.startswith(f"model={here}:Net")
    assert suggestions.unknown_choice("model", f"{here}.Net", "").how == f"did you mean model={here}:Net?"
