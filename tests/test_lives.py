"""The life and death of units against a plain account, unit by unit; definitions of dead; learned shapes; clipping."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import build_training, random_splits
from torch import nn

from actbench.activations.coupling import as_one_seed, selects
from actbench.measures.computing.history import UnitHistory
from actbench.measures.computing.sites import SiteSums, watch_units
from actbench.measures.definitions import DEFINITIONS, DefinitionRecord
from actbench.measures.lives import LookRecord, UnitEvent
from actbench.measures.shapes import ShapeRecord, learned_shapes
from actbench.train import Control, fit

STEPS = 4  # per epoch


def told(masks, every=1, seeds=(3, 8)):
    """(records, events) of each look at `masks` (T, S, F), taken after 0, `every`, 2·`every`, ... steps."""
    lives = UnitHistory(seeds, STEPS)
    looks = []
    for number, dead in enumerate(masks):
        events = lives.update({"hidden1": slopes_of(dead)}, number * every)
        looks.append((lives.rows(), events))
    return looks


def slopes_of(dead):
    """The largest |f'| of units that are dead or not."""
    return torch.where(dead, 0.0, 0.7)


def account(history):
    """What happened to one unit, from its states (T,): for each look (birth, death, revival, died, steps dead)."""
    rows, lived, since = [], False, 0
    for t, dead in enumerate(history):
        before = history[t - 1] if t else None
        came, went = before is True and not dead, before is False and dead
        if went:
            since = t
        rows.append((came and not lived, went, came and lived, dead and lived, t - since if dead else None))
        lived = lived or not dead
    return rows


def test_every_unit_is_accounted_for():
    masks = torch.rand(30, 2, 50, generator=torch.Generator().manual_seed(0)) < 0.4
    masks[:, :, :5] = True  # never alive
    masks[:10, :, 5:10] = True  # born late
    looks = told(masks)
    for s, seed in enumerate((3, 8)):
        accounts = [account(masks[:, s, unit].tolist()) for unit in range(50)]
        for t, (records, events) in enumerate(looks):
            record = records[s]
            now = [rows[t] for rows in accounts]
            ages = [age for *_, age in now if age is not None]
            assert (record.seed, record.layer, record.units, record.step) == (seed, "hidden1", 50, t)
            assert record.births == sum(row[0] for row in now)
            assert record.deaths == sum(row[1] for row in now)
            assert record.revivals == sum(row[2] for row in now)
            assert record.died == pytest.approx(sum(row[3] for row in now) / 50)
            assert record.dead == pytest.approx(len(ages) / 50)
            assert record.dead_at_init == pytest.approx(record.dead - record.died)
            assert record.dead_for == pytest.approx(sum(ages) / len(ages) / STEPS)
            mine = [(event.unit, event.event) for event in events if event.seed == seed]
            kinds = ("birth", "death", "revival")
            assert sorted(mine) == sorted(
                [(unit, kinds[k]) for unit, row in enumerate(now) for k in range(3) if row[k]]
                if t
                else [(unit, "dead") for unit in range(50) if masks[0, s, unit]]
            )


def test_of_a_seed_that_diverges_nobody_knows():
    """Its slopes are no numbers: its units are neither alive nor dead again."""
    lives = UnitHistory([0, 1], STEPS)
    lives.update({"a": torch.tensor([[0.0, 0.5], [0.0, 0.5]])}, 0)
    events = lives.update({"a": torch.tensor([[math.nan, math.nan], [0.3, 0.0]])}, 1)
    assert [(event.seed, event.unit, event.event) for event in events] == [(1, 0, "birth"), (1, 1, "death")]
    lost, sound = lives.rows()
    assert (lost.births, lost.deaths, lost.revivals, sound.dead) == (0, 0, 0, 0.5)
    assert all(math.isnan(getattr(lost, name)) for name in ("dead", "dead_at_init", "died", "dead_for"))
    events = lives.update({"a": torch.tensor([[0.0, 0.5], [0.3, 0.0]])}, 2)  # nothing changed since it was last known
    assert events == [] and [record.dead for record in lives.rows()] == [0.5, 0.5]


def test_a_run_that_diverges_has_no_births_of_nan(monkeypatch):
    """torch's slope of ReLU at NaN is 1."""
    overrides = (
        "model.depth=3",
        "optimizer=sgd",
        "optimizer.lr=1e30",
        "num_seeds=2",
        "train.epochs=2",
        "probe_every=3",
    )
    training = build_training(monkeypatch, random_splits(), *overrides, "model.width=64", "train.batch_size=20")
    first, last = fit(training, control=Control())
    assert last.diverged == (0, 1)
    assert sum(layer.dead for layer in first.layers) > 0
    assert {event.event for event in last.of(UnitEvent)} <= {"death"}
    assert all(record.births == record.revivals == 0 for record in (*last.layers, *last.of(LookRecord)))


