"""What the report shows of the insides: findings, units that died, INT8, learned shapes, and where training stops."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import fake_run, settings_of
from scipy import stats

from actbench.errors import UserError
from actbench.measures.definitions import DefinitionRecord
from actbench.measures.int8 import QuantisedRecord
from actbench.measures.layers import LayerRecord
from actbench.measures.lives import LookRecord, UnitEvent
from actbench.measures.shapes import ShapeRecord
from actbench.records import Finding
from actbench.report import runs
from actbench.report.command import make_report
from actbench.report.configurations import blocks
from actbench.report.findings import ConfigurationFinding, findings_table
from actbench.report.plots import draw_plots
from actbench.report.plots.depth import over_depth
from actbench.report.plots.raster import PANELS, Raster, in_order_of_death, raster, rasters, seeds_of, select_panels
from actbench.report.plots.shapes import learned, shape_panels, shapes
from actbench.report.seed_records import most_dead, records_by_seed
from actbench.report.tables import comparison_tables
from actbench.report.trainable_depth import depth_series

BASE = ["dataset=digits", "train.epochs=3", "num_seeds=3"]
DIED = Finding("units died", "74 % of 512", "steps too large", ("optimizer.lr=0.001", "activation=leaky_relu"))
JUMPS = Finding("validation accuracy jumps", "3.1 points", "overfitting", ("dropout=0.3",))


def settings(*overrides):
    return settings_of(*BASE, *overrides)


def a_run(folder, *overrides, mean=97.0, **other):
    own = settings(*overrides)
    values = other.pop("values", [mean + 0.1 * seed for seed in own.seeds])
    return fake_run(folder / own.folder, own, values, **other)


def configurations(folder):
    (block,) = blocks(runs.find([folder]).runs)
    return {one.name: one for one in block.configurations}


def comparison_of(folder):
    (comparison,) = make_report([folder]).comparisons
    return comparison


def the_table(folder, title, **how):
    """A table of the one block as (row -> header -> cell), and the table; None where it is not shown."""
    for table in comparison_tables(comparison_of(folder), **how):
        if table.title == title:
            return {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}, table
    return None


def layer(seed, epoch, name="hidden1", units=16, dead=0.0, **other):
    return LayerRecord(seed, epoch, name, units, dead, 0.1, 0.1, 0.5, 0.0, 1.0, 1.0, **other)


def watched(seed, epoch, name="hidden1", units=16, at_init=0.0, died=0.0, **other):
    """A layer's record as the present version writes it."""
    return layer(seed, epoch, name, units, at_init + died, dead_at_init=at_init, died=died, **other)


# ---------------------------------------------------------------- findings


def test_where_nothing_went_wrong_nothing_is_shown(tmp_path):
    a_run(tmp_path, "activation=relu")
    (comparison,) = make_report([tmp_path]).comparisons
    titles = [table.title for table in comparison_tables(comparison)]
    assert titles == ["Results", "Cost"]


def test_a_finding_is_told_with_evidence_cause_and_remedies(actbench, tmp_path):
    a_run(tmp_path, "activation=relu", findings=(DIED, JUMPS))
    a_run(tmp_path, "activation=gelu")
    _, table = the_table(tmp_path, "What went wrong inside")
    assert table.rows == (
        ("units died", "relu", "74 % of 512", "steps too large", "optimizer.lr=0.001; activation=leaky_relu"),
        ("validation accuracy jumps", "relu", "3.1 points", "overfitting", "dropout=0.3"),
    )
    done = actbench("report", ".", "--table", "--full", env={"COLUMNS": "60"})
    told = [line.strip() for line in done.stdout.split("What went wrong inside")[1].splitlines() if line.strip()][:8]
    assert told == [
        "units died: relu", "74 % of 512", "steps too large", "try optimizer.lr=0.001", "try activation=leaky_relu",
        "validation accuracy jumps: relu", "3.1 points", "overfitting",
    ]  # fmt: skip


