"""Where the first number that is not finite came from: planted in each place of a step, and told as that."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import pytest
import torch
from helpers import random_splits, settings_of
from torch import nn

from actbench.diagnosis import RunHistory, diagnose
from actbench.records import Epoch, Origin
from actbench.train import Control, build, fit, networks
from actbench.train.origin import origins

SMALL = ("num_seeds=2", "model.depth=2", "model.width=8", "train.batch_size=20", "train.epochs=2", "init.gain=1")


class Elu(nn.Module):
    """Right forward; backward it is 0 · inf where z is large."""

    def forward(self, z):
        z = 40 * z
        return torch.where(z > 0, z, torch.exp(z) - 1) / 40


class Log(nn.Module):
    def forward(self, z):
        return torch.log(z)


def parts_of(monkeypatch, splits, *overrides, activation=None, **changes):
    with monkeypatch.context() as patch:  # what the caller has patched stays
        patch.setattr(build, "load_splits", lambda settings: splits)
        if activation is not None:
            patch.setattr(networks, "activation_factory", lambda *_: lambda units: activation())
        parts = build.build(settings_of(*SMALL, *overrides))
    return replace(parts, **changes)


def first_of(monkeypatch, splits, *overrides, **changes):
    """The epoch in which a run diverges, and its origins."""
    diverged = next(
        epoch for epoch in fit(parts_of(monkeypatch, splits, *overrides, **changes), control=Control())
        if epoch.diverged
    )  # fmt: skip
    assert diverged.number == 1
    return origins(parts_of(monkeypatch, splits, *overrides, **changes), 1, diverged.diverged)


def spoilt(splits, name):
    x = getattr(splits, name).clone()
    x[3, 0, 2, 2] = math.inf
    return replace(splits, **{name: x})


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_a_branch_that_is_not_taken(monkeypatch, execution):
    found = first_of(monkeypatch, random_splits(), f"train.execution={execution}", activation=Elu)
    assert [origin.seed for origin in found] == [0, 1]
    assert {origin.kind for origin in found} == {"activation gradient"}
    assert all(origin.where.endswith(".activation") and 88 / 40 < origin.size < 100 for origin in found)
    (finding,) = [f for f in told(found) if f.symptom == "seeds diverged"]
    assert "branch that is not taken" in finding.cause and "weights grew" not in finding.cause
    assert "gradient of the activation of hidden" in finding.evidence


@pytest.mark.parametrize(
    ("kind", "where", "overrides", "changes"),
    [
        ("activation", "hidden1.activation", (), {"activation": Log}),
        ("update", "", ("optimizer=sgd", "optimizer.lr=1e39", "activation=tanh"), {}),
        ("layer", "", ("optimizer=sgd", "optimizer.lr=1e25"), {}),
        ("clip", "", (), {"clip": lambda gradients: [g.div_(0) for g in gradients]}),
        ("augmentation", "", (), {"augment": lambda x, **_: x / 0}),
    ],
)
def test_each_place_of_a_step(monkeypatch, kind, where, overrides, changes):
    found = first_of(monkeypatch, random_splits(), *overrides, **changes)
    assert {origin.kind for origin in found} == {kind}
    assert {origin.where for origin in found} == {where} or not where
    (finding,) = [f for f in told(found) if f.symptom == "seeds diverged"]
    assert ("weights grew" in finding.cause) is (kind in ("update", "layer"))


@pytest.mark.parametrize("split", ["train_x", "val_x"])
def test_images_that_are_not_finite(monkeypatch, split):
    found = first_of(monkeypatch, spoilt(random_splits(), split))
    assert {origin.kind for origin in found} == {"images"}
    (finding,) = [f for f in told(found) if f.symptom == "seeds diverged"]
    assert "look at the data" in finding.cause and finding.remedies == ()


def test_the_sound_seed_beside_has_none(monkeypatch):
    def spoil(parts):
        with torch.no_grad():
            parts.network.groups[0].network.hidden2.linear.weight[1, 0, 0] = math.inf
        return parts

    diverged = list(fit(spoil(parts_of(monkeypatch, random_splits())), control=Control()))[1]
    assert diverged.diverged == (1,)
    (origin,) = origins(spoil(parts_of(monkeypatch, random_splits())), 1, (1,))
    assert origin[:5] == (1, 1, 1, "layer", "hidden2.linear")


def test_a_later_epoch_is_repeated_from_the_state_before_it(monkeypatch):
    splits = random_splits()
    overrides = (
        "optimizer=sgd", "optimizer.lr=1e-3", "scheduler=step", "scheduler.step_size=1", "scheduler.gamma=1e20",
        "dropout=0.2",
    )  # fmt: skip
    parts = parts_of(monkeypatch, splits, *overrides)
    for epoch in fit(parts, control=Control()):
        if epoch.diverged:
            break
        state = copy.deepcopy(parts.state())
    assert epoch.number == 2
    again = parts_of(monkeypatch, splits, *overrides)
    again.load_state(state)
    found = origins(again, 2, epoch.diverged)
    assert {origin.seed for origin in found} == {*epoch.diverged}
    assert {origin.kind for origin in found} <= {"layer", "layer gradient", "update", "activation", "loss"}


def told(found):
    settings = settings_of(*SMALL)
    seeds = tuple(origin.seed for origin in found)
    epoch = Epoch(number=1, diverged=seeds, origins=tuple(tuple(origin) for origin in found))
    return diagnose(RunHistory(settings=settings, epochs=[Epoch(number=0), epoch], device="cpu"))


def test_where_nothing_is_known_it_is_as_it_was():
    epochs = [Epoch(number=1, diverged=(0,))]
    (finding,) = diagnose(RunHistory(settings=settings_of(*SMALL), epochs=epochs, device="cpu"))
    assert "weights grew" in finding.cause and finding.evidence.endswith("seed 0 in epoch 1")
    assert any(remedy.startswith("optimizer.lr=") for remedy in finding.remedies)


@pytest.mark.parametrize(("size", "grew"), [(90.0, False), (1e5, False), (1e7, True)])
def test_a_formula_is_not_blamed_for_numbers_that_are_beyond_all_use(size, grew):
    (finding,) = told([Origin(0, 1, 3, "activation", "hidden1.activation", size)])
    assert ("weights grew" in finding.cause) is grew


def test_a_run_says_it_and_keeps_it(actbench, tmp_path, tiny):
    (tmp_path / "conf/activation").mkdir(parents=True)
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Elu(nn.Module):\n    def forward(self, z):\n"
        "        return torch.where(z > 0, z, torch.exp(z) - 1)\n"
    )
    (tmp_path / "conf/activation/mine.yaml").write_text("# ELU\n_target_: mine.Elu\n_partial_: true\n")
    done = actbench("activation=mine", *tiny, "trust=mine", "study=a", "model.depth=3", "optimizer.lr=0.1")
    assert done.returncode == 1, done.stderr
    (finding,) = json.loads(next((tmp_path / "outputs/a").glob("*/summary.json")).read_text())["findings"]
    assert "the gradient of the activation of hidden" in finding["evidence"]
    assert "branch that is not taken" in finding["cause"] and "branch that is not" in " ".join(done.stdout.split())