@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_before_training_batch_norm_normalises_as_it_will_in_training(monkeypatch, execution):
    """Its running statistics do not yet: by them twelve layers of ReLU would have a tenth of their units dead."""
    overrides = ("norm=batch", "model.depth=12", "model.width=32", "num_seeds=2", "train.epochs=1")
    training = build_training(monkeypatch, random_splits(), *overrides, f"train.execution={execution}")
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    with watch_units(training.network) as watch:
        training.network.eval()
        training.network(training.splits.val_x.expand(2, *training.splits.val_x.shape))
    assert sum((peak == 0).sum() for peak in watch.peaks().values()) > 40
    untrained = next(fit(training, control=Control()))
    assert sum(round(layer.dead * layer.units) for layer in untrained.layers) < 8
    after = training.network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert all(m.momentum == 0.1 for m in training.network.modules() if hasattr(m, "running_mean"))


def test_what_came_before_the_first_look_is_not_known():
    """Probes that were switched on when a run went on: who was dead before training cannot be told any more."""
    lives = UnitHistory([0], STEPS)
    lives.update({"a": torch.tensor([[0.0, 0.5]])}, 3 * STEPS)
    lives.update({"a": torch.tensor([[0.0, 0.0]])}, 4 * STEPS)
    (record,) = lives.rows()
    assert (record.dead, record.deaths) == (1.0, 1)
    assert all(math.isnan(value) for value in (record.dead_at_init, record.died, record.dead_for))


def test_after_a_gap_all_begins_anew():
    lives = UnitHistory([0], STEPS)
    lives.update({"a": torch.tensor([[0.5, 0.5]])}, 0)
    assert [e.event for e in lives.update({"a": torch.tensor([[0.0, 0.5]])}, STEPS)] == ["death"]
    assert [e.event for e in lives.update({"a": torch.tensor([[0.0, 0.0]])}, 3 * STEPS)] == ["dead", "dead"]
    assert math.isnan(lives.rows()[0].died)


def test_where_nothing_is_dead_there_is_no_time_for_which_it_has_been():
    ((records, events),) = told(torch.zeros(1, 2, 4, dtype=torch.bool))
    assert all(math.isnan(record.dead_for) and record.dead == 0 for record in records)
    assert events == []


def test_a_state_goes_on_where_it_was():
    masks = torch.rand(12, 2, 20, generator=torch.Generator().manual_seed(1)) < 0.5
    whole = told(masks, every=3)
    first, second = UnitHistory([3, 8], STEPS), UnitHistory([3, 8], STEPS)
    for t in range(5):
        first.update({"hidden1": slopes_of(masks[t])}, 3 * t)
    second.load_state(first.state())
    for t in range(5, 12):
        events = second.update({"hidden1": slopes_of(masks[t])}, 3 * t)
        assert events == whole[t][1]
        for ours, theirs in zip(second.rows(), whole[t][0], strict=True):
            assert (ours.died, ours.deaths, ours.revivals) == (theirs.died, theirs.deaths, theirs.revivals)
            assert ours.dead_for == pytest.approx(theirs.dead_for)


# ---------------------------------------------------------------- in training

DYING = ["num_seeds=2", "model.width=16", "model.depth=3", "train.batch_size=16", "train.epochs=3", "optimizer.lr=0.3"]


