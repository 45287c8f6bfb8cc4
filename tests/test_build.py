"""What is built once is handed on; and what one seed's code changes does not reach another seed."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import pytest
import torch
from helpers import build_training, random_splits, settings_of
from torch import nn

from actbench.datasets import Splits
from actbench.datasets.streaming import Streamed
from actbench.models import Components
from actbench.settings import Choice
from actbench.train import Control, build, checks, fit, networks
from actbench.train.construct import with_fresh_parameters

TINY = ("dataset=digits", "num_seeds=3", "model.width=8", "train.epochs=1", "activation=prelu", "norm=batch")


@pytest.fixture
def built(monkeypatch):
    """The seeds of all networks that are built from now on, in their order."""
    seeds, initialise = [], networks.initialise

    def count(network, *, generator, **arguments):
        seeds.append(generator.initial_seed())
        return initialise(network, generator=generator, **arguments)

    monkeypatch.setattr(networks, "initialise", count)
    return seeds


def test_a_run_builds_one_network_to_check_and_one_for_each_seed(built):
    """What is measured after training (INT8, learned curves) uses plain networks and `components` instead."""
    settings = settings_of(*TINY)
    checks.check(settings)
    assert len(built) == 1
    training = build.build(settings)
    assert len(built) == 1 + 3
    assert len(set(built[1:])) == 3
    list(fit(training, control=Control()))
    plain = [training.network.plain_network(k) for k in range(3)]
    assert len(built) == 1 + 3
    assert len({id(parameter) for network in plain for parameter in network.parameters()}) == 3 * len(
        list(plain[0].parameters())
    )


def test_an_activation_is_examined_by_itself_once_in_a_process_and_again_once_its_source_has_changed(
    monkeypatch, tmp_path
):
    examined, examine = [], checks.examine
    monkeypatch.setattr(checks, "examine", lambda module, z: examined.append(z.shape) or examine(module, z))
    monkeypatch.setattr(checks, "_sound", set())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_once.py").write_text("import torch\n\nclass Own(torch.nn.Tanh):\n    pass\n")
    ours = settings_of(*TINY)
    own = replace(ours, activation=Choice("own", "own_once.Own", content="1"), trust=("own_once",))
    by_itself = (16, 8)  # in its place in the network it is examined in each job

    def times(settings):
        examined.clear()
        checks.check(settings)
        assert any(shape != by_itself for shape in examined)
        return examined.count(by_itself)

    assert (times(ours), times(replace(ours, seed=7))) == (1, 0)
    assert (times(own), times(replace(own, seed=7))) == (1, 0)
    assert times(replace(own, activation=replace(own.activation, content="2"))) == 1
    unknown = replace(own, activation=replace(own.activation, content=None))
    assert (times(unknown), times(unknown)) == (1, 1)


def test_the_components_are_those_of_the_networks():
    training = build.build(settings_of(*TINY, "dropout=0.2"))
    components = training.components
    assert isinstance(components, Components)
    assert (type(components.activation(8)), components.upper_activation, components.dropout) == (nn.PReLU, None, 0.2)
    assert components.activation(8) is not components.activation(8)
    assert isinstance(components.norm(8, spatial=False), nn.BatchNorm1d)


def test_what_a_constructor_does_to_its_parameters_is_not_seen_by_the_next_call():
    def layer(units, *, widths, scale=1):
        widths.append(units)
        return widths, scale

    make = with_fresh_parameters(partial(layer, widths=[1]))
    assert make(2) == ([1, 2], 1)
    assert make(3, scale=5) == ([1, 3], 5)


def test_building_on_given_splits_leaves_the_patches_of_a_test_alone(monkeypatch):
    monkeypatch.setenv("ACTBENCH_PATCHED", "yes")
    before = build.load_splits, build.build_network
    build_training(monkeypatch, random_splits(), "model.width=4", "num_seeds=1")
    assert os.environ["ACTBENCH_PATCHED"] == "yes"
    assert (build.load_splits, build.build_network) == before


def test_a_run_may_go_on_with_another_number_of_groups():
    """The state of a stack is the same however it is split, in the names, shapes and bits that a resume file has."""
    whole, halves = [], []
    for threads, states in ((1, whole), (2, halves)):
        torch.set_num_threads(threads)
        training = build_training(None, random_splits(), "num_seeds=4", "model.width=512", "model.depth=2", "seed=1")
        assert len(training.network.groups) == threads
        states.append(training.state())
        states.append(training.network.state_dicts())
    torch.set_num_threads(1)
    (ours, our_networks), (theirs, their_networks) = whole, halves
    assert [*ours["network"][0]] == [*theirs["network"][0]]
    for a, b in zip(ours["network"][0].values(), theirs["network"][0].values(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(our_networks, their_networks, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_data_that_do_not_fit_onto_the_device_are_streamed_onto_it(monkeypatch):
    splits, to = random_splits(), Splits.to

    def full(self, _device):
        if isinstance(self.train_x, torch.Tensor):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 100.00 GiB")
        return to(self, torch.device("cpu"))

    monkeypatch.setattr(Splits, "to", full)
    for free, why in (
        (10**12, "cuda:0 has no memory for them"),
        (10**4, "0.0 MB are needed on cuda:0, more than 70% of the 0.0 MB"),
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device, free=free: (free, free))
        placed = build.on_device(splits, torch.device("cuda:0"))
        assert isinstance(placed.train_x, Streamed) and why in placed.train_x.stored.why
        assert torch.equal(placed.test_x[:], splits.test_x)
