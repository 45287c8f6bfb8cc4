"""Shares of the seeds side by side: the same as one after the other, whatever the threads make of each other."""

from __future__ import annotations

import contextlib
import io
import math
import threading
from dataclasses import replace

import pytest
import torch
from helpers import build_training, in_double, random_splits, settings_of
from test_train import OFTEN, assert_equal_bits, bits, no_times
from torch import nn

from actbench.errors import UserError
from actbench.stacking import choosing
from actbench.train import Control, Workers, build, evaluate, fit, networks, spinning, waiting

STACKED = ["num_seeds=5", "model.width=8", "model.depth=2", "train.batch_size=16", "train.epochs=3", "dropout=0.2",
           "norm=batch", "activation=swish", "clip=norm", "scheduler=onecycle", "optimizer.lr=0.01"]  # fmt: skip
CONVOLUTIONS = ["num_seeds=3", "model=cnn", "model.channels=[3,4]", "model.dense=6", "train.batch_size=16",
                "train.epochs=3", "dropout=0.2", "augment=shift_rotate", "activation=prelu"]  # fmt: skip


@pytest.fixture
def on_cores():
    """Parts of a configuration as a machine of so many cores would have them; small stacks are split as well."""

    def make(cores, *overrides, splits=None, shared=False):
        before = torch.get_num_threads()
        torch.set_num_threads(cores)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(choosing, "WORTH_A_THREAD", 0)
                patch.setattr(choosing, "WORTH_SHARING", 0 if shared else math.inf)
                return build_training(patch, splits or random_splits(), *overrides)
        finally:
            torch.set_num_threads(before)

    return make


def trained(training):
    return [no_times(epoch) for epoch in fit(training, control=Control())]


@pytest.mark.parametrize(
    ("cores", "shared", "sizes"),
    [(4, False, [2, 1, 1, 1]), (4, True, [1, 1, 1, 1, 1]), (2, False, [3, 2]), (2, True, [2, 2, 1])],
)
def test_seeds_that_share_the_cores_train_as_alone(on_cores, cores, shared, sizes):
    """Contract 1, in float64: parts of a stack, which may be more than there are threads, against one."""
    splits = in_double(random_splits())
    apart = on_cores(cores, *STACKED, splits=splits, shared=shared)
    together = on_cores(1, *STACKED, splits=splits)
    assert [shard.seeds for shard in apart.network.shards] == sizes
    assert apart.network.execution == f"stacked, {cores} workers" and apart.workers.number == cores
    assert together.network.execution == "stacked"
    ours, theirs = trained(apart), trained(together)
    for a, b in zip(apart.network.state_dicts(), together.network.state_dicts(), strict=True):
        for name in a:
            torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-9)
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys() and "DefinitionRecord" in a and ("EpochRecord" in a) == (a["number"] > 0)
        for kind in ("EpochRecord", "LayerRecord", "DefinitionRecord"):
            for ours_row, theirs_row in zip(a.get(kind, ()), b.get(kind, ()), strict=True):
                assert ours_row["seed"] == theirs_row["seed"]
                assert ours_row == pytest.approx(theirs_row, abs=1e-6, nan_ok=True), kind
        assert a.get("UnitEvent") == b.get("UnitEvent")


@pytest.mark.parametrize("cores", [2, 3])
def test_networks_that_train_one_by_one_do_not_know_who_trains_beside_them(on_cores, cores):
    """Bit for bit: what a shard computes depends neither on the others nor on the number of workers."""
    alone, beside = on_cores(1, *CONVOLUTIONS), on_cores(cores, *CONVOLUTIONS)
    assert len(beside.network.shards) == 3 and beside.workers.number == cores
    assert trained(alone) == trained(beside)
    assert_equal_bits(bits(alone), bits(beside))


@pytest.mark.parametrize("overrides", [STACKED, CONVOLUTIONS, [*OFTEN, "num_seeds=3"]])
def test_the_same_bits_every_time_looked_at_or_not(on_cores, overrides):
    first, second, unseen = (on_cores(3, *overrides, *more) for more in ([], [], ["probe=false"]))
    assert trained(first) == trained(second)
    trained(unseen)
    assert_equal_bits(bits(first), bits(second))
    assert_equal_bits(bits(first), bits(unseen))


