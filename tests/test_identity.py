"""A run's id: what decides it, what does not, and that it never changes from one version to the next."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas
import pytest
import yaml
from helpers import fake_run, settings_of

from actbench.choices import packaged_conf
from actbench.report.configurations import blocks
from actbench.report.runs import find
from actbench.settings import GROUPS, Choice, Settings, identity_of_target
from actbench.store import reader

CONF = packaged_conf()

# What version 0.1.0 gave: a study that was begun with it goes on, and its folders are found again. A changed literal
# orphans the runs that people have.
PINNED = {
    "": "6b11fe9098",
    "experiment=article_cnn": "821cf4070b",
    "experiment=article_mlp": "1e146a2289",
    "experiment=deep_clipped": "533d8e8090",
    "experiment=dying_relu": "09ee4ab324",
    "experiment=hybrid_512": "6f1458f15e",
    "experiment=mish_depth": "4f0380d02d",
    "experiment=mish_lenet": "a84f9e5ac8",
    "experiment=speedrun": "0d4087769d",
    "activation=acon": "2f8c235e06",
    "activation=elu": "75db6326e4",
    "activation=prelu": "c4586766e2",
    "activation=topk": "f4a096397e",
    "upper_activation=acon": "26e638b29b",
    "init=orthogonal": "051969e889",
    "init=torch_default": "1e146a2289",
    "model=vit": "23cb726cf6",
    "model=deep_cnn": "9b0ec3e2ca",
    "norm=batch": "33a8417aae",
    "norm=layer": "9fb631b05c",
    "optimizer=nesterov": "52260b74db",
    "optimizer=sgd": "bc82a09831",
    "scheduler=onecycle": "f0343f4e7a",
    "scheduler=warmup_cosine": "81d9cbeb17",
    "clip=norm": "7ef3d56ce4",
    "clip=value": "0659b3db60",
    "dataset=digits": "85c56884dd",
    "dataset=kmnist": "2d393d174c",
    "augment=shift_rotate": "5a62b6ca9b",
    "activation=prelu model=cnn optimizer=sgd dataset=mnist seed=3": "72d2119f70",
}


@pytest.mark.parametrize(("typed", "run_id"), PINNED.items())
def test_ids_are_those_of_version_0_1_0(typed, run_id):
    assert settings_of(*typed.split()).id == run_id


def test_every_group_and_every_experiment_is_pinned():
    chosen = {override.partition("=")[0] for typed in PINNED for override in typed.split()}
    assert {*GROUPS} <= chosen
    experiments = {path.stem for path in (CONF / "experiment").glob("*.yaml")}
    assert experiments == {typed.partition("=")[2] for typed in PINNED if typed.startswith("experiment=")}


@cache
def targets(group: str) -> set[str]:
    folder = CONF / group.removeprefix("upper_")
    loaded = [yaml.safe_load(path.read_text(encoding="utf-8")).get("_target_") for path in folder.glob("*.yaml")]
    return {target for target in loaded if target is not None}


def everything() -> Settings:
    """A run in which each group has a target of ours, where the group has one."""
    settings = settings_of("upper_activation=acon", "norm=layer", "clip=norm", "augment=shift_rotate")
    own = settings_of("activation=topk", "scheduler=warmup_cosine")
    return replace(settings, activation=own.activation, scheduler=own.scheduler)


@pytest.mark.parametrize("group", GROUPS)
def test_a_file_of_ours_that_moves_changes_no_id(group):
    settings = everything()
    choice = getattr(settings, group)
    if not (choice.target or "").startswith("actbench."):
        assert group == "optimizer", "all others should have a choice of ours here"
        return
    moved = replace(choice, target=f"actbench.somewhere.else_entirely.{choice.target.rpartition('.')[2]}")
    assert replace(settings, **{group: moved}).id == settings.id


@pytest.mark.parametrize("group", GROUPS)
def test_no_two_choices_of_a_group_share_an_identity(group):
    assert len({identity_of_target(group, target) for target in targets(group)}) == len(targets(group))


@pytest.mark.parametrize("group", GROUPS)
def test_what_torch_and_the_user_have_counts_as_it_is_written(group):
    for target in ("torch.optim.Adam", "mine.Bent", "mine.deeper.Bent", "actbenchmark.Bent"):
        assert identity_of_target(group, target) == target
    settings = settings_of()
    chosen = [Choice("mine", target) for target in ("mine.Bent", "mine.deeper.Bent", "actbench.Bent")]
    assert len({replace(settings, **{group: choice}).id for choice in chosen}) == 3


@pytest.mark.parametrize(
    ("overrides", "alias"),
    [
        (("experiment=article_mlp",), ("init=torch_default",)),
        (("dataset=auto",), ("dataset=mnist",)),
        (("model=hybrid",), ("experiment=hybrid_512",)),
        (("upper_activation=none", "split=0.25"), ()),
        (("seed=7", "num_seeds=2", "train.device=cpu", "train.threads=1", "probe=false", "study=elsewhere"), ()),
    ],
)
def test_two_ways_to_say_the_same_have_one_id(overrides, alias):
    assert settings_of(*overrides).id == settings_of(*alias).id


@pytest.mark.parametrize(
    "typed",
    ["activation.alpha=0.5 activation=elu", "dropout=0.1", "train.epochs=3", "split=0.25 upper_activation=gelu"],
)
def test_a_parameter_that_matters_changes_the_id(typed):
    names = [word for word in typed.split() if "." not in word.partition("=")[0]]
    without = [word for word in names if word.partition("=")[0] not in ("dropout", "split")]
    assert settings_of(*typed.split()).id != settings_of(*without).id


# ---------------------------------------------------------------- what is the user's own


def with_content(settings: Settings, content: str | None) -> Settings:
    return replace(settings, activation=Choice("bent", "own_acts.Bent", content=content))


def test_a_content_changes_the_id_and_nothing_else_of_the_identity_rules():
    plain = settings_of("dataset=digits")
    ids = {with_content(plain, content).id for content in (None, "a.py=1", "a.py=2")}
    assert len(ids) == 3
    assert with_content(plain, "a.py=1").without_content().id == with_content(plain, None).id


def test_settings_are_stored_without_a_content_that_is_not_there(tmp_path):
    settings = settings_of("dataset=digits")
    folder = fake_run(tmp_path / "run", settings, [90.0] * 5)
    content = yaml.safe_load((folder / "settings.yaml").read_text())
    assert "content" not in content["activation"]
    assert reader.settings_of(folder) == settings
    own = with_content(settings, "own_acts.py=0123456789abcdef")
    folder = fake_run(tmp_path / "own", own, [90.0] * 5)
    assert reader.settings_of(folder) == own


# ---------------------------------------------------------------- folders of version 0.1.0

STORED = Path(__file__).parent / "stored" / "0.1.0"
FOLDERS = sorted(path.parent for path in STORED.glob("*/*/settings.yaml"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_folder_of_version_0_1_0_is_read_and_has_the_id_that_it_was_given(folder):
    settings = reader.settings_of(folder)
    assert settings.id == yaml.safe_load((folder / "settings.yaml").read_text(encoding="utf-8"))["id"]
    assert settings.folder == folder.name
    found = find([folder])
    assert [run.folder for run in found.runs] == [folder] and found.problems == []
    assert reader.summary(folder).metrics["test_accuracy"].n == 2


def test_runs_from_before_and_after_a_parameter_was_added_are_one_configuration():
    """Their ids differ, since a stored run keeps its own; what they were trained with does not."""
    old, new = (reader.settings_of(folder) for folder in FOLDERS if folder.name.startswith("relu-"))
    assert old.id != new.id and old.with_later_parameters().id == new.id == new.with_later_parameters().id
    (block,) = blocks(find([STORED]).runs)
    assert {one.name: len(one.runs) for one in block.configurations} == {"prelu": 1, "relu": 2}
    assert "trained twice with different" not in str(block.remarks)
    own = replace(old, model=Choice("mlp", "mine.models.mlp", old.model.params))
    assert own.with_later_parameters().model == own.model
    own = replace(old, dataset=Choice("digits", "mine.digits", old.dataset.params))
    assert own.with_later_parameters().dataset == own.dataset


def test_files_of_the_users_count_by_what_is_in_them_and_not_by_where_they_are():
    def settings(path, content):
        choice = Choice("images", "actbench.datasets.images", {"path": path, "size": 8}, content=content)
        return replace(settings_of("dataset=digits"), dataset=choice)

    here, moved, changed = settings("a", "1"), settings("/b", "1"), settings("a", "2")
    assert here.id == moved.id != changed.id
    assert here.protocol() == moved.protocol() != changed.protocol()
    assert "dataset.path" not in here.flat() and here.flat()["dataset.size"] == 8
    assert settings("a", None).id != settings("b", None).id
    own = replace(here, dataset=Choice("mine", "mine.images", here.dataset.params, content="1"))
    assert own.id != replace(own, dataset=Choice("mine", "mine.images", moved.dataset.params, content="1")).id


def test_a_scaling_that_is_not_the_default_is_part_of_the_identity_and_of_what_is_ranked_together():
    default, typed, unit, plain = (
        settings_of("dataset=digits", *more)
        for more in ([], ["dataset.scaling=standard"], ["dataset.scaling=unit"], ["dataset.scaling=none"])
    )
    assert default.id == typed.id == PINNED["dataset=digits"] and default.protocol() == typed.protocol()
    assert (
        len({one.id for one in (default, unit, plain)}) == len({one.protocol() for one in (default, unit, plain)}) == 3
    )
    before = replace(default, dataset=Choice("digits", default.dataset.target, {"train_size": None}))  # had no scaling
    assert before.id == default.id and before.protocol() == default.protocol()
    assert before.with_later_parameters().flat() == default.flat()
    own = replace(default, dataset=Choice("mine", "mine.digits", {"scaling": "standard"}))
    assert own.id != replace(own, dataset=Choice("mine", "mine.digits", {})).id, (
        "what it means there is the user's affair"
    )


def test_a_choice_of_what_decays_counts_where_there_is_weight_decay():
    usual, decayed = settings_of("dataset=digits"), settings_of("dataset=digits", "optimizer=adamw")
    earlier = {k: v for k, v in decayed.optimizer.params.items() if k != "decay"}
    stored = replace(decayed, optimizer=replace(decayed.optimizer, params=earlier))
    asked = settings_of("dataset=digits", "optimizer=adamw", "optimizer.decay=all")
    assert stored.id == asked.id != decayed.id
    assert stored.with_later_parameters().flat() == asked.flat() != decayed.flat()
    assert usual.id == settings_of("dataset=digits", "optimizer.decay=all").id
    assert "optimizer.decay" not in usual.flat()


def test_a_kind_of_dropout_counts_where_there_is_dropout():
    ids = [settings_of(*typed, "dataset=digits").id for typed in (
        (), ("dropout_kind=alpha",), ("dropout=0.1",), ("dropout=0.1", "dropout_kind=alpha"))]  # fmt: skip
    assert ids[0] == ids[1] and len({*ids}) == 3


def test_a_run_of_today_is_the_one_of_version_0_1_0(actbench, tmp_path):
    """The same command has the same id, the same files with the same columns, and the same numbers."""
    (old,) = (STORED / "last").glob("prelu-*")
    typed = ["dataset=digits", "dataset.train_size=60", "train.batch_size=20", "model.width=4", "num_seeds=2",
             "train.epochs=2", "train.threads=1", "tensorboard=false"]  # fmt: skip
    done = actbench("activation=prelu", *typed, "study=today")
    assert done.returncode == 0, done.stderr
    new = tmp_path / "outputs" / "today" / old.name
    for path in sorted(old.glob("*.csv")):
        before, now = pandas.read_csv(path), pandas.read_csv(new / path.name)
        assert [*before.columns] == [*now.columns][: len(before.columns)], "columns keep their names and their order"
        numbers = before.drop(columns="seconds", errors="ignore")
        pandas.testing.assert_frame_equal(now[numbers.columns], numbers, rtol=1e-3, atol=1e-6)
    (block,) = blocks(find([STORED / "last", tmp_path / "outputs"]).runs)
    assert sorted(one.name for one in block.configurations) == ["prelu", "relu"], "one configuration, trained twice"
