"""Ways of execution change nothing but the time: the optimizer's short cut, recorded graphs, compiled networks."""

from __future__ import annotations

import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from helpers import build_training, random_splits
from torch import nn

from actbench.errors import UserError
from actbench.train import Control, fit
from actbench.train.engines import Compiled, Eager, Graph, choose_engine
from actbench.train.updates import update_of

OPTIMIZERS = {
    "adam": (torch.optim.Adam, {"fused": True}),
    "adam amsgrad": (torch.optim.Adam, {"fused": True, "amsgrad": True, "weight_decay": 0.1}),
    "adam, decoupled": (torch.optim.Adam, {"fused": True, "weight_decay": 0.5, "decoupled_weight_decay": True}),
    "adamw": (torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
    "adam, not fused": (torch.optim.Adam, {}),
    "sgd": (torch.optim.SGD, {"fused": True, "lr": 0.1}),
    "momentum": (torch.optim.SGD, {"fused": True, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": (torch.optim.SGD, {"fused": True, "lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "nadam": (torch.optim.NAdam, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {"fused": True}),
}


def network_and_optimizer(name):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    kind, parameters = OPTIMIZERS[name]
    return network, kind(network.parameters(), **parameters)


def give_gradients(network, seed, without=()):
    g = torch.Generator().manual_seed(seed)
    for number, parameter in enumerate(network.parameters()):
        gradient = torch.randn(parameter.shape, generator=g)
        parameter.grad = None if number in without else gradient


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_is_the_optimizers_step_bit_for_bit(name):
    ours, our_optimizer = network_and_optimizer(name)
    theirs, their_optimizer = network_and_optimizer(name)
    update = update_of(our_optimizer)
    for step in range(8):
        if step == 4:  # as after a resumed run
            our_optimizer.load_state_dict(our_optimizer.state_dict())
            update = update_of(our_optimizer)
        without = (1,) if step == 2 else ()  # a parameter that took no part in the loss
        give_gradients(ours, step, without)
        give_gradients(theirs, step, without)
        our_optimizer.param_groups[0]["lr"] = their_optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
        update()
        their_optimizer.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b), step
    torch.testing.assert_close(
        our_optimizer.state_dict()["state"], their_optimizer.state_dict()["state"], rtol=0, atol=0
    )


def test_hooks_and_optimizers_of_ones_own_are_stepped_as_they_ask_for():
    network, optimizer = network_and_optimizer("adam")
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    give_gradients(network, 0)
    update_of(optimizer)()
    assert called == [1]

    class Own(torch.optim.SGD):
        def step(self):
            called.append(2)

    update_of(Own(network.parameters(), lr=0.1, fused=True))()
    assert called == [1, 2]


def test_a_scheduler_finds_nothing_to_warn_of():
    network, optimizer = network_and_optimizer("adam")
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    give_gradients(network, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        update_of(optimizer)()
        scheduler.step()


def test_a_run_does_not_import_torchs_compiler(tmp_path):
    """Nor SymPy. They take more than a second, and no part of an ordinary run has a use for them."""
    code = (
        "import sys; from actbench.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('imported:', [name for name in sys.modules if name in ('torch._dynamo', 'sympy')])"
    )
    arguments = [
        "dataset=digits",
        "train.epochs=1",
        "num_seeds=1",
        "model.width=8",
        "scheduler=onecycle",
        f"output_dir={tmp_path}",
    ]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert "imported: []" in done.stdout, done.stdout + done.stderr


# ---------------------------------------------------------------- recorded graphs, with a recorder for the CPU


class Recorder:
    """Replays by calling again, with the learning rates that were in the optimizer when it was recorded."""

    def __init__(self, optimizers):
        self.optimizers, self.warmed, self.recorded, self.replayed = optimizers, 0, 0, 0

    @property
    def groups(self):
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def warm(self, function):
        assert all(isinstance(group["lr"], torch.Tensor) for group in self.groups)
        self.warmed += 1
        return function()

    def record(self, function, _generators):
        rates = [group["lr"] for group in self.groups]
        assert all(isinstance(rate, torch.Tensor) for rate in rates)
        self.recorded += 1

        def replay():
            self.replayed += 1
            numbers = [group["lr"] for group in self.groups]
            for group, rate in zip(self.groups, rates, strict=True):
                group["lr"] = rate
            outcome = function()
            for group, number in zip(self.groups, numbers, strict=True):
                group["lr"] = number
            return outcome

        return replay


class Refuses(Recorder):
    def record(self, _function, _generators):
        try:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")  # as CUDA has it


OVERRIDES = [
    "num_seeds=2", "model.width=8", "train.batch_size=8", "train.epochs=3", "dropout=0.2", "augment=shift_rotate",
    "norm=batch", "clip=norm", "activation=prelu",
]  # fmt: skip


EXACT = "optimizer.lr=0.0009765625"  # a rate that a float32 holds exactly: on the device it is one


def train(monkeypatch, make_engine, *overrides):
    training = build_training(monkeypatch, random_splits(), *OVERRIDES, *overrides)
    training.engine = make_engine(training)
    epochs = list(fit(training, control=Control()))
    return training, epochs


def graph_with(kind):
    def make(training):
        return Graph(training.optimizers, [], recorder=kind(training.optimizers))

    return make


def without_times(epochs):
    return [
        (tuple(replace(record, seconds=0.0, waiting=0.0) for record in epoch.records), epoch.layers) for epoch in epochs
    ]


def assert_same_networks(ours, theirs, atol=0.0):
    for a, b in zip(ours.network.state_dicts(), theirs.network.state_dicts(), strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=atol)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nesterov", "sgd"])
@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_recorded_steps_train_as_eager_ones_do(monkeypatch, optimizer, execution):
    overrides = [f"train.execution={execution}", f"optimizer={optimizer}", EXACT]
    graph, ours = train(monkeypatch, graph_with(Recorder), *overrides)
    eager, theirs = train(monkeypatch, lambda _: Eager(), *overrides)
    assert_same_networks(graph, eager)
    assert without_times(ours) == without_times(theirs)
    recorder = graph.engine.recorder
    assert recorder.recorded >= 2  # with and without a look
    assert recorder.warmed + recorder.replayed == 3 * 13  # 100 samples in batches of 8, the last one of 4
    assert recorder.replayed > recorder.warmed
    assert graph.engine.name == "CUDA graph"


def test_a_recorded_step_follows_the_schedule(monkeypatch):
    overrides = ["scheduler=onecycle", "train.epochs=6"]
    graph, ours = train(monkeypatch, graph_with(Recorder), *overrides)
    eager, theirs = train(monkeypatch, lambda _: Eager(), *overrides)
    assert [r.lr for e in ours for r in e.records] == [r.lr for e in theirs for r in e.records]
    assert_same_networks(graph, eager, atol=1e-6)  # on the device the rate is a float32


def test_resumed_recorded_training_is_bit_equal_to_never_interrupted(monkeypatch):
    """A resumed process warms up again: its steps have to be those that would have been replayed."""
    straight, _ = train(monkeypatch, graph_with(Recorder))
    first = build_training(monkeypatch, random_splits(), *OVERRIDES)
    first.engine = graph_with(Recorder)(first)
    for epoch in fit(first, control=Control()):
        if epoch.number == 1:
            break
    second = build_training(monkeypatch, random_splits(), *OVERRIDES)
    second.engine = graph_with(Recorder)(second)
    second.load_state(first.state())
    list(fit(second, control=Control(), done=1))
    assert second.engine.recorder.replayed > 0
    assert_same_networks(second, straight)


def test_what_cannot_be_recorded_runs_eagerly_and_says_why(monkeypatch):
    graph, ours = train(monkeypatch, graph_with(Refuses), EXACT)
    eager, theirs = train(monkeypatch, lambda _: Eager(), EXACT)
    assert_same_networks(graph, eager)
    assert without_times(ours) == without_times(theirs)
    assert graph.execution == "stacked, eager (no CUDA graph: RuntimeError: operation not permitted)"


def test_settings_that_change_from_step_to_step_are_not_replayed_as_they_were(monkeypatch):
    overrides = ["scheduler=onecycle", "scheduler.cycle_momentum=true", "train.epochs=6"]
    graph, _ = train(monkeypatch, graph_with(Recorder), *overrides)
    eager, _ = train(monkeypatch, lambda _: Eager(), *overrides)
    assert_same_networks(graph, eager, atol=1e-6)
    assert "settings change" in graph.engine.name


CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_engine_that_is_chosen():
    _, adam = network_and_optimizer("adam")
    _, nadam = network_and_optimizer("nadam")
    assert choose_engine("auto", CPU, [adam], [], False).name == "eager"
    assert isinstance(choose_engine("auto", CUDA, [adam], [], False), Graph)
    assert isinstance(choose_engine("compiled", CPU, [adam], [], False), Compiled)
    assert choose_engine("eager", CUDA, [adam], [], False).name == "eager"
    assert "NAdam is not fused" in choose_engine("auto", CUDA, [nadam], [], False).name
    assert "global random number generator" in choose_engine("auto", CUDA, [adam], [], True).name
    with pytest.raises(UserError) as refused:
        choose_engine("graph", CPU, [adam], [], False)
    assert str(refused.value).startswith("train.engine=graph: is not possible: CUDA graphs need a CUDA device")


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of torch's, about what torch does
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_is_eager_training_up_to_rounding(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "vec_isa_ok", True)  # what the processor says it has need not be tried by compiling
    overrides = ["train.epochs=2"]
    compiled, ours = train(monkeypatch, lambda _: Compiled(), *overrides)
    eager, theirs = train(monkeypatch, lambda _: Eager(), *overrides)
    assert_same_networks(compiled, eager, atol=1e-4)
    assert ours[-1].records[0].val_loss == pytest.approx(theirs[-1].records[0].val_loss, rel=1e-3)
    assert "compiled" in compiled.execution
