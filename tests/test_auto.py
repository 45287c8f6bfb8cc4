"""`dataset=auto`: decided once, before settings exist; what it became and why is in every artefact."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import fake_run, settings_of

from actbench.command import auto, planning
from actbench.command.composing import register
from actbench.settings import Choice, Settings

NOTE = "NOT MNIST: nobody answers; these are scikit-learn's 1,797 digits instead"


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Two planned jobs of `dataset=auto`, and one on the digits beside them."""
    register()
    monkeypatch.chdir(tmp_path)
    planned, problems = planning.plan(["activation=relu,gelu", "study=s", "dataset.train_size=50"], multirun=True)
    assert problems == []
    return planned


def decided(monkeypatch, *decision):
    asked = []
    monkeypatch.setattr(auto, "decide", lambda: asked.append(1) or auto.Decision(*decision))
    return asked


def test_it_is_found_out_once_for_all_jobs_and_their_folders_follow(jobs, monkeypatch):
    asked = decided(monkeypatch, "digits", NOTE)
    done = auto.resolve(jobs)
    assert asked == [1]
    for job in done:
        assert (job.settings.dataset.name, job.settings.dataset_note) == ("digits", NOTE)
        assert job.settings.dataset.params == {"train_size": 50, "scaling": "standard"}
        assert job.folder.name == job.settings.folder
        typed = settings_of("dataset=digits", "dataset.train_size=50", f"activation={job.settings.activation.name}")
        assert job.settings.id == typed.id  # as if the digits had been asked for


def test_of_mnist_nothing_is_to_be_said(jobs, monkeypatch):
    decided(monkeypatch, "mnist")
    assert [job.settings for job in auto.resolve(jobs)] == [job.settings for job in jobs]
    assert {(job.settings.dataset.name, job.settings.dataset_note) for job in jobs} == {("mnist", "")}


def test_planning_looks_for_nothing(monkeypatch):
    asked = decided(monkeypatch, "digits", NOTE)
    register()
    planning.plan(["activation=reluu"], multirun=False)
    planning.plan(["study=s"], multirun=False)
    assert asked == []


@pytest.mark.parametrize("began", ["mnist", "digits"])
def test_a_study_goes_on_with_what_it_was_begun_with(jobs, monkeypatch, began):
    """Whatever could be downloaded meanwhile."""
    decided(monkeypatch, began, NOTE if began == "digits" else "")
    first = auto.resolve(jobs)[0]
    fake_run(first.folder, first.settings, [97.0] * 5)
    asked = decided(monkeypatch, "mnist" if began == "digits" else "digits")
    assert {job.settings.dataset.name for job in auto.resolve(jobs)} == {began}
    assert asked == []


def test_the_note_is_no_part_of_the_identity_and_survives_the_file():
    settings = settings_of("dataset=digits")
    noted = replace(settings, dataset_note=NOTE)
    assert noted.id == settings.id
    assert Settings.from_dict(noted.to_dict()) == noted
    assert "dataset_note" not in settings.to_dict()  # files of other runs are what they were


def test_settings_of_version_0_1_0_that_say_auto_are_those_of_mnist():
    content = settings_of("dataset=mnist", "dataset.train_size=50").to_dict()
    content["dataset"] = {"name": "auto", "target": "actbench.datasets.auto", "params": {"train_size": 50}}
    read = Settings.from_dict(content)
    assert read.dataset == Choice("mnist", "actbench.datasets.mnist", {"train_size": 50})
    assert read.id == content["id"]


def test_nobody_types_the_note(actbench):
    done = actbench("+dataset.note=x", "dataset=digits")
    assert done.returncode == 2
    assert "+dataset.note=x: no such key" in done.stderr


@pytest.mark.parametrize("note", [NOTE, ""])
def test_tensorboard_has_the_note_on_a_page(tmp_path, note):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from actbench.sinks.tensorboard import TensorBoardSink

    TensorBoardSink(tmp_path, seeds=(0,), hyperparameters={}, note=note).close()
    view = EventAccumulator(str(tmp_path)).Reload()
    tags = [tag for tag in view.Tags()["tensors"] if tag.startswith("dataset")]
    assert [view.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags] == ([note] if note else [])