def test_runs_of_one_configuration_tell_a_symptom_once_and_whose_it_is(tmp_path):
    a_run(tmp_path / "a", "activation=relu", findings=(DIED,))
    other = replace(DIED, evidence="70 % of 512", remedies=("init=he_normal", "optimizer.lr=0.001"))
    a_run(tmp_path / "b", "activation=relu", "seed=3", "num_seeds=1", findings=(other,))
    cells, table = the_table(tmp_path, "What went wrong inside")
    assert len(table.rows) == 1
    assert cells["units died"]["evidence"] == "seeds 0–2: 74 % of 512; seed 3: 70 % of 512"
    assert cells["units died"]["what to try"] == "optimizer.lr=0.001; activation=leaky_relu; init=he_normal"


def test_the_code_of_a_finding_stands_before_its_symptom():
    finding = ConfigurationFinding("relu", "dead-units", "units died", "74 %", "steps too large", ("norm=batch",))
    table = findings_table([finding])
    assert table.rows[0][0] == "dead-units: units died"
    assert "actbench list CODE" in table.note
    earlier = findings_table([replace(finding, code="")])  # of a version without codes
    assert earlier.rows[0][0] == "units died"
    assert "CODE" not in earlier.note


def test_a_run_that_was_trained_again_finds_nothing_any_more(tmp_path):
    a_run(tmp_path / "old", "activation=relu", findings=(DIED,), time="2026-01-01")
    a_run(tmp_path / "new", "activation=relu", time="2026-02-01")
    assert the_table(tmp_path, "What went wrong inside") is None


def test_a_finding_of_many_configurations_is_told_once_with_all_of_them(actbench, tmp_path):
    """Its range in the short form; what was measured in each with `--full` and on the page."""
    names = ("relu", "gelu", "elu", "selu", "tanh")
    for number, name in enumerate(names):
        died = Finding("units died", f"hidden1: {70 + number}.5 % of 512 units dead (seeds 1–2 %)", "steps too large",
                       ("optimizer.lr=0.001", *(["norm=batch"] if number else [])), "dead-units")  # fmt: skip
        a_run(tmp_path / "study", f"activation={name}", findings=(died, JUMPS))
    done = actbench("report", "study", env={"COLUMNS": "120"})
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("dead-units: ")]
    assert line.endswith(": 70.5–74.5 % of 512 units dead; try optimizer.lr=0.001")
    assert all(re.search(rf"\b{name}\b", line) for name in names)
    _, table = the_table(tmp_path / "study", "What went wrong inside")
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert len(table.rows) == 2
    assert {*row["configurations"].split(", ")} == {*names}
    assert row["what to try"].startswith("optimizer.lr=0.001; norm=batch (")
    assert "relu" not in row["what to try"].replace("selu", "").replace("leaky_relu", "").replace("gelu", "")
    _, detail = the_table(tmp_path / "study", "Evidence in each configuration")
    assert ("dead-units: units died", "relu", "hidden1: 70.5 % of 512 units dead (seeds 1–2 %)") in detail.rows
    full = actbench("report", "study", "--full", "--table", env={"COLUMNS": "80"}).stdout
    page = (tmp_path / "study" / "report" / "report.html").read_text()
    markdown = (tmp_path / "study" / "report" / "report.md").read_text()
    for text in (full, page, markdown):
        assert text.count("steps too large") == 1
        assert all(f"7{number}.5 % of 512 units dead" in text for number in range(5))


def test_no_part_of_a_name_is_missing_where_much_is_wrong(actbench, tmp_path):
    """Names often differ in their ends alone."""
    for clip in ("norm", "none"):
        for name in ("relu", "gelu"):
            plain = (f"activation={name}", f"clip={clip}")
            a_run(tmp_path / "study", *plain, findings=(DIED, JUMPS))
            a_run(tmp_path / "study", *plain, "init=orthogonal", "norm=layer", "model.depth=3", findings=(DIED, JUMPS))
    done = actbench("report", "study", "--full", env={"COLUMNS": "90"})
    told = done.stdout.split("What went wrong inside")[1].split("what to try")[0]
    assert [told.count(f"clip={clip}: ") for clip in ("norm", "none")] == [8, 8]


