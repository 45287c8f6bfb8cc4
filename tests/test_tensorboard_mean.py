"""The mean over all seeds of a configuration in TensorBoard, where several runs have trained them; nothing is trained."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers import activation_choice, fake_run, settings_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from actbench.records import Epoch
from actbench.sinks import hparams, logdir, mean
from actbench.sinks.tensorboard import TensorBoardSink
from actbench.store import reader
from actbench.store.tables import of_epochs


@pytest.fixture(scope="module")
def gelu():
    return settings_of("activation=gelu", "dataset=digits", "num_seeds=2", "train.epochs=2")


def begun(study, settings):
    """The sink of a run that begins, with its first event; the folder that it claimed."""
    folder = study / settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    place = logdir.claim(folder, settings, settings.activation.name)
    sink = TensorBoardSink(
        place, seeds=settings.seeds, hyperparameters=hparams.hyperparameters(settings), columns=["activation"],
        with_mean=logdir.owns(folder, place),
    )  # fmt: skip
    return sink, place


def ended(sink, study, settings, accuracies, **other):
    """Everything that a run leaves, in the order in which it does."""
    folder = study / settings.folder
    folder.rmdir()  # it is made whole
    fake_run(folder, settings, accuracies, **other)
    tables = [row for kind in of_epochs().values() for row in reader.table(folder, kind)]
    summary = reader.summary(folder)
    for number in range(settings.train.epochs + 1):
        gone = tuple(seed for seed, epoch in summary.diverged.items() if epoch == number)
        rows = tuple(row for row in tables if row.epoch == number)
        sink.write_epoch(Epoch(number=number, rows=rows, diverged=gone))
    sink.write_activation("gelu", np.full((8, 8, 3), settings.seed, np.uint8), 2)
    sink.write_findings((), 2)
    sink.write_summary(summary)
    sink.close()
    mean.over_all_runs(folder)


def run(study, settings, accuracies, **other):
    sink, place = begun(study, settings)
    ended(sink, study, settings, accuracies, **other)
    return place


def told(place, tag):
    return [(event.step, event.value) for event in EventAccumulator(str(place)).Reload().Scalars(tag)]


def test_it_is_over_the_seeds_of_all_runs_and_equals_that_of_one_run(tmp_path, gelu):
    """Curves and final results; what is no scalar is that of the first run, once."""
    whole = run(tmp_path / "whole", replace(gelu, num_seeds=5), [90.0, 92.0, 94.0, 96.0, 98.0], dead=0.3)
    for first, accuracies in ((0, [90.0, 92.0]), (2, [94.0, 96.0]), (4, [98.0])):
        settings = replace(gelu, seed=first, num_seeds=len(accuracies))
        parts = run(tmp_path / "parts", settings, accuracies, dead=0.3)
    assert [path.stat().st_size > 0 for path in sorted(parts.glob("*tfevents*"))] == [False, True]
    expected, found = (EventAccumulator(str(place)).Reload() for place in (whole, parts))
    assert {*found.Tags()["scalars"]} == {*expected.Tags()["scalars"]}
    assert {"accuracy/test", "accuracy/val", "dead_ratio/all", "dead_ratio/hidden1"} <= {*found.Tags()["scalars"]}
    for tag in expected.Tags()["scalars"]:
        assert told(parts, tag) == [(step, pytest.approx(value, rel=1e-6)) for step, value in told(whole, tag)], tag
    assert told(parts, "accuracy/test") == [(2, 94.0)]
    assert len(found.Images("activation/gelu")) == len(found.Tensors("diagnosis")) == 1
    assert found.summary_metadata == expected.summary_metadata
    assert [told(parts / f"seed={seed}", "accuracy/test") for seed in range(5)] == [
        [(2, value)] for value in (90.0, 92.0, 94.0, 96.0, 98.0)
    ]


def test_a_seed_that_diverged_does_not_count_from_then_on(tmp_path, gelu):
    run(tmp_path, gelu, [90.0, 92.0])
    place = run(tmp_path, replace(gelu, seed=2), [98.0, 50.0], validation=[97.0, 50.0], diverged={3: 2})
    assert told(place, "accuracy/test") == [(2, pytest.approx(280 / 3))]
    at_the_end = [value for step, value in told(place, "accuracy/val") if step == 2]
    assert at_the_end == [pytest.approx((89.5 + 91.5 + 97.0) / 3)]


def test_a_run_that_is_deleted_or_begun_again_does_not_count(tmp_path, gelu):
    run(tmp_path, gelu, [90.0, 92.0])
    later = replace(gelu, seed=2)
    place = run(tmp_path, later, [94.0, 96.0])
    shutil.rmtree(tmp_path / gelu.folder)
    assert run(tmp_path, replace(gelu, seed=4), [97.0, 98.0]) == place
    assert told(place, "accuracy/test") == [(2, 96.25)]
    shutil.rmtree(tmp_path / later.folder)
    assert run(tmp_path, gelu, [90.0, 92.0]) == place
    assert told(place, "accuracy/test") == [(2, 94.25)]


def test_while_the_first_run_is_at_work_the_mean_is_its_own(tmp_path, gelu):
    """Two processes at once: whoever ends last has all."""
    sink, place = begun(tmp_path, gelu)
    run(tmp_path, replace(gelu, seed=2), [94.0, 96.0])
    assert EventAccumulator(str(place)).Reload().Tags()["scalars"] == []
    ended(sink, tmp_path, gelu, [90.0, 92.0])
    assert told(place, "accuracy/test") == [(2, 93.0)]


def test_without_the_files_of_another_run_it_stays_as_it_is(tmp_path, gelu):
    """The report tells what is damaged."""
    run(tmp_path, gelu, [90.0, 92.0])
    (tmp_path / gelu.folder / "history.csv").write_text("seed,epoch\nx,y\n")
    place = run(tmp_path, replace(gelu, seed=2), [94.0, 96.0])
    assert told(place, "accuracy/test") == [(2, 91.0)]


@pytest.mark.parametrize(
    ("name", "upper", "expected"),
    [
        ("gelu", "none", ["activation"]),
        ("relu+gelu", "gelu", ["activation", "upper_activation"]),
        ("gelu lr=0.001", "none", ["activation", "optimizer.lr"]),
        ("lr=0.001", "none", ["optimizer.lr"]),  # a sweep over it alone
        ("gelu train_size=null", "none", ["activation"]),
        ("", "none", ["activation"]),
    ],
)
def test_what_is_the_same_in_all_runs_of_a_sweep_is_no_column(gelu, name, upper, expected):
    settings = gelu if upper == "none" else replace(gelu, upper_activation=activation_choice(upper))
    assert hparams.telling(settings, name) == expected
