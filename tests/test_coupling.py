"""Activations that are not elementwise: found, and judged by the Jacobian; those that are, as they always were."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from helpers import activation_choice, activation_files, build_training, random_splits, settings_of
from torch import nn

from actbench.activations.coupling import Coupling, column_norms, coupling_of
from actbench.inits import auto_gain
from actbench.measures.computing.sites import SiteSums, watch_units
from actbench.measures.units import SATURATED, STATISTICS
from actbench.stacking import Replicas, SingleReplica, StackedReplicas
from actbench.train.networks import build_network
from actbench.train.seeding import generators

ACTIVATIONS = [path.stem for path in activation_files()]


def centred(z):
    h = torch.tanh(z)
    return h - h.mean(2, keepdim=True)


def normalised(z):
    return torch.relu((z - z.mean(2, keepdim=True)) / (z.var(2, keepdim=True, correction=0) + 0.1).sqrt())


def winner(z):
    return z * (z == z.amax(2, keepdim=True))


def glu(z):
    a, b = z.chunk(2, dim=2)
    return torch.cat([a * torch.sigmoid(b), b], dim=2)


def half_glu(z):
    return nn.functional.glu(z, dim=2)


def squeezed(z):
    """Squeeze and excitation: channels weighted by their means over positions."""
    return torch.relu(z) * torch.sigmoid(z.mean((3, 4), keepdim=True))


def spatial(z):
    return z * torch.softmax(z.flatten(3), 3).view(z.shape)


UNITS, SAMPLES, POSITIONS = Coupling(units=True), Coupling(samples=True), Coupling(positions=True)
COUPLED = {
    "softmax": (lambda z: torch.softmax(5 * z, 2), UNITS, False),
    "centred": (centred, UNITS, False),
    "normalised": (normalised, UNITS, False),
    "competing": (lambda z: z * torch.softmax(4 * z, 2), UNITS, False),
    "winner": (winner, UNITS, False),
    "glu": (glu, UNITS, False),
    "half glu": (half_glu, UNITS, False),
    "softmax over channels": (lambda z: torch.softmax(5 * z, 2), UNITS, True),
    "squeezed": (squeezed, POSITIONS, True),
    "spatial": (spatial, POSITIONS, True),
    "normalised map": (lambda z: nn.functional.layer_norm(z, z.shape[2:]), Coupling(units=True, positions=True), True),
    "over samples": (lambda z: torch.tanh(z) - torch.tanh(z).mean(1, keepdim=True), SAMPLES, False),
}


def pre_activations(spatial, units=6, samples=9):
    """Some units far below the others, some the same for all samples: what can be dead or saturated."""
    shape = (1, samples, units, 3, 2) if spatial else (1, samples, units)
    z = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    z[:, :, 1] -= 60
    z[:, :, 2] = z[:, :, 2] / 100 - 1.5
    return z


def jacobian_columns(f, z):
    """The norms of the columns by torch's own Jacobian, (S, B, F, ...)."""
    jacobian = torch.autograd.functional.jacobian(f, z)
    return jacobian.flatten(0, jacobian.ndim - z.ndim - 1).square().sum(0).sqrt()


@pytest.mark.parametrize("name", COUPLED)
def test_what_an_output_depends_on_is_found(name):
    f, expected, spatial = COUPLED[name]
    z = pre_activations(spatial)
    assert coupling_of(f, z) == expected
    assert coupling_of(f, torch.zeros_like(z)) == expected  # whatever is seen first
    before = torch.get_rng_state()
    coupling_of(f, z)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", COUPLED)
def test_dead_and_saturated_are_those_of_the_jacobian(name):
    f, coupling, spatial = COUPLED[name]
    z = pre_activations(spatial)
    columns = jacobian_columns(f, z)
    peaks = columns.amax(1).flatten(2).amax(2) if spatial else columns.amax(1)  # (S, F)
    site = SiteSums(f, foreign=True)
    if coupling.samples:
        site.observe(z)
    else:
        for part in z.split(4, dim=1):
            site.observe(part)
    found = dict(zip(STATISTICS, site.statistics()[:, 0].tolist(), strict=True))
    assert found["dead"] == pytest.approx(float((peaks == 0).float().mean()))
    assert torch.equal(site.dead, peaks == 0)
    if coupling.samples:
        assert math.isnan(found["saturated"])
    else:
        assert found["saturated"] == pytest.approx(float((peaks < SATURATED * peaks.max()).float().mean()))
        norms = column_norms(f, z, coupling)
        torch.testing.assert_close(norms, columns, rtol=1e-5, atol=1e-7)
    h = f(z)
    assert found["mean"] == pytest.approx(float(h.mean()), abs=1e-6)
    assert found["std"] == pytest.approx(float(h.std(correction=0)), rel=1e-4)
    assert found["active"] == pytest.approx(float((z > 0).float().mean()))