def test_what_was_edited_into_a_finding_brings_nothing_down(tmp_path):
    folder = a_run(tmp_path, "activation=relu", findings=(DIED,))
    content = json.loads((folder / "summary.json").read_text())
    for wrong in (
        {"symptom": None},
        {"evidence": [1]},
        {"cause": {}},
        {"remedies": [None, 3]},
        {"remedies": 5},
        {"x": 1},
    ):
        content["findings"] = [{"symptom": "s", "evidence": "e", "cause": "c", "remedies": [], **wrong}]
        (folder / "summary.json").write_text(json.dumps(content))
        report = make_report([tmp_path])
        assert [comparison_tables(comparison) for comparison in report.comparisons] or report.problems


# ---------------------------------------------------------------- life and death


def test_the_life_of_units_by_hand(tmp_path):
    """Layers of 10 and 30 units, two seeds: shares are over all 40 units, numbers are sums over layers and epochs."""
    rows = []
    for seed in (0, 1):
        rows += [
            watched(seed, 0, "a", 10, at_init=0.2),
            watched(seed, 0, "b", 30),
            watched(seed, 1, "a", 10, at_init=0.1, died=0.1, births=1, deaths=1, dead_for=1.0),
            watched(seed, 1, "b", 30, died=0.5, deaths=15, dead_for=0.0),
            watched(seed, 3, "a", 10, at_init=0.1, died=0.1 + 0.2 * seed, deaths=2 * seed, dead_for=3.0),
            watched(seed, 3, "b", 30, died=0.4, deaths=1, revivals=4, dead_for=2.0),
        ]
    a_run(tmp_path, "num_seeds=2", tables={LayerRecord: rows})
    cells, table = the_table(tmp_path, "Life and death of units")
    relu = cells["relu"]
    assert relu["dead before %"] == "5.0"  # 2 of 40
    assert relu["never alive %"] == "2.5"  # 1 of 40
    died = [(1 + 12) / 40, (3 + 12) / 40]
    assert relu["died %"] == f"{100 * np.mean(died):.1f}"
    half = stats.t.isf(0.025, 1) * np.std(died, ddof=1) / math.sqrt(2)
    assert relu["dead after %"] == f"{100 * np.mean(died) + 2.5:.1f} ± {100 * half:.1f}"
    assert (relu["deaths"], relu["revivals"], relu["births"]) == ("18.0", "4.0", "1.0")  # 17 and 19
    dead_for = [(2 * 3 + 12 * 2) / 14, (4 * 3 + 12 * 2) / 16]  # dead units × their mean
    assert (relu["dead for (epochs)"], relu["units"]) == (f"{np.mean(dead_for):.1f}", "40")
    assert all(len(row) == len(table.header) for row in table.rows)


def test_seeds_that_diverged_have_no_part_and_the_newest_run_of_a_seed_counts(tmp_path):
    died = [watched(seed, e, died=1.0 if seed == 1 and e else 0.25 * e / 3) for seed in range(3) for e in (0, 3)]
    a_run(tmp_path, tables={LayerRecord: died}, diverged={1: 2})
    assert the_table(tmp_path, "Life and death of units")[0]["relu"]["died %"] == "25.0"
    again = [watched(2, e, died=0.75 if e else 0.0) for e in (0, 3)]
    a_run(tmp_path / "new", "seed=2", "num_seeds=1", tables={LayerRecord: again}, time="2026-02-01", values=[97.2])
    assert the_table(tmp_path, "Life and death of units")[0]["relu"]["died %"] == "50.0"
    a_run(tmp_path / "last", "seed=2", "num_seeds=1", tables={LayerRecord: []}, time="2026-03-01", values=[97.2])
    (one,) = configurations(tmp_path).values()
    assert list(records_by_seed(one, LayerRecord)) == [0]  # what an older run says of seed 2 is no longer true of it


