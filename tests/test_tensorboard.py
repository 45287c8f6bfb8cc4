"""What TensorBoard will find: read back with TensorBoard's own reader."""

from __future__ import annotations

import csv
import json

import pytest
from processes import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from actbench.sinks.logdir import events_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One finished run, and TensorBoard's view of its mean and its three seeds."""
    home = tmp_path_factory.mktemp("run")
    overrides = ["dataset=digits", "train.epochs=2", "num_seeds=3", "model.width=8", "model.depth=2", "train.threads=1",
                 "activation=prelu", "upper_activation=gelu"]  # fmt: skip
    done = Command(*overrides, cwd=home, pictures=True).wait()
    assert done.returncode == 0, done.stderr
    (folder,) = {path.parent for path in home.glob("**/settings.yaml")}
    views = {}
    for name in ("mean", "seed=0", "seed=1", "seed=2"):
        path = events_of(folder) / ("" if name == "mean" else name)
        view = EventAccumulator(str(path), size_guidance={"images": 0, "histograms": 0, "scalars": 0})
        views[name] = view.Reload()
    return folder, views


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def values(view, tag):
    return [(event.step, event.value) for event in view.Scalars(tag)]


def test_scalars_are_those_of_the_files(run):
    folder, views = run
    history, layers = rows(folder / "history.csv"), rows(folder / "layers.csv")
    for seed in ("0", "1", "2"):
        view = views[f"seed={seed}"]
        own = [row for row in history if row["seed"] == seed]
        columns = {"loss/train": "train_loss", "loss/val": "val_loss", "accuracy/val": "val_accuracy", "lr": "lr"}
        for tag, column in columns.items():
            assert values(view, tag) == [(int(r["epoch"]), pytest.approx(float(r[column]), rel=1e-6)) for r in own]
        for layer in ("hidden1", "hidden2"):
            of_layer = [row for row in layers if row["seed"] == seed and row["layer"] == layer]
            pairs = {"dead_ratio": "dead", "dormant_ratio": "dormant", "saturated_ratio": "saturated",
                     "active_ratio": "active", "output_mean": "mean", "grad_norm": "grad_norm"}  # fmt: skip
            for tag, column in pairs.items():
                expected = [(int(r["epoch"]), pytest.approx(float(r[column]), rel=1e-6)) for r in of_layer]
                assert values(view, f"{tag}/{layer}") == expected
        assert len(values(view, "dead_ratio/all")) == 3  # epochs 0, 1, 2


def test_the_scalars_of_a_step_are_one_record(run):
    """Records cost more than what is in them, on the disk and in TensorBoard."""
    folder, _ = run
    for place in (events_of(folder), events_of(folder) / "seed=0"):
        (path,) = place.glob("*tfevents*")
        values = [event.summary.value for event in EventFileLoader(str(path)).Load()]
        scalars = [record for record in values if record and record[0].metadata.plugin_data.plugin_name == "scalars"]
        assert len(scalars) == 4  # epochs 0, 1 and 2, and what is known at the end
        assert sum(len(record) for record in scalars) > 40


def test_the_mean_has_what_the_seeds_have(run):
    folder, views = run
    mean, seeds = views["mean"], [views[f"seed={seed}"] for seed in range(3)]
    summary = json.loads((folder / "summary.json").read_text())["metrics"]
    for name, tag in (("val_accuracy", "accuracy/val"), ("val_loss", "loss/val"), ("test_accuracy", "accuracy/test")):
        assert values(mean, tag)[-1] == (2, pytest.approx(summary[name]["mean"], rel=1e-5))
    assert all({*mean.Tags()["scalars"]} == {*seed.Tags()["scalars"]} for seed in seeds)
    for tag in mean.Tags()["scalars"]:
        of_seeds = [[value for _, value in values(seed, tag)] for seed in seeds]
        assert [value for _, value in values(mean, tag)] == pytest.approx(
            [sum(at_a_step) / 3 for at_a_step in zip(*of_seeds, strict=True)], rel=1e-5, abs=1e-6
        )
    assert "custom_scalars__config__" not in mean.Tags()["tensors"]


def test_a_configuration_is_one_finished_row_of_the_hparams_dashboard(run):
    _, views = run
    metadata = views["mean"].summary_metadata
    start, about = (
        HParamsPluginData.FromString(metadata[f"_hparams_/{name}"].plugin_data.content)
        for name in ("session_start_info", "experiment")
    )
    hparams = start.session_start_info.hparams
    assert hparams["activation"].string_value == "prelu"
    assert hparams["upper_activation"].string_value == "gelu"
    assert hparams["optimizer.lr"].number_value == 0.001
    assert "study" not in hparams
    assert "_hparams_/session_end_info" in metadata
    typed = ["activation", "upper_activation", "model.width", "model.depth"]
    assert [info.name for info in about.experiment.hparam_infos] == typed  # not what only defaults say, nor the data
    metrics = [metric.name.tag for metric in about.experiment.metric_infos]
    assert metrics[:5] == ["accuracy/test", "dead_ratio/all", "accuracy/val", "dormant_ratio/all", "loss/test"]
    assert {*metrics[:5]} <= {*views["mean"].Tags()["scalars"]}
    assert not [tag for seed in range(3) for tag in views[f"seed={seed}"].summary_metadata if "_hparams_" in tag]


