"""The loop: looking changes nothing, the same twice is the same, interrupted and resumed is as never interrupted."""

from __future__ import annotations

import io
from dataclasses import asdict, replace

import pytest
import torch
from helpers import build_training, random_splits

from actbench.train import Control, evaluate, fit

RICH = [
    "num_seeds=2", "model=cnn", "model.channels=[3,4]", "model.dense=6", "norm=batch", "activation=swish",
    "upper_activation=prelu", "dropout=0.2", "augment=shift_rotate", "clip=norm", "scheduler=onecycle", "optimizer=nadam",
    "train.batch_size=16", "train.epochs=4", "train.eval_batch_size=15",
]  # fmt: skip
PLAIN = ["num_seeds=2", "model.width=8", "train.batch_size=16", "train.epochs=4", "scheduler=step"]
OFTEN = [*PLAIN, "model.depth=3", "optimizer.lr=0.3", "probe_every=2"]  # so that units die, between the epochs too


def no_times(epoch):
    """All that an epoch gave, but how long it took; None for what was not measured (NaN is not equal to itself)."""
    heads = {name: getattr(epoch, name) for name in ("number", "diverged", "origins")}
    tables = {kind.__name__: [asdict(row) for row in epoch.of(kind)] for kind in epoch.tables()}
    for record in tables.get("EpochRecord", ()):
        record["seconds"] = record["waiting"] = 0.0
    return without_nan({**heads, **tables})


def without_nan(value):
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if value != value else value


def bits(training):
    return {name: tensor.clone() for name, tensor in training.network.state_dict().items()}


def assert_equal_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("overrides", [RICH, PLAIN, OFTEN])
def test_looking_changes_no_bit(monkeypatch, overrides):
    looked_at = build_training(monkeypatch, random_splits(), *overrides)
    epochs = list(fit(looked_at, control=Control()))
    unseen = build_training(monkeypatch, random_splits(), *overrides, "probe=false")
    bare = list(fit(unseen, control=Control()))
    assert_equal_bits(bits(looked_at), bits(unseen))
    assert [e.number for e in epochs] == [0, 1, 2, 3, 4]
    assert [e.number for e in bare] == [1, 2, 3, 4]
    for ours, theirs in zip(epochs[1:], bare, strict=True):
        for a, b in zip(ours.records, theirs.records, strict=True):
            same = {"seconds": 0, "waiting": 0, "grad_norm": 0, "clipped": 0}
            assert replace(a, **same) == replace(b, **same)
        assert ours.layers
        assert not theirs.layers


@pytest.mark.parametrize("overrides", [RICH, PLAIN, OFTEN])
def test_the_same_settings_give_the_same_bits(monkeypatch, overrides):
    runs = []
    for _ in range(2):
        training = build_training(monkeypatch, random_splits(), *overrides)
        runs.append(([no_times(epoch) for epoch in fit(training, control=Control())], bits(training)))
    assert runs[0][0] == runs[1][0]
    assert_equal_bits(runs[0][1], runs[1][1])


@pytest.mark.parametrize("overrides", [RICH, PLAIN, OFTEN])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_resumed_is_bit_equal_to_never_interrupted(monkeypatch, overrides, after):
    straight = build_training(monkeypatch, random_splits(), *overrides)
    whole = [no_times(epoch) for epoch in fit(straight, control=Control())]
    first = build_training(monkeypatch, random_splits(), *overrides)
    head = []
    for epoch in fit(first, control=Control()):
        head.append(no_times(epoch))
        if epoch.number == after:
            break
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = build_training(monkeypatch, random_splits(), *overrides)
    second.load_state(torch.load(file, weights_only=True))
    control = Control()
    tail = [no_times(epoch) for epoch in fit(second, control=control, done=after)]
    tail = [epoch for epoch in tail if epoch["number"] > after]
    assert head + tail == whole
    assert overrides is not OFTEN or after == 3 or any("UnitEvent" in epoch for epoch in tail)
    assert_equal_bits(bits(second), bits(straight))


def test_a_stop_leaves_the_running_epoch_out(monkeypatch):
    training = build_training(monkeypatch, random_splits(), *PLAIN)
    control, numbers = Control(), []
    for epoch in fit(training, control=control):
        numbers.append(epoch.number)
        control.stop = epoch.number == 2
    assert numbers == [0, 1, 2]
    assert control.steps == 2 * training.steps_per_epoch


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_each_seeds_own(monkeypatch):
    from actbench.train.loop import sample_order

    training = build_training(monkeypatch, random_splits(), *PLAIN)
    first, second = sample_order(training), sample_order(training)
    for rows in (*first, *second):
        assert sorted(rows.tolist()) == list(range(100))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], second[0])