def test_networks_that_lost_nothing_and_runs_of_earlier_versions_have_no_such_table(tmp_path):
    alive = [watched(seed, epoch) for seed in range(3) for epoch in (0, 3)]
    a_run(tmp_path / "a", tables={LayerRecord: alive})
    assert the_table(tmp_path / "a", "Life and death of units") is None
    a_run(tmp_path / "b")  # dead units, and not who they were
    assert the_table(tmp_path / "b", "Life and death of units") is None
    assert rasters(configurations(tmp_path / "b")["relu"]) == []


def test_of_many_configurations_those_with_most_dead_units_are_read(tmp_path):
    names = ("relu", "gelu", "elu", "selu")
    for number, name in enumerate(names):
        a_run(tmp_path, f"activation={name}", mean=90 + number, dead=0.1 * number)
    found = most_dead(list(configurations(tmp_path).values()), at_most=2)
    assert [one.name for one in found] == ["selu", "elu"]


def test_the_definitions_weigh_units_and_take_the_last_epoch(tmp_path):
    rows = []
    for seed in range(3):
        for name, units, exact, dormant in (("a", 10, 0.5, 0.6), ("b", 30, 0.1, 0.2 + 0.1 * (seed - 1))):
            rows += [DefinitionRecord(seed, 1, name, units, "exact", 1.0)]
            rows += [DefinitionRecord(seed, 3, name, units, "exact", exact)]
            rows += [DefinitionRecord(seed, 3, name, units, "dormant<=0.025", dormant)]
            rows += [DefinitionRecord(seed, 3, name, units, "fires<1%", 0.9)]
    a_run(tmp_path, "activation=relu", tables={DefinitionRecord: rows})
    none = [replace(row, share=0.0) for row in rows]
    a_run(tmp_path, "activation=gelu", mean=90.0, tables={DefinitionRecord: none})
    a_run(tmp_path, "activation=elu")
    cells, table = the_table(tmp_path, "Dead by definition")
    assert table.header == ("configuration", "exact", "fires<1%", "dormant<=0.025")
    assert tuple(cells["relu"].values()) == ("relu", "20.0", "90.0", "30.0")
    assert set(cells) == {"relu"}
    assert "no unit dead by any of these in gelu" in table.note


def test_where_no_definition_calls_a_unit_dead_there_is_no_table(tmp_path):
    rows = [DefinitionRecord(seed, 3, "a", 10, "exact", 0.0) for seed in range(3)]
    a_run(tmp_path, tables={DefinitionRecord: rows})
    assert the_table(tmp_path, "Dead by definition") is None


# ---------------------------------------------------------------- the raster