def test_the_examples_have_what_they_are_to_show():
    """Dead units in some, saturated ones in some, neither in some."""
    kinds = set()
    for name in ("softmax", "centred", "glu", "competing"):
        f, _, spatial = COUPLED[name]
        peaks = jacobian_columns(f, pre_activations(spatial)).amax(1)
        kinds |= {bool((peaks == 0).any()), *(["saturated"] if bool((peaks < 0.01 * peaks.max()).any()) else [])}
    assert kinds == {True, False, "saturated"}


def test_too_many_outputs_have_no_saturated_and_no_price():
    site = SiteSums(COUPLED["normalised map"][0], foreign=True)
    site.observe(torch.randn(1, 3, 8, 12, 12, generator=torch.Generator().manual_seed(0)))
    dead, dormant, saturated, active, *_ = site.statistics()[:, 0].tolist()
    assert math.isnan(saturated)
    assert (dead, dormant) == (0.0, 0.0) and 0.4 < active < 0.6


@pytest.mark.parametrize(
    ("model", "stacked"), [(["model.width=12"], True), (["model=cnn", "model.channels=[3]", "model.dense=7"], False)]
)
@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "topk"])
def test_an_elementwise_activation_is_judged_the_same_if_nobody_knows_it(monkeypatch, activation, model, stacked):
    """As anyone's module it is tried, found elementwise, and has the same numbers bit for bit."""
    splits = random_splits(side=28)
    per_unit = {"num_parameters": "units"} if activation in ("prelu", "swish", "acon", "pact") else {}
    settings = replace(settings_of(*model), activation=activation_choice(activation, **per_unit))
    networks = [build_network(settings, splits.inputs, splits.classes, seed) for seed in range(2)]
    noise = generators(range(2), "dropout")
    members = (
        [StackedReplicas(networks, noise)]
        if stacked
        else [SingleReplica(*pair) for pair in zip(networks, noise, strict=True)]
    )
    replicas = Replicas(members, "").eval()
    measured = []
    for known in (True, False):
        if not known:
            monkeypatch.setattr("actbench.measures.computing.sites.is_known", lambda *_: False)
        with torch.no_grad(), watch_units(replicas) as watch:
            for x in splits.val_x.split(15):
                replicas(x.expand(2, *x.shape))
        measured.append((watch.statistics(), watch.dead_by_definition(), watch.peaks()))
        assert not any(site.coupling for sites in watch._sites.values() for site in sites)
    assert torch.equal(measured[0][0], measured[1][0]) and torch.equal(measured[0][1], measured[1][1])
    assert all(torch.equal(peak, measured[1][2][layer]) for layer, peak in measured[0][2].items())


class Softmax(nn.Module):
    def forward(self, z):
        return torch.softmax(z, 1)


def test_the_gain_is_that_of_a_layer_and_not_of_one_unit():
    """Softmax over one unit is 1; over 100 its squares are of about e/100²."""
    z = torch.randn(100_000, 100, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = float(torch.softmax(z, 1).square().mean().rsqrt())
    assert auto_gain(Softmax(), units=100) == pytest.approx(expected, rel=5e-3)


# ---------------------------------------------------------------- numbers that are none


def test_a_unit_without_numbers_leaves_its_layer_without_shares():
    """Of one seed: those beside it have theirs."""
    z = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(1))
    sound = SiteSums(torch.relu)
    sound.observe(z)
    for bad in (math.nan, math.inf):
        spoilt = z.clone()
        spoilt[1, 7, 3] = bad
        site = SiteSums(torch.relu)
        site.observe(spoilt[:, :20])
        site.observe(spoilt[:, 20:])
        assert bool(site.statistics()[:, 1].isnan().all()) and bool(site.dead_by_definition()[:, 1].isnan().all())
        for others in (0, 2):
            assert torch.equal(site.statistics()[:, others], sound.statistics()[:, others])
            assert torch.equal(site.dead_by_definition()[:, others], sound.dead_by_definition()[:, others])
        assert site.peaks()[1].isnan().tolist() == [False, False, False, True, False]
        quick = SiteSums(torch.relu, thorough=False)
        quick.observe(spoilt)
        assert torch.equal(quick.peaks().isnan(), site.peaks().isnan())


def test_z_of_minus_infinity_is_a_number_to_relu():
    z = torch.ones(1, 4, 2)
    z[0, :, 1] = -math.inf
    site = SiteSums(torch.relu)
    site.observe(z)
    assert site.statistics()[:4, 0].tolist() == [0.5, 0.5, 0.5, 0.5]