def test_comparisons_are_paired(monkeypatch):
    """Contract 2: for one seed number all activations get the same batches and the same draws up to their gain."""
    from actbench.inits import auto_gain
    from actbench.train.loop import sample_order

    a = build_training(monkeypatch, random_splits(), *PLAIN, "activation=relu")
    b = build_training(monkeypatch, random_splits(), *PLAIN, "activation=gelu", "dropout=0.3", "augment=shift_rotate")
    assert torch.equal(sample_order(a), sample_order(b))
    ratio = auto_gain(torch.nn.GELU()) / auto_gain(torch.nn.ReLU())
    for ours, theirs in zip(a.network.state_dicts(), b.network.state_dicts(), strict=True):
        torch.testing.assert_close(ours["hidden1.linear.weight"] * ratio, theirs["hidden1.linear.weight"])
        assert torch.equal(ours["output.weight"], theirs["output.weight"])


def test_metrics_are_those_of_a_plain_evaluation(monkeypatch):
    from helpers import settings_of

    from actbench.train.networks import build_network

    splits = random_splits()
    training = build_training(monkeypatch, splits, *PLAIN, "train.eval_batch_size=7")
    *_, last = fit(training, control=Control())
    loss, accuracy, _ = evaluate(training, splits.test_x, splits.test_y)
    for k, state in enumerate(training.network.state_dicts()):
        network = build_network(settings_of(*PLAIN), splits.inputs, splits.classes, 5).eval()
        network.load_state_dict(state)
        for x, y, ours_loss, ours_accuracy in (
            (splits.test_x, splits.test_y, loss[k], accuracy[k]),
            (splits.val_x, splits.val_y, last.records[k].val_loss, last.records[k].val_accuracy),
        ):
            logits = network(x).detach()
            assert ours_loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, y)), rel=1e-5)
            assert ours_accuracy == pytest.approx(100 * float((logits.argmax(1) == y).float().mean()))


def test_training_learns(monkeypatch):
    training = build_training(monkeypatch, random_splits(train=400), "num_seeds=3", "model.width=64", "train.batch_size=20",
                        "train.epochs=15", "optimizer.lr=0.01")  # fmt: skip
    *_, last = fit(training, control=Control())
    assert all(record.train_accuracy > 95 for record in last.records)
    assert all(record.val_accuracy > 60 for record in last.records)  # chance is 25


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("constant", [1e-3] * 4),
        ("step", [1e-3, 1e-3, 1e-3, 1e-4]),
        ("exponential", [1e-3 * 0.9**k for k in range(4)]),
    ],
)
def test_the_recorded_rate_is_the_one_the_epoch_was_trained_with(monkeypatch, scheduler, expected):
    training = build_training(monkeypatch, random_splits(), *PLAIN, f"scheduler={scheduler}")
    rates = [epoch.records[0].lr for epoch in fit(training, control=Control()) if epoch.records]
    assert rates == pytest.approx(expected)


def test_schedules_by_step_end_where_they_should(monkeypatch):
    for scheduler in ("cosine", "warmup_cosine", "onecycle"):
        training = build_training(monkeypatch, random_splits(), *PLAIN, f"scheduler={scheduler}")
        rates = [epoch.records[0].lr for epoch in fit(training, control=Control()) if epoch.records]
        assert 0 < rates[-1] < 2e-5 < rates[0], scheduler


def test_bf16_trains_and_keeps_parameters_in_fp32(monkeypatch):
    training = build_training(monkeypatch, random_splits(), *PLAIN, "train.precision=bf16")
    *_, last = fit(training, control=Control())
    assert all(p.dtype == torch.float32 for p in training.network.parameters())
    assert all(0 < record.train_loss < 10 for record in last.records)
    full = build_training(monkeypatch, random_splits(), *PLAIN)
    *_, exact = fit(full, control=Control())
    assert last.records[0].train_loss != exact.records[0].train_loss


def test_nothing_is_trained_when_every_seed_had_diverged_before(monkeypatch):
    training = build_training(monkeypatch, random_splits(), *PLAIN)
    assert list(fit(training, control=Control(), done=1, diverged=training.seeds)) == []