def random_life(rng, units, looks, seed=0):
    """Who is dead at each look (units, looks), and the same as events and layers."""
    dead = rng.random((units, looks)) < 0.4
    events, lived = [], np.zeros(units, dtype=bool)
    for k in range(looks):
        for unit in range(units):
            was = dead[unit, k - 1] if k else None
            if k == 0 and dead[unit, 0]:
                events.append(UnitEvent(seed, 0, 0.0, "hidden1", unit, "dead"))
            elif k and dead[unit, k] != was:
                name = "death" if dead[unit, k] else "revival" if lived[unit] else "birth"
                events.append(UnitEvent(seed, 10 * k, k / 4, "hidden1", unit, name))
        lived |= ~dead[:, k]
    epochs = [watched(seed, k // 4, units=units, died=float(dead[:, k].mean())) for k in range(0, looks, 4)]
    looked = [LookRecord(seed, 10 * k, k / 4, "hidden1", units, 0.0, 0, 0, 0, 0.0, 0.0, 0.0) for k in range(looks)]
    return dead, {UnitEvent: events, LayerRecord: epochs, LookRecord: looked}


def test_the_state_at_each_look_is_rebuilt_from_what_changed(tmp_path):
    dead, tables = random_life(np.random.default_rng(3), units=20, looks=13)
    a_run(tmp_path, "num_seeds=1", tables=tables)
    (found,) = rasters(configurations(tmp_path)["relu"])
    assert np.array_equal(found.dead, dead)
    assert found.epochs == pytest.approx(np.arange(13) / 4)
    assert found.ever_dead == sum(any(row) for row in dead)
    (axes,) = raster([("relu", found)], named=False).axes
    drawn = axes.images[0].get_array()
    assert np.array_equal(drawn, dead[in_order_of_death(dead)])
    assert axes.images[0].get_extent() == pytest.approx([-1 / 8, 3 + 1 / 8, 0, 20])


def test_looks_at_uneven_times_have_the_width_of_the_time_between_them():
    """Dead at 0, 1 and not at 1.5, 4: of the axis from -0.5 to 5.25 the part before 1.25 is dark."""
    found = Raster("hidden1", 0, np.array([0.0, 1.0, 1.5, 4.0]), np.array([[True, True, False, False]]))
    (axes,) = raster([("relu", found)], named=False).axes
    assert axes.images[0].get_extent() == pytest.approx([-0.5, 5.25, 0, 1])
    assert axes.images[0].get_array().mean() == pytest.approx(1.75 / 5.75, abs=0.003)


def test_units_are_sorted_by_their_death():
    dead = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 1], [0, 0, 1], [0, 1, 1], [1, 0, 0]], dtype=bool)
    assert list(in_order_of_death(dead)) == [2, 5, 4, 1, 3, 0]


def test_one_seed_is_drawn_the_first_that_did_not_diverge(tmp_path):
    events, layers = [], []
    for seed in range(3):
        events += [UnitEvent(seed, 10, 1.0, "hidden1", unit, "death") for unit in range(seed + 1)]
        layers += [watched(seed, epoch) for epoch in range(4)]
    a_run(tmp_path, tables={UnitEvent: events, LayerRecord: layers}, diverged={0: 3})
    (found,) = rasters(configurations(tmp_path)["relu"])
    assert (found.seed, found.ever_dead) == (1, 2)
    assert seeds_of([("relu", found)]) == "Seed 1."
    assert seeds_of([("relu", found), ("gelu", replace(found, seed=0))]) == "One seed of each: 1 of relu, 0 of gelu."