def test_deaths_of_a_run_are_those_that_the_watch_sees(monkeypatch):
    """Layers' records, finer looks and events of one run tell the same story, and it ends in what the network is."""
    training = build_training(monkeypatch, random_splits(), *DYING, "probe_every=2")
    epochs = list(fit(training, control=Control()))
    per_epoch = -(-100 // 16)
    state: dict[tuple[int, str, int], bool] = {}
    for epoch in epochs:
        for event in epoch.of(UnitEvent):
            assert epoch.number - 1 < event.epoch <= epoch.number
            state[event.seed, event.layer, event.unit] = event.event in ("dead", "death")
        steps = sorted({look.step for look in epoch.of(LookRecord)})
        end = epoch.number * per_epoch
        assert steps == ([s for s in range(end - per_epoch + 1, end + 1) if s % 2 == 0 or s == end] if end else [0])
        for look in epoch.of(LookRecord):
            own = [e for e in epoch.of(UnitEvent) if (e.seed, e.layer, e.step) == (look.seed, look.layer, look.step)]
            counted = [sum(e.event == kind for e in own) for kind in ("birth", "death", "revival")]
            assert [look.births, look.deaths, look.revivals] == counted
        for layer in epoch.layers:
            dead = sum(d for (seed, name, _), d in state.items() if (seed, name) == (layer.seed, layer.layer))
            assert layer.dead == pytest.approx(dead / layer.units)
            assert layer.dead == pytest.approx(layer.dead_at_init + layer.died)
    assert sum(layer.deaths for epoch in epochs for layer in epoch.layers) > 10
    with watch_units(training.network, thorough=False) as watch:
        training.network.eval()
        training.network(training.splits.val_x.expand(2, *training.splits.val_x.shape))
    for layer, peaks in watch.peaks().items():
        for s, seed in enumerate(training.seeds):
            assert (peaks[s] == 0).tolist() == [state.get((seed, layer, unit), False) for unit in range(16)]


def test_layers_do_not_depend_on_finer_looks(monkeypatch):
    """`layers.csv` goes from epoch to epoch: it is the same with `probe_every`, without which it is what events say."""
    told = []
    for every in ([], ["probe_every=2"]):
        training = build_training(monkeypatch, random_splits(), *DYING, *every)
        epochs = list(fit(training, control=Control()))
        told.append([str(layer) for epoch in epochs for layer in epoch.layers])
        if not every:
            for epoch in epochs:
                for layer in epoch.layers:
                    own = [e for e in epoch.of(UnitEvent) if (e.seed, e.layer) == (layer.seed, layer.layer)]
                    counted = [sum(e.event == kind for e in own) for kind in ("birth", "death", "revival")]
                    assert [layer.births, layer.deaths, layer.revivals] == counted
    assert told[0] == told[1]


def test_a_leaky_network_has_no_events(monkeypatch):
    training = build_training(monkeypatch, random_splits(), *DYING, "activation=leaky_relu", "probe_every=1")
    for epoch in fit(training, control=Control()):
        assert not epoch.of(UnitEvent)
        assert all(layer.dead == layer.deaths == 0 for layer in epoch.layers)


def test_seed_by_seed_lives_as_a_stack_does(monkeypatch):
    stories = []
    for way in ("stacked", "seed_by_seed"):
        training = build_training(monkeypatch, random_splits(), *DYING, f"train.execution={way}", "train.epochs=2")
        stories.append(
            [(event, epoch.number) for epoch in fit(training, control=Control()) for event in epoch.of(UnitEvent)]
        )
    assert sorted(map(str, stories[0])) == sorted(map(str, stories[1]))
    assert stories[0]


# ---------------------------------------------------------------- definitions of dead


def test_every_definition_against_plain_counting():
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(2, 300, 40, generator=generator) + torch.linspace(-5, 1, 40)
    site = SiteSums(torch.relu)
    for part in z.split(70, dim=1):
        site.observe(part)
    found = dict(zip(DEFINITIONS, site.dead_by_definition(), strict=True))
    h = z.relu().double()
    size = h.mean(1)  # (S, F)
    expected = {"exact": (z <= 0).all(1), "fires<1%": (z > 0).double().mean(1) < 0.01}
    for tau in (0, 0.01, 0.025, 0.05, 0.1):
        expected[f"dormant<={tau:g}"] = size <= tau * size.mean(1, keepdim=True)
    assert list(found) == list(DEFINITIONS)
    for name, units in expected.items():
        torch.testing.assert_close(found[name], units.double().mean(1), msg=name)
    shares = [float(found[name][0]) for name in DEFINITIONS]
    assert 0 < shares[0] == shares[1] < shares[2] <= shares[3] <= shares[4] < shares[5]
    assert shares[0] < shares[6]


def test_a_run_tells_the_definitions_of_every_layer(monkeypatch):
    training = build_training(monkeypatch, random_splits(), *DYING)
    *_, last = fit(training, control=Control())
    assert len(last.of(DefinitionRecord)) == 2 * 3 * len(DEFINITIONS)
    exact = {(d.seed, d.layer): d.share for d in last.of(DefinitionRecord) if d.definition == "exact"}
    assert exact == {(layer.seed, layer.layer): layer.dead for layer in last.layers}


# ---------------------------------------------------------------- learned shapes and clipping


@pytest.mark.parametrize("number", [1, "units"])
def test_learned_parameters_are_followed(monkeypatch, number):
    splits = random_splits()
    settings = ["num_seeds=2", "model.width=6", "model.depth=2", "train.batch_size=16", "train.epochs=2"]
    training = build_training(
        monkeypatch, splits, *settings, "activation=prelu", f"activation.num_parameters={number}", "optimizer.lr=0.1"
    )
    before, *_, last = fit(training, control=Control())
    assert {(shape.mean, shape.std, shape.min, shape.max) for shape in before.of(ShapeRecord)} == {
        (0.25, 0.0, 0.25, 0.25)
    }
    for shape in last.of(ShapeRecord):
        state = training.network.state_dicts()[shape.seed]
        weight = state[f"{shape.layer}.activation.weight"].double()
        assert shape.parameter == "weight"
        assert shape.mean == pytest.approx(float(weight.mean())) != 0.25
        assert (shape.min, shape.max) == (float(weight.min()), float(weight.max()))
        assert shape.std == pytest.approx(float(weight.std(correction=0)))
    assert {values.shape for values in learned_shapes(training.network).values()} == {(2, 1 if number == 1 else 6)}


def test_nothing_is_learned_by_relu(monkeypatch):
    training = build_training(monkeypatch, random_splits(), "num_seeds=1", "model.width=6", "train.epochs=1")
    assert all(not epoch.of(ShapeRecord) for epoch in fit(training, control=Control()))


@pytest.mark.parametrize(
    ("clip", "share"),
    [
        (["clip=norm", "clip.max_norm=1e-3"], 1.0),
        (["clip=norm", "clip.max_norm=1e3"], 0.0),
        (["clip=value", "clip.clip_value=1e-4"], 1.0),
        (["clip=value", "clip.clip_value=1e3"], 0.0),
        (["clip=norm", "clip.max_norm=1e9"], 0.0),
    ],
)
@pytest.mark.parametrize("execution", ["stacked", "seed_by_seed"])
def test_the_share_of_clipped_steps(monkeypatch, clip, share, execution):
    small = ["num_seeds=2", "model.width=6", "train.epochs=1", f"train.execution={execution}"]
    training = build_training(monkeypatch, random_splits(), *small, *clip)
    *_, last = fit(training, control=Control())
    assert [record.clipped for record in last.records] == [share, share]


def test_some_steps_clipped_is_a_share(monkeypatch):
    """Between the smallest and the largest norm of the steps that are looked at, some are clipped and others not."""
    small = ["num_seeds=1", "model.width=6", "train.epochs=1", "train.batch_size=10", "optimizer.lr=1e-9"]
    training = build_training(monkeypatch, random_splits(), *small, "clip=norm", "clip.max_norm=1e9")
    *_, last = fit(training, control=Control())
    middle = last.records[0].grad_norm  # the mean of norms of a network that hardly moves
    training = build_training(monkeypatch, random_splits(), *small, "clip=norm", f"clip.max_norm={middle}")
    *_, last = fit(training, control=Control())
    assert 0 < last.records[0].clipped < 1


def test_without_clipping_there_is_no_share(monkeypatch):
    training = build_training(monkeypatch, random_splits(), "num_seeds=1", "model.width=6", "train.epochs=1")
    *_, last = fit(training, control=Control())
    assert math.isnan(last.records[0].clipped)


# ---------------------------------------------------------------- activations that select


class HalfOf(nn.Module):
    """Keeps the larger half of a sample's units."""

    def forward(self, z):
        kept = z.flatten(1).topk(z[0].numel() // 2).indices
        return torch.zeros_like(z.flatten(1)).scatter(1, kept, z.flatten(1).gather(1, kept)).view_as(z)


def test_the_active_of_a_selecting_activation_are_those_it_let_through():
    module = HalfOf()
    assert selects(as_one_seed(nn.Sequential(module))) and not selects(as_one_seed(nn.ReLU()))
    z = torch.randn(1, 200, 10, generator=torch.Generator().manual_seed(3)) + 3  # nearly all positive
    z[:, :, 0] -= 30  # never among them
    site = SiteSums(lambda part: module(part[0])[None], selects=True)
    for part in z.split(60, dim=1):
        site.observe(part)
    statistics = dict(zip(("dead", "dormant", "saturated", "active"), site.statistics(), strict=False))
    assert float(statistics["active"]) == pytest.approx(0.5)
    assert float(statistics["dead"]) == pytest.approx(0.1)
    assert float(statistics["saturated"]) == pytest.approx(0.1)