@pytest.mark.parametrize("overrides", [STACKED, CONVOLUTIONS])
@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (2, 3), (3, 3)])
def test_a_machine_with_other_cores_goes_on(on_cores, overrides, before, after):
    straight, first = on_cores(after, *overrides), on_cores(before, *overrides)
    whole = trained(straight)
    for epoch in fit(first, control=Control()):
        if epoch.number == 1:
            break
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = on_cores(after, *overrides)
    second.load_state(torch.load(file, weights_only=True))
    tail = [no_times(epoch) for epoch in fit(second, control=Control(), done=1)]
    assert [epoch["number"] for epoch in tail] == [2, 3]
    if before == after or overrides is CONVOLUTIONS:
        assert tail == whole[2:]
        assert_equal_bits(bits(second), bits(straight))
    else:  # a stack of another size rounds differently
        for ours, theirs in zip(second.network.state_dicts(), straight.network.state_dicts(), strict=True):
            for name in ours:
                torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_a_seed_that_diverges_leaves_the_other_shares_bit_equal(on_cores):
    sound, ill = on_cores(2, *CONVOLUTIONS), on_cores(2, *CONVOLUTIONS)
    with torch.no_grad():
        next(iter(ill.network.groups[0].parameters())).fill_(float("nan"))
    trained(sound)
    epochs = list(fit(ill, control=Control()))
    assert epochs[1].diverged == (0,)
    for ours, theirs in zip(sound.network.state_dicts()[1:], ill.network.state_dicts()[1:], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_scores_are_in_the_order_of_the_seeds(on_cores):
    apart, together = on_cores(3, *CONVOLUTIONS), on_cores(1, *CONVOLUTIONS)
    splits = apart.splits
    *ours, hits = evaluate(apart, splits.test_x, splits.test_y)
    *theirs, same_hits = evaluate(together, splits.test_x, splits.test_y)
    assert ours == theirs and torch.equal(hits, same_hits)


def test_a_stop_reaches_every_share(on_cores):
    training = on_cores(3, *STACKED)
    control, numbers = Control(), []
    for epoch in fit(training, control=control):
        numbers.append(epoch.number)
        control.stop = epoch.number == 2
    assert numbers == [0, 1, 2]
    assert control.steps == 2 * training.steps_per_epoch


def test_one_that_fails_ends_the_others_and_is_told(on_cores):
    training = on_cores(3, *CONVOLUTIONS)
    steps = []

    def fail(*_):
        raise UserError("out of memory")

    def count(*_):
        steps.append(1)

    training.network.groups[1].register_forward_pre_hook(fail)
    training.network.groups[2].register_forward_pre_hook(count)
    with pytest.raises(UserError, match="out of memory"):
        list(fit(training, control=Control()))
    assert threading.active_count() < 20
    counted = len(steps)
    assert counted <= training.steps_per_epoch
    assert len(steps) == counted  # and nobody goes on


def test_the_item_with_the_most_work_left_comes_next():
    left, taken = {"a": 2, "b": 4, "c": 3}, []

    def work(item):
        taken.append(item)
        left[item] -= 1
        return left[item]

    Workers(1, 1).share(work, [*left])
    assert taken[:3] == ["a", "b", "c"] and taken[3] == "b"  # at first it is not known who has how much to do
    assert {item: taken.count(item) for item in "abc"} == {"a": 2, "b": 4, "c": 3}
    assert taken[3:] == ["b", "b", "c", "a", "b", "c"]


def test_while_one_is_busy_the_others_share_the_rest():
    """Three items for two threads: neither waits for the other, and no item is in two hands."""
    left, hands, done = dict.fromkeys("abc", 20), {item: threading.Lock() for item in "abc"}, threading.Event()

    def work(item):
        assert hands[item].acquire(blocking=False)
        if item == "a":
            assert done.wait(60)  # until b and c are through
        left[item] -= 1
        if left["b"] == left["c"] == 0:
            done.set()
        hands[item].release()
        return left[item]

    Workers(2, 1).share(work, ["a", "b", "c"])
    assert set(left.values()) == {0}


def test_an_interrupted_caller_waits_until_nobody_works_any_more():
    workers, ended = Workers(2, 1), threading.Event()

    def work(first):
        if first:
            raise KeyboardInterrupt
        while not workers.interrupted:
            pass
        ended.set()

    with contextlib.suppress(KeyboardInterrupt):
        workers.map(work, [True, False])
    assert ended.is_set()


class Counting(nn.Module):
    """An activation that knows how often all of its kind were called: what of a user's own nobody can foresee."""

    calls = 0

    def forward(self, z):
        Counting.calls += 1
        return z.relu()


def test_modules_of_the_users_own_are_never_called_side_by_side(on_cores, monkeypatch):
    monkeypatch.setattr(networks, "activation_factory", lambda *_: lambda units: Counting())
    for overrides in (STACKED, CONVOLUTIONS):
        training = on_cores(3, *overrides)
        assert len(training.network.shards) == 1
        assert training.workers.number == 1


def test_a_stack_is_split_where_its_kernels_have_enough_to_do(monkeypatch):
    torch.set_num_threads(2)
    try:
        small = build_training(monkeypatch, random_splits(), "num_seeds=4", "model.width=8")
        large = build_training(monkeypatch, random_splits(), "num_seeds=4", "model.width=512", "model.depth=2")
    finally:
        torch.set_num_threads(1)
    assert [len(training.network.shards) for training in (small, large)] == [1, 2]
    assert (small.workers.number, large.workers.number, large.workers.threads) == (1, 2, 1)


# ---------------------------------------------------------------- kernels of several threads


def test_kernels_of_several_threads_are_watched_and_compute_the_same(monkeypatch):
    """Whether threads spin changes no bit; the watch ends with the block, whatever happened within."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(spinning, "_MAX_WAITING", -1.0)  # as if others wanted the cores all the time
    monkeypatch.setattr(spinning, "_INTERVAL", 0.001)
    made, make = [], spinning._make_more_threads_than_cores

    def count():
        make()
        made.append(threading.current_thread())

    monkeypatch.setattr(spinning, "_make_more_threads_than_cores", count)
    x = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    usual, plain = torch.get_num_threads(), x @ x
    with contextlib.suppress(ZeroDivisionError), spinning.spinning_while_alone():
        while not made:
            pass
        assert torch.get_num_threads() == usual
        assert torch.equal(x @ x, plain)
        raise ZeroDivisionError
    assert len(made) == 1
    assert not made[0].is_alive()


@pytest.mark.parametrize("variable", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_a_users_own_variable_wins_and_is_written_down(monkeypatch, variable):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert Workers(2, 1).describe() == {"workers": 2, "threads_of_a_worker": 1, "threads_spin": "never"}
    assert Workers(1, 2).describe()["threads_spin"] == "while alone"
    monkeypatch.setenv(variable, "1000")
    assert Workers(1, 2).describe()["threads_spin"] == {variable: "1000"}
    monkeypatch.setattr(spinning, "_watch", lambda _: pytest.fail("the user has decided"))
    with spinning.spinning_while_alone():
        pass


def test_a_system_that_does_not_say_how_long_threads_wait_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(waiting, "_TASKS", tmp_path / "none")
    assert waiting.waited() is None
    with spinning.spinning_while_alone():
        assert not any(thread.name == "actbench-spinning" for thread in threading.enumerate())


def test_a_thread_that_ends_while_it_is_read_is_no_obstacle(monkeypatch, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "schedstat").write_text("5 2000000000 7\n")
    (tmp_path / "2").mkdir()  # which has no schedstat any more
    monkeypatch.setattr(waiting, "_TASKS", tmp_path)
    assert waiting.waited() == 2.0


@pytest.mark.parametrize("group", ["augment", "clip", "optimizer", "scheduler", "init", "norm", "model", "activation"])
def test_code_of_the_users_own_in_any_group_is_for_one_thread(group):
    """An augmentation that draws from torch's global numbers, a clip that counts: two threads would change the result."""
    settings = settings_of(*STACKED)
    own = replace(settings, **{group: replace(getattr(settings, group), target="mine.thing")})
    assert build.usable_cores(own, torch.device("cpu"), 4) == 1
    assert build.usable_cores(settings, torch.device("cpu"), 4) == 4
    assert build.usable_cores(settings, torch.device("cuda"), 4) == 1


def test_a_failure_is_seen_by_those_who_began_before_it():
    workers, ended = Workers(2, 1), threading.Event()

    def work(fails):
        if fails:
            raise UserError("out of memory")
        assert ended.wait(0) is False
        while not workers.interrupted:
            pass
        ended.set()

    with pytest.raises(UserError):
        workers.map(work, [False, True])
    assert ended.is_set()