def test_what_is_not_known_is_a_dash_in_the_terminal_and_nowhere_in_tensorboard():
    from rich.console import Console

    from actbench.measures.layers import LayerRecord
    from actbench.measures.units import network_ratio
    from actbench.records import Epoch
    from actbench.sinks.tags import Tags
    from actbench.sinks.terminal import layer_table, undefined

    known = LayerRecord(0, 1, "hidden1", 8, 0.25, 0.5, 0.125, 0.5, 0.1, 1.0, 1.0)
    partly = LayerRecord(0, 1, "hidden2", 8, 0.0, 0.5, math.nan, 0.5, 0.1, 1.0, 1.0)
    lost = LayerRecord(1, 1, "hidden1", 8, *[math.nan] * 7)
    assert math.isnan(network_ratio([known, partly], "saturated")) and network_ratio([known, partly], "dead") == 0.125
    console = Console(width=100)
    with console.capture() as caught:
        console.print(layer_table([known, partly]))
    lines = [line.split() for line in caught.get().splitlines() if line.strip()]
    assert lines[-2] == ["hidden2", "8", "0.0", "50.0", "–", "50.0"]
    assert lines[-1] == ["all", "16", "12.5", "50.0", "–", "50.0"]
    assert undefined([known, partly, lost]) == ["saturated: not defined for this activation (hidden2)"]
    with console.capture() as caught:
        console.print(layer_table([lost]))
    assert caught.get().split()[-4:] == ["–"] * 4
    scalars = list(Tags().of(Epoch(number=1, rows=(known, partly))))
    tags = [tag for _, tag, _, _ in scalars]
    assert "saturated_ratio/hidden1" in tags and "saturated_ratio/all" not in tags
    assert len({*tags}) == len(tags) == 3 + 7 + 6 and not any(math.isnan(value) for *_, value in scalars)
    assert list(Tags().of(Epoch(number=1, rows=(lost,)))) == []


def test_a_run_with_an_activation_of_ones_own_tells_what_it_can(actbench, tmp_path, tiny):
    (tmp_path / "conf/activation").mkdir(parents=True)
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Centred(nn.Module):\n    def forward(self, z):\n"
        "        h = torch.tanh(z)\n        return h - h.mean(1, keepdim=True)\n\n\nclass Batch(nn.Module):\n"
        "    def forward(self, z):\n        h = torch.tanh(z)\n        return h - h.mean(0, keepdim=True)\n"
    )
    for name in ("Centred", "Batch"):
        file = tmp_path / f"conf/activation/{name.lower()}.yaml"
        file.write_text(f"# {name}\n_target_: mine.{name}\n_partial_: true\n")
    done = actbench("activation=centred", *tiny, "trust=mine", "study=a")
    assert done.returncode == 0, done.stderr
    assert "units dead" not in done.stdout and "not defined" not in done.stdout
    summary = json.loads(next((tmp_path / "outputs/a").glob("*/summary.json")).read_text())
    assert summary["metrics"]["dead_ratio"]["values"] == [0.0, 0.0]
    assert all(0 <= value < 0.5 for value in summary["metrics"]["saturated_ratio"]["values"])

    done = actbench("activation=batch", *tiny, "trust=mine", "study=b")
    assert done.returncode == 0, done.stderr
    assert "saturated: not defined for this activation (hidden1)" in done.stdout
    assert "nan" not in done.stdout
    summary = json.loads(next((tmp_path / "outputs/b").glob("*/summary.json")).read_text())
    assert summary["metrics"]["saturated_ratio"]["mean"] is None
    assert not [finding for finding in summary["findings"] if "saturated" in finding["symptom"]]
    rows = next((tmp_path / "outputs/b").glob("*/layers.csv")).read_text().splitlines()
    saturated = rows[0].split(",").index("saturated")
    assert {row.split(",")[saturated] for row in rows[1:]} == {"nan"}
    report = actbench("report", "outputs/b")
    assert report.returncode == 0, report.stderr
    assert "nan" not in report.stdout


def test_a_layer_that_overflows_beside_sound_seeds_has_no_numbers(monkeypatch):
    from actbench.measures.definitions import DefinitionRecord
    from actbench.train import Control, fit

    training = build_training(monkeypatch, random_splits(), "num_seeds=2", "model.width=8", "train.epochs=1")
    with torch.no_grad():
        training.network.groups[0].network.hidden1.linear.weight[1] = math.nan
    for epoch in fit(training, control=Control()):
        lost, sound = epoch.of_seed(1), epoch.of_seed(0)
        assert all(math.isnan(getattr(row, name)) for row in lost for name in (*STATISTICS, "died", "dead_at_init"))
        assert not any(math.isnan(getattr(row, name)) for row in sound for name in (*STATISTICS, "died"))
        shares = {definition.share for definition in epoch.of(DefinitionRecord) if definition.seed == 1}
        assert all(math.isnan(share) for share in shares)