def test_the_panels_are_bounded_and_shared_out_and_few_units_make_none():
    def made(name, share, units=100):
        dead = np.zeros((units, 4), dtype=bool)
        dead[: round(share * units), 1:] = True
        return Raster(name, 0, np.arange(4.0), dead)

    relu = [made(f"hidden{k}", 0.5 + 0.01 * k) for k in range(1, 31)]
    elu = [made(f"hidden{k}", 0.01 * (k % 4)) for k in range(1, 31)]
    shown, words = select_panels({"relu": relu, "elu": elu, "gelu": [made("hidden1", 0.0)]})
    assert len(shown) == PANELS
    most = [f"hidden{k}" for k in range(31 - PANELS // 2, 31)]
    assert [raster.layer for name, raster in shown if name == "relu"] == most
    assert [name for name, _ in shown].count("elu") == PANELS // 2
    assert words == (  # 30 of relu, and of elu the 15 with 2 or 3 of 100
        f"Drawn: {PANELS} of the 45 layers in which 2 % of the units or more were dead at some time, those with most "
        "dead units."
    )
    few, words = select_panels({"elu": [made("hidden1", 0.0), made("hidden2", 0.01)]})
    assert [raster.layer for _, raster in few] == ["hidden2"]
    assert words == "Drawn: the layer in which most units died."
    assert select_panels({"gelu": [made("hidden1", 0.0)]}) == ([], "")


def test_a_unit_beyond_the_layer_is_left_out(tmp_path):
    """A file that was edited, or belongs to another run."""
    events = [UnitEvent(0, 10, 1.0, "hidden1", unit, "death") for unit in (3, 16, 99)]
    a_run(tmp_path, "num_seeds=1", tables={UnitEvent: events, LayerRecord: [watched(0, e) for e in range(4)]})
    (found,) = rasters(configurations(tmp_path)["relu"])
    assert list(np.flatnonzero(found.dead.any(axis=1))) == [3]


# ---------------------------------------------------------------- learned shapes


def test_learned_parameters_are_drawn_with_their_interval(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(0.25, 0.05, (3, 4))  # seeds, epochs
    rows = [ShapeRecord(s, e, "hidden1", "weight", values[s, e], 0.1, 0.0, 1.0) for s in range(3) for e in range(4)]
    a_run(tmp_path, "activation=prelu", tables={ShapeRecord: rows})
    found = shapes(configurations(tmp_path)["prelu"])
    epochs, band = found["slope a"]["hidden1"]
    assert list(epochs) == [0, 1, 2, 3]
    low, high = stats.t.interval(0.95, 2, values.mean(0), stats.sem(values))
    assert band == pytest.approx(np.array([values.mean(0), low, high]))
    panels = shape_panels({"prelu": found})
    assert [panel.title for panel in panels] == ["prelu: slope a"]
    (axes,) = learned(panels)[0].axes
    assert axes.lines[0].get_ydata() == pytest.approx(values.mean(0))
    bottom, top = axes.get_ylim()
    assert bottom < values.mean(0).min() < values.mean(0).max() < top


def test_two_seeds_do_not_blow_the_axis_up(tmp_path):
    rows = [ShapeRecord(s, e, "a", "beta", 1 + 0.1 * e + 0.2 * s, 0, 0, 0) for s in range(2) for e in range(4)]
    a_run(tmp_path, "activation=swish", "num_seeds=2", tables={ShapeRecord: rows})
    (axes,) = learned(shape_panels({"swish": shapes(configurations(tmp_path)["swish"])}))[0].axes
    bottom, top = axes.get_ylim()
    assert 0.7 < bottom < 1.1 < 1.4 < top < 1.8  # the interval reaches ± 1.27


# ---------------------------------------------------------------- INT8


def test_int8_is_ranked_by_its_noise(tmp_path):
    table = {"relu": (97.0, [0.5, 0.4, 0.6], [0.3, 0.1, 0.2]), "gelu": (98.0, [0.1, 0.0, -0.1], [0.9, 0.9, 0.9])}
    for name, (mean, symmetric, affine) in table.items():
        values = [mean + 0.1 * seed for seed in range(3)]
        metrics = {
            "int8_symmetric_accuracy": [v - lost for v, lost in zip(values, symmetric, strict=True)],
            "int8_affine_accuracy": [v - lost for v, lost in zip(values, affine, strict=True)],
            "int8_symmetric_snr": [34.0, 35.0, 36.0] if name == "gelu" else [20.0, 21.0, 22.0],
            "int8_affine_snr": [30.0, 31.0, 32.0],
        }
        rows = [
            QuantisedRecord(seed, scheme, layer, 20.0, own)
            for seed in range(3) for scheme in ("symmetric", "affine")
            for layer, own in (("hidden1", 33.0 + seed), ("hidden2", 30.0), ("output", -5.0), ("hidden3", math.inf))
        ]  # fmt: skip
        a_run(tmp_path, f"activation={name}", values=values, more_metrics=metrics, tables={QuantisedRecord: rows})
    a_run(tmp_path, "activation=elu")
    cells, table = the_table(tmp_path, "In INT8, least noise first")
    assert list(cells) == ["gelu", "relu"]
    half = stats.t.isf(0.025, 2) * 0.1 / math.sqrt(3)
    assert cells["relu"]["lost, symmetric"] == f"0.50 ± {half:.2f}"
    assert cells["relu"]["lost, affine"] == f"0.20 ± {half:.2f}"
    assert cells["gelu"]["lost, affine"] == "0.90 ± 0.00"
    assert cells["relu"]["affine, SNR dB"] == "31.0"
    assert cells["relu"]["worst layer, symmetric"] == "hidden2 (30.0)"
    assert all(len(row) == len(table.header) for row in table.rows)


def test_a_seed_without_a_score_in_int8_has_no_part_in_the_loss(tmp_path):
    metrics = {"int8_affine_accuracy": [96.0, math.nan, 96.2]}
    a_run(tmp_path, values=[97.0, 50.0, 97.2], more_metrics=metrics)
    cells, _ = the_table(tmp_path, "In INT8, least noise first")
    assert cells["relu"]["lost, affine"] == "1.00 ± 0.00"
    assert cells["relu"]["lost, symmetric"] == cells["relu"]["worst layer, affine"] == "–"


# ---------------------------------------------------------------- depth


def test_where_training_stops(tmp_path):
    table = {
        ("relu", 10): ([97, 97, 97], None), ("relu", 20): ([97, 97, 51], None), ("relu", 30): ([97, 49, 10], None),
        ("gelu", 10): ([97, 97, 97], None), ("gelu", 20): ([97, 97, 97], {2: 1}), ("gelu", 30): ([97, 97, 97], None),
        ("tanh", 10): ([10, 10, 10], None), ("tanh", 20): ([10, 10, 10], dict.fromkeys(range(3), 1)),
    }  # fmt: skip
    for (name, depth), (values, diverged) in table.items():
        a_run(tmp_path, f"activation={name}", f"model.depth={depth}", values=values, diverged=diverged)
    cells, table = the_table(tmp_path, "Where training stops")
    rows = {name: tuple(row.values())[1:] for name, row in cells.items()}
    assert rows["relu"] == ("20", "30", "1 of 3", "52.00", "10, 20, 30")
    assert rows["gelu"] == ("30", "20", "2 of 3", "97.00", "10, 20, 30")  # not monotone: both are told
    assert rows["tanh"] == ("–", "10", "0 of 3", "10.00", "10, 20")
    assert [row[0] for row in table.rows] == ["gelu", "relu", "tanh"]
    assert "above 50 %" in table.note


def test_each_combination_of_the_other_settings_has_a_line(tmp_path):
    for clip in ("none", "norm"):
        for depth in (2, 4):
            stopped = clip == "none" and depth == 4
            a_run(tmp_path, f"clip={clip}", f"model.depth={depth}", mean=20.0 if stopped else 97.0)
    cells, _ = the_table(tmp_path, "Where training stops")
    assert {name: row["all trained to"] for name, row in cells.items()} == {
        "clip=norm": "4",
        "clip=none": "2",
    }


def test_one_depth_is_no_question(tmp_path):
    for name in ("relu", "gelu"):
        a_run(tmp_path, f"activation={name}", "model.depth=3")
    assert the_table(tmp_path, "Where training stops") is None
    assert "depth" not in [plot.name for plot in draw_plots(comparison_of(tmp_path), [])]


def test_accuracy_is_drawn_over_depth(tmp_path):
    table = {("relu", 10): ([97, 95], None), ("relu", 30): ([60, 40], None), ("tanh", 10): ([90, 91], None)}
    table["tanh", 30] = ([10, 10], {0: 1, 1: 1})
    for (name, depth), (values, diverged) in table.items():
        own = (f"activation={name}", f"model.depth={depth}", "num_seeds=2")
        a_run(tmp_path, *own, values=values, diverged=diverged)
    comparison = comparison_of(tmp_path)
    assert "depth" in [plot.name for plot in draw_plots(comparison, [])]
    axes = over_depth(depth_series(comparison.block)).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["relu"].get_ydata()) == [96, 50]
    assert list(lines["relu"].get_xdata()) == pytest.approx([10, 30], abs=0.2)
    assert lines["tanh"].get_ydata()[0] == 90.5 and math.isnan(lines["tanh"].get_ydata()[1])
    dots = [tuple(point) for drawn in axes.collections for point in drawn.get_offsets()]
    assert sorted(y for x, y in dots if x > 20) == [0, 40, 60]  # a cross for tanh, rings for the seeds of relu


def test_each_of_many_lines_over_depth_has_its_name(tmp_path):
    names = ["relu", "gelu", "tanh", "elu", "selu", "mish", "silu"]
    for name in names:
        for depth in (2, 4):
            a_run(tmp_path, f"activation={name}", f"model.depth={depth}", mean=97.0)
    (axes,) = over_depth(depth_series(comparison_of(tmp_path).block)).axes
    assert sorted(text.get_text() for text in axes.texts) == sorted(names)


# ---------------------------------------------------------------- files


def everything(folder, **other):
    """A run with all the files there are."""
    rng = np.random.default_rng(0)
    tables = random_life(rng, 16, 13)[1]
    tables[DefinitionRecord] = [DefinitionRecord(0, 3, "hidden1", 16, "exact", 0.3)]
    tables[ShapeRecord] = [ShapeRecord(0, e, "hidden1", "weight", 0.25 + 0.1 * e, 0, 0.2, 0.3) for e in range(4)]
    tables[QuantisedRecord] = [QuantisedRecord(0, "affine", "hidden1", 20.0, 30.0)]
    metrics = {"int8_affine_accuracy": [96.0], "int8_affine_snr": [20.0]}
    return a_run(
        folder, "activation=prelu", "num_seeds=1", tables=tables, more_metrics=metrics, findings=(DIED,), **other
    )


TITLES = (
    "What went wrong inside",
    "Life and death of units",
    "Dead by definition",
    "In INT8, least noise first",
)


@pytest.mark.rendered
def test_the_page_and_the_terminal_have_it_all(actbench, tmp_path):
    everything(tmp_path / "study")
    done = actbench("report", "study", "--full")
    assert (done.returncode, done.stderr) == (0, "")
    report = tmp_path / "study" / "report"
    page, markdown = ((report / name).read_text() for name in ("report.html", "report.md"))
    for title in TITLES:
        assert title in done.stdout
        assert title in page
        assert f"### {title}" in markdown
    for name in ("raster", "shapes"):
        assert (report / "plots" / f"{name}.png").stat().st_size > 5000
        assert f"](plots/{name}.png)" in markdown
    assert "Seed 0." in markdown
    assert "int8_affine_accuracy" in (report / "results.csv").read_text()


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("units.csv", []),
        ("looks.csv", []),
        ("shapes.csv", []),
        ("definitions.csv", ["Dead by definition"]),
        ("layers.csv", ["Life and death of units"]),
        ("quantised.csv", []),  # but for the worst layer
    ],
)
def test_a_torn_file_costs_what_needs_it_and_no_more(actbench, tmp_path, name, lost):
    (everything(tmp_path / "study") / name).write_text("seed,epoch\n1,x\n")
    done = actbench("report", "study", "--full")
    assert done.returncode == 2
    assert f"{name}: cannot be read" in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert [title for title in TITLES if title not in done.stdout] == lost
    assert "reaches 97.00" in (tmp_path / "study" / "report" / "report.html").read_text()


def test_a_torn_file_is_one_problem_however_often_it_is_needed(tmp_path):
    folder = everything(tmp_path)
    (folder / "layers.csv").write_text("seed,epoch\n1,x\n")
    with pytest.raises(UserError, match="cannot be read"):
        records_by_seed(configurations(tmp_path)["prelu"], LayerRecord)
    from actbench.report import page

    report = make_report([tmp_path])
    page.write(report.comparisons, report.problems, tmp_path / "report")
    assert len(report.problems) == 1