def test_pictures_and_histograms_are_there(run):
    _, views = run
    names = {"activation/prelu", "activation/gelu", "activation/learned"}
    assert set(views["mean"].Tags()["images"]) == names
    for name in names:
        (picture,) = views["mean"].Images(name)
        assert (picture.width, picture.height) >= (500, 300)
        assert len(picture.encoded_image_string) > 3000  # drawn: a blank one has a few hundred bytes
    for seed in range(3):
        tags = set(views[f"seed={seed}"].Tags()["histograms"])
        assert tags == {"preactivation/hidden1", "preactivation/hidden2"}
        events = views[f"seed={seed}"].Histograms("preactivation/hidden1")
        assert [event.step for event in events] == [0, 2]  # before and after training
        for event in events:
            assert event.histogram_value.num == 180 * 8  # the digits' validation split
            assert sum(event.histogram_value.bucket) == 180 * 8


@pytest.fixture(scope="module")
def dying(tmp_path_factory):
    """A run whose units die, looked at within its epochs too: its folder, and TensorBoard's view of seed 0 and the mean."""
    home = tmp_path_factory.mktemp("dying")
    overrides = ["dataset=digits", "train.epochs=2", "num_seeds=2", "model.width=16", "model.depth=2", "train.threads=1",
                 "optimizer.lr=0.3", "probe_every=5", "activation=relu"]  # fmt: skip
    done = Command(*overrides, cwd=home).wait()
    assert done.returncode == 0, done.stderr
    (folder,) = {path.parent for path in home.glob("**/settings.yaml")}
    places = {"mean": events_of(folder), "seed=0": events_of(folder) / "seed=0"}
    return folder, {name: EventAccumulator(str(place)).Reload() for name, place in places.items()}


def test_life_and_death_are_scalars_where_units_die(dying):
    folder, views = dying
    layers = [row for row in rows(folder / "layers.csv") if row["seed"] == "0" and row["layer"] == "hidden2"]
    pairs = {"births": "births", "deaths": "deaths", "revivals": "revivals", "died_ratio": "died",
             "dead_at_init_ratio": "dead_at_init", "dead_for": "dead_for"}  # fmt: skip
    assert sum(int(row["deaths"]) for row in layers) > 0
    for tag, column in pairs.items():
        told = dict(values(views["seed=0"], f"{tag}/hidden2"))
        expected = {int(r["epoch"]): float(r[column]) for r in layers if r[column] != "nan"}
        assert told == {epoch: pytest.approx(expected[epoch], rel=1e-6) for epoch in told}
        assert max(told) == 2
    looks = [row for row in rows(folder / "looks.csv") if row["seed"] == "0" and row["layer"] == "hidden2"]
    expected = [(int(row["step"]), pytest.approx(float(row["dead"]), rel=1e-6)) for row in looks]
    assert values(views["seed=0"], "dead_ratio_by_step/hidden2") == expected


def test_the_diagnosis_is_a_page_of_text(dying):
    folder, views = dying
    findings = json.loads((folder / "summary.json").read_text())["findings"]
    page = views["mean"].Tensors("diagnosis")[0].tensor_proto.string_val[0].decode()
    assert findings
    for finding in findings:
        assert finding["symptom"] in page
        assert finding["evidence"] in page
        assert all(f"    {remedy}" in page for remedy in finding["remedies"])


def test_a_page_without_findings_says_so():
    from actbench.sinks.tensorboard import _page

    assert _page([]) == "Nothing alarming was found."


def test_no_charts_of_deaths_where_nothing_dies(run):
    _, views = run
    assert not {tag for tag in views["mean"].Tags()["scalars"] if tag.startswith(("deaths", "died", "births"))}


def test_learned_parameters_are_scalars(run):
    folder, views = run
    shapes = [row for row in rows(folder / "shapes.csv") if row["seed"] == "1"]
    told = values(views["seed=1"], "learned_weight/hidden1")
    assert told == [(int(row["epoch"]), pytest.approx(float(row["mean"]), rel=1e-6)) for row in shapes]
    assert len(told) == 3


@pytest.mark.parametrize("choice", ["fraction=0.3", "k=450"])
def test_an_activation_that_selects_is_drawn_over_a_layer_of_outputs(choice):
    """More are kept than the picture has points: it gets more points."""
    from actbench.activations import TopK
    from actbench.measures.computing.curves import curve_of_one

    name, value = choice.split("=")
    z, f, slope = curve_of_one(TopK(**{name: float(value) if name == "fraction" else int(value)}))
    kept = 450 if name == "k" else 120
    assert len(z) == len(f) == len(slope) == max(401, kept)
    assert int(slope.count_nonzero()) == kept
    assert f[-1] == z[-1] == 5


def test_columns_of_results_are_what_a_network_has_once():
    """A measurement of the user's own may have a tag with whatever columns its rows have."""
    from actbench.measures.quantities import Quantity
    from actbench.sinks.hparams import in_order

    tags = {"a/{layer}": 2, "b/{layer}/{head}": 1, "c": 1, "": 1, "d/{layer}": 0}
    quantities = [Quantity(definition="", tag=tag, summary=tag or "e", place=place) for tag, place in tags.items()]
    assert [quantity.tag for quantity in in_order(quantities)] == ["c", "a/{layer}"]
