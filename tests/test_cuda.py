"""What has to hold on a GPU. `pytest -m cuda` on a machine with one runs these; each body also runs on the CPU, if it can.

On a GPU a stack has other kernels than on a CPU (a grouped convolution, for one), steps are recorded as a CUDA graph, and
random numbers come from generators on the device.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from functools import cache

import pytest
import torch
from helpers import in_double, random_splits, settings_of, training_of
from test_engines import Recorder, graph_with
from test_stacking import MODELS, NORMS, assert_same_states, combined

from actbench.custom.isolation import isolated
from actbench.train import Control, fit

CUDA = pytest.param(
    "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
)
DEVICES = ["cpu", CUDA]
STEPS_20 = (
    "train.batch_size=10",
    "train.epochs=2",
    "train.eval_batch_size=40",
    "probe=false",
    "train.execution=stacked",
)
EXACT = ("optimizer.lr=0.0009765625",)  # a float32 holds it exactly, so that a rate on the device is the same number
RANDOM = ("dropout=0.2",), ("augment=shift_rotate",)
SEEDS = 3


def on_cuda(models):
    """A case on the GPU for each of them; on the CPU `test_stacking` has them all."""
    return [pytest.param(model, *CUDA.values, marks=CUDA.marks) for model in models]


@pytest.fixture(autouse=True)
def _isolated():
    """Flags such as `allow_tf32` do not reach the next test."""
    with isolated():
        yield


@cache
def settings(device, *bundles, seed=0, num_seeds=SEEDS):
    """Of a run on the device, composed in bundles (see `combined`). The last bundle has all keys of `train`."""
    return replace(combined(*bundles, (f"train.device={device}", *STEPS_20)), seed=seed, num_seeds=num_seeds)


def train(asked, splits, engine=None):
    """The training of these settings after its last step, and its epochs; `engine` makes another engine."""
    training = training_of(asked, splits)
    assert training.device.type == asked.train.device
    if engine is not None:
        training.engine = engine(training)
    return training, list(fit(training, control=Control()))


def of_train(asked, **changed):
    return replace(asked, train=replace(asked.train, **changed))


def recorded(device):
    """What records steps on the device: a CUDA graph, or on a CPU what calls them again."""
    return graph_with(Recorder) if device == "cpu" else None


@pytest.mark.parametrize(("model", "device"), [*on_cuda(MODELS), ("mlp", "cpu"), ("cnn", "cpu")])
def test_a_seed_in_a_stack_trains_as_alone(device, model):
    """Contract 1, in float64, with random numbers drawn on the device."""
    splits = in_double(random_splits())
    bundles = (MODELS[model], ("norm=batch",), ("activation=prelu",), ("clip=norm", "clip.max_norm=0.3"), *RANDOM)
    together, _ = train(settings(device, *bundles, seed=3), splits)
    for k, state in enumerate(together.network.state_dicts()):
        alone, _ = train(settings(device, *bundles, seed=3 + k, num_seeds=1), splits)
        assert_same_states(state, alone.network.state_dicts()[0], atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", ["mlp", "cnn", "vit"])
@pytest.mark.parametrize("norm", NORMS)
def test_a_stack_trains_as_networks_one_after_the_other(device, model, norm):
    splits = in_double(random_splits())
    asked = settings(device, MODELS[model], (f"norm={norm}",), ("activation=swish",), *RANDOM)
    stacked, _ = train(asked, splits)
    apart, _ = train(of_train(asked, execution="seed_by_seed"), splits)
    assert (stacked.network.stacked, apart.network.stacked) == (True, False)
    for ours, theirs in zip(stacked.network.state_dicts(), apart.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_seed_that_diverges_leaves_the_others_bit_equal(device, model):
    asked = settings(device, MODELS[model], ("norm=batch",), ("clip=norm",))

    def states(poisoned):
        training = training_of(asked, random_splits())
        with torch.no_grad():
            next(training.network.parameters())[1].fill_(float("nan") if poisoned else 0.5)
        list(fit(training, control=Control()))
        return training.network.state_dicts()

    poisoned, healthy = states(True), states(False)
    for k in (0, 2):
        assert_same_states(poisoned[k], healthy[k], atol=0)


# A recorded step runs the kernels of an eager one. But cuBLAS may have less workspace on the stream that records, and add
# up a product in another order for it: equal to the last digits of a float64 on a GPU, and to the last bit on a CPU.
BOUND = {"cpu": 0.0, "cuda": 1e-9}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
@pytest.mark.parametrize(("model", "optimizer"), [("mlp", "adam"), ("cnn", "adamw"), ("vit", "nesterov")])
def test_recorded_steps_train_as_eager_ones(device, execution, model, optimizer):
    splits = in_double(random_splits())
    asked = settings(device, MODELS[model], (f"optimizer={optimizer}", *EXACT), ("clip=norm",), *RANDOM)
    asked = of_train(asked, execution=execution)
    graph, ours = train(asked, splits, recorded(device))
    eager, theirs = train(of_train(asked, engine="eager"), splits)
    assert (graph.engine.name, eager.engine.name) == ("CUDA graph", "eager")
    for a, b in zip(graph.network.state_dicts(), eager.network.state_dicts(), strict=True):
        assert_same_states(a, b, atol=BOUND[device])
    for a, b in zip(ours, theirs, strict=True):
        assert [r.val_loss for r in a.records] == pytest.approx([r.val_loss for r in b.records], rel=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_a_recorded_step_follows_the_schedule(device):
    splits = in_double(random_splits())
    asked = settings(device, MODELS["mlp"], ("scheduler=onecycle",))
    graph, ours = train(asked, splits, recorded(device))
    eager, theirs = train(of_train(asked, engine="eager"), splits)
    assert graph.engine.name == "CUDA graph"
    assert [r.lr for e in ours for r in e.records] == [r.lr for e in theirs for r in e.records]
    for a, b in zip(graph.network.state_dicts(), eager.network.state_dicts(), strict=True):
        assert_same_states(a, b, atol=1e-6)  # a rate on the device is a float32


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("engine", ["eager", "graph"])
def test_resumed_is_bit_equal_to_never_interrupted(device, engine):
    """A resumed process warms up again, with eager steps where others would be replayed."""
    on_gpu = device == "cuda"
    asked = settings(device, MODELS["cnn"], ("norm=batch",), *RANDOM)
    asked = of_train(asked, epochs=3, engine=engine if on_gpu else "eager")

    def training():
        made = training_of(asked, random_splits())
        if engine == "graph" and not on_gpu:
            made.engine = recorded(device)(made)
        return made

    straight, first, second = training(), training(), training()
    list(fit(straight, control=Control()))
    for epoch in fit(first, control=Control()):
        if epoch.number == 1:
            break
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second.load_state(torch.load(file, weights_only=True, map_location="cpu"))
    list(fit(second, control=Control(), done=1))
    for ours, theirs in zip(second.network.state_dicts(), straight.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_the_same_settings_give_the_same_bits(device):
    asked = settings(device, MODELS["cnn"], ("norm=batch",), *RANDOM)
    first, second = (train(asked, random_splits())[0] for _ in range(2))
    for ours, theirs in zip(first.network.state_dicts(), second.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_measuring_changes_no_bit(device):
    asked = settings(device, MODELS["cnn"], ("norm=batch",), ("clip=norm",), *RANDOM)
    unseen, _ = train(asked, random_splits())
    seen, _ = train(replace(asked, probe=True), random_splits())
    for ours, theirs in zip(seen.network.state_dicts(), unseen.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=0)


def numbers(record):
    return {name: value for name, value in asdict(record).items() if isinstance(value, (int, float))}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("activation", ["relu", "prelu", "topk"])
@pytest.mark.parametrize("model", ["mlp", "cnn", "vit"])
def test_measurements_of_an_untrained_network_agree_with_those_on_the_cpu(device, model, activation):
    """In float64, to rounding. On the CPU itself, those of a stack agree with those of single networks."""
    splits = in_double(random_splits())
    asked = replace(settings(device, MODELS[model], (f"activation={activation}",)), probe=True)
    there = next(fit(training_of(asked, splits), control=Control()))
    reference = of_train(asked, device="cpu", execution="seed_by_seed")
    here = next(fit(training_of(reference, splits), control=Control()))
    assert there.layers
    for ours, theirs in zip(there.layers, here.layers, strict=True):
        assert (ours.seed, ours.layer, ours.units) == (theirs.seed, theirs.layer, theirs.units)
        assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_the_memory_format_of_convolutions_changes_nothing_but_the_time(device, execution):
    splits = in_double(random_splits())
    asked = of_train(settings(device, MODELS["cnn"], ("norm=batch",), *RANDOM), execution=execution)
    usual, _ = train(of_train(asked, memory_format="contiguous"), splits)
    last, _ = train(of_train(asked, memory_format="channels_last"), splits)
    assert "channels_last" in last.execution and "channels_last" not in usual.execution
    for ours, theirs in zip(last.network.state_dicts(), usual.network.state_dicts(), strict=True):
        assert_same_states(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_a_lower_precision_trains_to_nearly_the_same_loss(device, model, precision):
    if (device, precision) == ("cpu", "tf32"):
        pytest.skip("only CUDA devices have it, and a CPU refuses it")
    asked = settings(device, MODELS[model])
    lower, ours = train(of_train(asked, precision=precision), random_splits())
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is (precision == "tf32")
    full, theirs = train(asked, random_splits())
    assert not torch.backends.cuda.matmul.allow_tf32
    assert [r.val_loss for r in ours[-1].records] == pytest.approx([r.val_loss for r in theirs[-1].records], rel=0.02)
    for state in lower.network.state_dicts():  # the weights themselves are not rounded
        assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {torch.float32}
    assert full.network.state_dicts()[0].keys() == lower.network.state_dicts()[0].keys()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_everything_is_on_the_device_but_the_order_of_samples_and_what_is_handed_out(device, execution):
    asked = of_train(settings(device, MODELS["cnn"], ("norm=batch",), *RANDOM), execution=execution)
    training, _ = train(asked, random_splits())
    tensors = [*training.network.parameters(), *training.network.buffers()]
    tensors += [value for value in vars(training.splits).values() if isinstance(value, torch.Tensor)]
    assert {tensor.device.type for tensor in tensors} == {device}
    assert {g.device.type for g in (*training.dropout, *training.augmentation)} == {device}
    assert {g.device.type for g in training.order} == {"cpu"}
    handed_out = [tensor for state in training.network.state_dicts() for tensor in state.values()]
    handed_out += [tensor for k in range(SEEDS) for tensor in training.network.plain_network(k).state_dict().values()]
    assert {tensor.device.type for tensor in handed_out} == {"cpu"}


@pytest.mark.parametrize("device", DEVICES)
def test_the_command_trains_on_the_device_and_leaves_checkpoints_for_any_machine(actbench, tiny, tmp_path, device):
    done = actbench(*tiny, f"train.device={device}", "activation=prelu", "quantise=int8", "study=s")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "outputs" / "s").rglob("summary.json")
    summary = json.loads(file.read_text())
    assert summary["device"].startswith(device)
    assert ("CUDA graph" in summary["execution"]) is (device == "cuda")
    checkpoints = sorted(file.parent.glob("checkpoints/*.pt"))
    assert len(checkpoints) == 2
    for checkpoint in checkpoints:
        state = torch.load(checkpoint, weights_only=True)  # to where each tensor was
        assert {tensor.device.type for tensor in state.values()} == {"cpu"}


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_chosen_by_itself():
    training = training_of(of_train(settings("cuda", MODELS["mlp"]), device="auto"), random_splits())
    assert training.device.type == "cuda"
    assert training.engine.name == "CUDA graph"


def test_the_settings_of_these_tests_are_those_of_one_command_line():
    ours = settings("cpu", MODELS["cnn"], ("norm=batch",), *RANDOM)
    line = [*MODELS["cnn"], "norm=batch", "dropout=0.2", "augment=shift_rotate", "train.device=cpu", *STEPS_20]
    assert ours == settings_of(*line, f"num_seeds={SEEDS}")
